//! Errors as the API shows them: problem details of RFC 9457.

mod code;
pub mod document;

use std::borrow::Cow;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

pub use self::code::ProblemCode;

/// How much may be asked for (draft-ietf-httpapi-ratelimit-headers-10).
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// The same in the older words that most clients know.
const X_RATE_LIMIT_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_RATE_LIMIT_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RATE_LIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// How long a client should wait after a 429 or 503 when nothing better is known, in seconds.
const DEFAULT_RETRY_AFTER_SECS: u32 = 1;

/// The most field errors shown in one problem.
const MAX_FIELD_ERRORS: usize = 32;

/// The answer to a request that is refused. Its texts are shown to the client: no secrets, no internals.
///
/// The HTTP layer adds `instance` and `request_id` when they are not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem(Box<Parts>);

/// Boxed, so that a `Result` with a problem in it stays small.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts {
    code: ProblemCode,
    detail: Option<Cow<'static, str>>,
    instance: Option<String>,
    request_id: Option<String>,
    errors: Vec<FieldError>,
    payment_id: Option<String>,
    x402_reason: Option<Cow<'static, str>>,
    retry_after_secs: Option<u32>,
    allowance: Option<Allowance>,
}

/// How much a client may ask for, as it is told with every answer that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The name of the limit.
    pub policy: &'static str,
    /// How much is earned in each window.
    pub quota: u32,
    /// The window, in seconds.
    pub window_secs: u32,
    /// How much is left.
    pub remaining: u32,
    /// When there is all of it again, in seconds.
    pub reset_secs: u32,
    /// The same as a time, in seconds since the Unix epoch.
    pub reset_at: i64,
}

/// What is wrong with one field of the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Where the field is, as a JSON pointer (RFC 6901); the empty string is the whole body, and
    /// `/headers/<name>` a header.
    pub pointer: String,
    /// What is wrong, as a stable code.
    pub code: Cow<'static, str>,
    /// What is wrong, in words.
    pub detail: Cow<'static, str>,
}

impl FieldError {
    /// An error at `pointer`.
    pub fn new(
        pointer: impl Into<String>,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { pointer: pointer.into(), code: code.into(), detail: detail.into() }
    }
}

impl Problem {
    /// A problem with nothing but its code. 429 and 503 ask the client to wait a second.
    #[must_use]
    pub fn new(code: ProblemCode) -> Self {
        let retry_after_secs = match code.status() {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                Some(DEFAULT_RETRY_AFTER_SECS)
            }
            _ => None,
        };
        Self(Box::new(Parts {
            code,
            detail: None,
            instance: None,
            request_id: None,
            errors: Vec::new(),
            payment_id: None,
            x402_reason: None,
            retry_after_secs,
            allowance: None,
        }))
    }

    /// A client has asked for more than it may, and may come again after these seconds.
    #[must_use]
    pub fn rate_limited(allowance: Allowance, retry_after_secs: u32) -> Self {
        let mut problem = Self::new(ProblemCode::RateLimited).retry_after_secs(retry_after_secs);
        problem.0.allowance = Some(allowance);
        problem
    }

    /// Says what is particular about this occurrence.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Points at a wrong field. At most 32 are kept.
    #[must_use]
    pub fn field(mut self, error: FieldError) -> Self {
        if self.0.errors.len() < MAX_FIELD_ERRORS {
            self.0.errors.push(error);
        }
        self
    }

    /// Names the payment in question.
    #[must_use]
    pub fn payment_id(mut self, id: impl Into<String>) -> Self {
        self.0.payment_id = Some(id.into());
        self
    }

    /// Gives the reason in the words of x402 (`errorReason`, `invalidReason`).
    #[must_use]
    pub fn x402_reason(mut self, reason: impl Into<Cow<'static, str>>) -> Self {
        self.0.x402_reason = Some(reason.into());
        self
    }

    /// Asks the client to wait this many whole seconds (`Retry-After`).
    #[must_use]
    pub fn retry_after_secs(mut self, seconds: u32) -> Self {
        self.0.retry_after_secs = Some(seconds);
        self
    }

    /// The path of the request that caused it.
    #[must_use]
    pub fn instance(mut self, path: impl Into<String>) -> Self {
        self.0.instance = Some(path.into());
        self
    }

    /// The id of the request that caused it.
    #[must_use]
    pub fn request_id(mut self, id: impl Into<String>) -> Self {
        self.0.request_id = Some(id.into());
        self
    }

    /// The problem's code.
    #[must_use]
    pub const fn code(&self) -> ProblemCode {
        self.0.code
    }

    /// The HTTP status of the answer.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.0.code.status()
    }

    /// The wrong fields.
    #[must_use]
    pub fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// Sets path and request id where the handler did not.
    pub(crate) fn located_at(&mut self, path: &str, request_id: &str) {
        self.0.instance.get_or_insert_with(|| path.to_owned());
        self.0.request_id.get_or_insert_with(|| request_id.to_owned());
    }

    /// The body of the answer.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let wire = Wire {
            r#type: self.0.code.type_uri(),
            title: self.0.code.title(),
            status: self.status().as_u16(),
            detail: self.0.detail.as_deref(),
            instance: self.0.instance.as_deref(),
            code: self.0.code,
            retryable: self.0.code.retryable(),
            request_id: self.0.request_id.as_deref(),
            payment_id: self.0.payment_id.as_deref(),
            x402_reason: self.0.x402_reason.as_deref(),
            errors: &self.0.errors,
        };
        serde_json::to_vec(&wire).expect("strings, numbers and booleans always serialise")
    }
}

