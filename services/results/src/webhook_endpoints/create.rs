//! `POST /v1/webhook_endpoints`

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::{EndpointId, EventType, Scope};
use runtime::egress::Targets;
use runtime::problem::document::{Bodied, Codes, Keyed, Refused, Stored};
use runtime::{FieldError, Problem, ProblemCode, json};
use serde::Serialize;
use store::{Endpoint, EndpointState, NewEndpoint};
use utoipa::ToSchema;
use utoipa::openapi::schema::{ArrayBuilder, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr, Schema};

use super::EndpointResource;
use super::terms::{EndpointWanted, NewEndpointWanted};
use crate::refusal::Refusal;
use crate::webhook_secret::WebhookSecret;
use crate::{App, example};

/// The most endpoints of an account: each multiplies what every change of a payment writes.
const MAX_ENDPOINTS: u32 = 20;

/// What an endpoint is told of.
pub(super) fn wanted_types() -> RefOr<Schema> {
    ArrayBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Array, Type::Null]))
        .description(Some(
            "What it is told of. A new one that names nothing hears of every end of a payment, and \
             of reorganisations.",
        ))
        .items(Ref::from_schema_name(EventType::name()))
        .min_items(Some(1))
        .into()
}

/// A new endpoint, and its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedWebhookEndpoint)]
struct Created<'a> {
    #[serde(flatten)]
    endpoint: EndpointResource<'a>,
    /// What deliveries are signed with (Standard Webhooks).
    #[schema(pattern = "^whsec_")]
    secret: String,
}

/// A URL or types of events may be ones that cannot be.
pub(super) enum NotCallable {}

impl Codes for NotCallable {
    fn codes() -> Vec<ProblemCode> {
        vec![ProblemCode::InvalidWebhookUrl, ProblemCode::MalformedField]
    }
}

/// There may be as many endpoints as an account may have.
pub(super) enum TooMany {}

impl Codes for TooMany {
    fn codes() -> Vec<ProblemCode> {
        vec![ProblemCode::EndpointLimitReached]
    }
}

/// Makes an endpoint, and shows its secret.
#[utoipa::path(
    post,
    path = "/v1/webhook_endpoints",
    tag = "Webhook endpoints",
    summary = "Make an endpoint",
    description = "Makes an endpoint, and shows its secret. An account has at most 20.",
    request_body(content = NewEndpointWanted, example = example::wanted_endpoint),
    responses(
        (status = 201, body = Created<'_>, description = "It is told of what happens from now on.",
            headers(("Location" = String, description = "The endpoint's path.")),
            example = example::created_endpoint),
        Refused<(Keyed, Bodied, NotCallable, TooMany, Stored)>,
    ),
    security(("api_key" = ["webhooks"])),
)]
pub(crate) async fn create_endpoint(
    State(app): State<App>,
    request: Request,
) -> Result<Response, Refusal> {
    let caller = app.caller(request.headers(), Scope::Webhooks).await?;
    let wanted: EndpointWanted = json::parse(&json::read_body(request).await?)?;
    let terms = wanted.terms()?;
    let url = callable(&wanted.url.ok_or_else(no_url)?, app.settings().targets)?;
    let secret = WebhookSecret::generate();
    let new = NewEndpoint {
        id: EndpointId::new(runtime::new_uuid()),
        account: caller.account,
        url,
        event_types: event_types(wanted.event_types)?,
        secret: secret.to_bytes(),
        terms,
    };
    let now = app.now();
    let made = app.store().create_endpoint(&new, MAX_ENDPOINTS.into(), now).await;
    if !made? {
        let detail = format!("An account has at most {MAX_ENDPOINTS}; delete one first");
        return Err(Problem::new(ProblemCode::EndpointLimitReached).detail(detail).into());
    }
    let endpoint = Endpoint {
        id: new.id,
        account: new.account,
        url: new.url,
        event_types: new.event_types,
        state: EndpointState::Enabled,
        terms: new.terms,
        failing_since: None,
        created_at: now,
    };
    Ok(created(&endpoint, &secret))
}

fn no_url() -> Problem {
    Problem::new(ProblemCode::InvalidRequest).detail("/url is required").field(FieldError::new(
        "/url",
        "missing",
        "is required",
    ))
}

fn created(endpoint: &Endpoint, secret: &WebhookSecret) -> Response {
    let body = Created { endpoint: EndpointResource::new(endpoint), secret: secret.reveal() };
    let mut response = (StatusCode::CREATED, Json(body)).into_response();
    let path = format!("/v1/webhook_endpoints/{}", endpoint.id);
    let headers = response.headers_mut();
    headers.insert(LOCATION, path.try_into().expect("letters, digits and slashes are ASCII"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The URL in its plain form, unless it would never be called; what its name leads to is judged
/// at each call.
pub(super) fn callable(url: &str, targets: Targets) -> Result<String, Problem> {
    // The plain form may be longer, so it is judged as well.
    let judged = targets.check(url).and_then(|url| targets.check(url.as_str()));
    judged.map(String::from).map_err(|blocked| {
        let detail = blocked.to_string();
        Problem::new(ProblemCode::InvalidWebhookUrl)
            .detail(detail.clone())
            .field(FieldError::new("/url", "invalid", detail))
    })
}

/// The types that were named, each once; the usual ones where none were.
pub(super) fn event_types(named: Option<Vec<String>>) -> Result<Vec<EventType>, Problem> {
    let Some(named) = named else {
        return Ok(EventType::DEFAULT.to_vec());
    };
    let refuse = |pointer: String, code, detail| {
        Problem::new(ProblemCode::MalformedField)
            .field(FieldError::new(pointer, code, detail))
            .detail("The event types are not all known")
    };
    if named.is_empty() {
        return Err(refuse("/event_types".to_owned(), "empty", "must name at least one type"));
    }
    let mut types = Vec::new();
    for (index, name) in named.iter().enumerate() {
        let kind: EventType = name
            .parse()
            .map_err(|_| refuse(format!("/event_types/{index}"), "unknown", "is not a type"))?;
        if !types.contains(&kind) {
            types.push(kind);
        }
    }
    Ok(types)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_hears_what_it_named_once_or_the_usual() {
        let named = |names: &[&str]| Some(names.iter().map(|&name| name.to_owned()).collect());
        let types = event_types(named(&["payment.settled", "payment.settled"])).unwrap();
        assert_eq!(types, [EventType::Settled]);
        assert_eq!(event_types(None).unwrap(), EventType::DEFAULT);
    }
}
