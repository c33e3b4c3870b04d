//! Request bodies in JSON, read strictly and within limits.

use std::time::Duration;

use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use axum::body::Bytes;

use crate::problem::{FieldError, Problem, ProblemCode};
use crate::shape::Mismatch;

/// How long a body may take to arrive.
pub const BODY_READ_TIMEOUT: Duration = Duration::from_secs(10);

/// The deepest pointer told, in segments; deeper ones are cut.
const MAX_POINTER_SEGMENTS: usize = 32;

/// The longest key told in a pointer, in characters.
const MAX_KEY_CHARS: usize = 64;

/// Extracts a JSON body as `T`; anything else is answered with a [`Problem`].
///
/// The limit of the body's length is the router's `axum::extract::DefaultBodyLimit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonBody<T>(pub T);

impl<T, S> FromRequest<S> for JsonBody<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        parse(&read_body(request).await?).map(Self)
    }
}

/// Reads a body that is declared as JSON, for callers that need its bytes as they came. The limit of its length is
/// the router's `axum::extract::DefaultBodyLimit`.
///
/// # Errors
/// `unsupported_media_type`, `payload_too_large`, `request_timeout`, or `malformed_json` when the connection breaks.
pub async fn read_body(request: Request) -> Result<Bytes, Problem> {
    require_json(request.headers())?;
    match tokio::time::timeout(BODY_READ_TIMEOUT, Bytes::from_request(request, &())).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(rejection)) => Err(refused(&rejection)),
        Err(_) => Err(Problem::new(ProblemCode::RequestTimeout)),
    }
}

/// Reads an object in JSON as `T`. Nothing may follow it. The answer never repeats what was sent, except names of fields.
///
/// # Errors
/// `malformed_json` with line and column, or `invalid_request` with a pointer to the field.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| match error
        .inner()
        .classify()
    {
        Category::Data => wrong_shape(&error),
        Category::Io | Category::Syntax | Category::Eof => malformed(error.inner()),
    })?;
    deserializer.end().map_err(|error| malformed(&error))?;
    // Serde reads a struct from the list of its fields as well, which nobody has promised.
    if body.trim_ascii_start().starts_with(b"[") {
        let field = FieldError::new("", "wrong_type", "must be an object, not sequence");
        return Err(refused_field(field));
    }
    Ok(value)
}

/// Reads a body that may be left out, with its `Content-Type`, or be `null`.
///
/// # Errors
/// As [`read_body`] and [`parse`].
pub async fn optional_body<T: DeserializeOwned + Default>(request: Request) -> Result<T, Problem> {
    if !request.headers().contains_key(CONTENT_TYPE) {
        return Ok(T::default());
    }
    Ok(parse::<Option<T>>(&read_body(request).await?)?.unwrap_or_default())
}

/// Where a shape error is, as a JSON pointer (RFC 6901) to the field, and what is wrong there.
pub fn field_error<E: std::fmt::Display>(error: &serde_path_to_error::Error<E>) -> FieldError {
    let mismatch = Mismatch::from_message(&error.inner().to_string());
    let pointer = pointer(error.path(), mismatch.field.as_deref());
    FieldError::new(pointer, mismatch.code, mismatch.detail)
}

fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let declared = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = declared.and_then(|value| value.split(';').next()).map(str::trim);
    let json = media_type.is_some_and(|media_type| {
        let media_type = media_type.to_ascii_lowercase();
        media_type == "application/json"
            || (media_type.starts_with("application/") && media_type.ends_with("+json"))
    });
    if json { Ok(()) } else { Err(Problem::new(ProblemCode::UnsupportedMediaType)) }
}

fn refused(rejection: &BytesRejection) -> Problem {
    match rejection {
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
            Problem::new(ProblemCode::PayloadTooLarge)
        }
        _ => Problem::new(ProblemCode::MalformedJson).detail("The body did not arrive whole"),
    }
}

fn malformed(error: &serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    Problem::new(ProblemCode::MalformedJson)
        .detail(format!("The JSON ends or breaks at line {line}, column {column}"))
}

fn wrong_shape(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    refused_field(field_error(error))
}

fn refused_field(field: FieldError) -> Problem {
    let subject = if field.pointer.is_empty() { "The body" } else { &field.pointer };
    let detail = format!("{subject} {}", field.detail);
    Problem::new(ProblemCode::InvalidRequest).detail(detail).field(field)
}

/// The path's pointer; `field` is added when the path ends above it.
fn pointer(path: &serde_path_to_error::Path, field: Option<&str>) -> String {
    use serde_path_to_error::Segment;
    let mut segments: Vec<String> = path
        .iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Map { key } => Some(escaped(key)),
            // An enum's variant is no member of the JSON; an unknown segment has no name.
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .take(MAX_POINTER_SEGMENTS)
        .collect();
    if let Some(field) = field.map(escaped)
        && segments.last() != Some(&field)
    {
        segments.push(field);
    }
    segments.iter().map(|segment| format!("/{segment}")).collect()
}

/// Escapes a key as RFC 6901 asks: `~` first, then `/`.
fn escaped(key: &str) -> String {
    let short: String = key.chars().take(MAX_KEY_CHARS).collect();
    short.replace('~', "~0").replace('/', "~1")
}