impl Allowance {
    /// Tells it, where these headers do not tell of a limit yet.
    pub fn tell(&self, headers: &mut HeaderMap) {
        if headers.contains_key(RATE_LIMIT) {
            return;
        }
        let Self { policy, quota, window_secs, remaining, reset_secs, reset_at } = self;
        let text = |field: String| {
            HeaderValue::try_from(field).expect("a name of ours and numbers are visible ASCII")
        };
        headers.insert(RATE_LIMIT, text(format!("\"{policy}\";r={remaining};t={reset_secs}")));
        headers.insert(RATE_LIMIT_POLICY, text(format!("\"{policy}\";q={quota};w={window_secs}")));
        headers.insert(X_RATE_LIMIT_LIMIT, (*quota).into());
        headers.insert(X_RATE_LIMIT_REMAINING, (*remaining).into());
        headers.insert(X_RATE_LIMIT_RESET, (*reset_at).into());
    }
}

impl From<ProblemCode> for Problem {
    fn from(code: ProblemCode) -> Self {
        Self::new(code)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.to_json()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, PROBLEM_JSON);
        if let Some(seconds) = self.0.retry_after_secs {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if let Some(allowance) = self.0.allowance {
            allowance.tell(headers);
        }
        if self.status() == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // The HTTP layer finds it here and adds what only it knows.
        response.extensions_mut().insert(self);
        response
    }
}

/// The members in the order in which they are written.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem, description = "Why a request is refused (RFC 9457).")]
struct Wire<'a> {
    /// Names the code, as a URI.
    #[schema(format = "uri")]
    r#type: String,
    /// One short sentence, the same for every occurrence.
    title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is particular about this occurrence.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    detail: Option<&'a str>,
    /// The path of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    instance: Option<&'a str>,
    code: ProblemCode,
    /// Whether the same request may succeed later, unchanged.
    retryable: bool,
    /// The id of the request, as in `X-Request-Id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    request_id: Option<&'a str>,
    /// The payment in question.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    payment_id: Option<&'a str>,
    /// The reason in the words of x402.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    x402_reason: Option<&'a str>,
    /// What is wrong with fields of the request.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(required = false)]
    errors: &'a [FieldError],
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(problem: &Problem) -> serde_json::Value {
        serde_json::from_slice(&problem.to_json()).unwrap()
    }

    #[test]
    fn a_problem_carries_what_is_known_and_nothing_else() {
        let problem = Problem::new(ProblemCode::AmountMismatch)
            .detail("2 authorized, 3 required")
            .x402_reason("invalid_exact_evm_payload_authorization_value")
            .field(FieldError::new("/paymentRequirements/amount", "differs", "is 3"));
        assert_eq!(
            json(&problem),
            serde_json::json!({
                "type": "https://quittance.dev/problems/amount_mismatch",
                "title": "The authorized amount is not the required one",
                "status": 422,
                "detail": "2 authorized, 3 required",
                "code": "amount_mismatch",
                "retryable": false,
                "x402_reason": "invalid_exact_evm_payload_authorization_value",
                "errors": [{"pointer": "/paymentRequirements/amount", "code": "differs", "detail": "is 3"}],
            })
        );
    }

    #[test]
    fn an_unavailable_service_asks_to_wait() {
        let response =
            Problem::new(ProblemCode::AcceptUnavailable).retry_after_secs(7).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[RETRY_AFTER], "7");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    }

    #[test]
    fn who_asks_for_too_much_is_told_how_much_it_may() {
        let allowance = Allowance {
            policy: "address",
            quota: 60,
            window_secs: 60,
            remaining: 0,
            reset_secs: 20,
            reset_at: 1_700_000_020,
        };
        let response = Problem::rate_limited(allowance, 3).into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        for (name, value) in [
            (RETRY_AFTER, "3"),
            (RATE_LIMIT, "\"address\";r=0;t=20"),
            (RATE_LIMIT_POLICY, "\"address\";q=60;w=60"),
            (X_RATE_LIMIT_LIMIT, "60"),
            (X_RATE_LIMIT_REMAINING, "0"),
            (X_RATE_LIMIT_RESET, "1700000020"),
        ] {
            assert_eq!(response.headers()[&name], value);
        }
    }

    #[test]
    fn a_missing_key_is_answered_with_a_bearer_challenge() {
        let response = Problem::new(ProblemCode::Unauthorized).into_response();
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer");
    }

    #[test]
    fn the_number_of_field_errors_is_bounded() {
        let wrong = (0..1_000).map(|n| FieldError::new(format!("/{n}"), "wrong", "wrong"));
        let problem = wrong.fold(Problem::new(ProblemCode::InvalidRequest), Problem::field);
        assert_eq!(problem.errors().len(), MAX_FIELD_ERRORS);
    }
}
