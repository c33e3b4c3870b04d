//! `/v1/webhook_endpoints`: where a seller wants to be told, and of what.

pub(crate) mod create;
pub(crate) mod recover;
pub(crate) mod secret;
pub(crate) mod standing;
mod terms;
pub(crate) mod trial;
pub(crate) mod update;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::schema::constant;
use domain::{AccountId, EndpointId, EventType, Scope, Timestamp};
use runtime::ProblemCode;
use runtime::problem::document::{Absent, Keyed, Refused, Stored};
use serde::Serialize;
use store::{Endpoint, EndpointState};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use self::terms::TermsResource;
use crate::refusal::{Refusal, id};
use crate::{App, example};

/// An endpoint as its owner sees it.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookEndpoint)]
struct EndpointResource<'a> {
    id: EndpointId,
    #[schema(schema_with = endpoint_object)]
    object: &'static str,
    /// Where it is.
    #[schema(format = "uri")]
    url: &'a str,
    /// What it is told of.
    event_types: &'a [EventType],
    /// `enabled`, or `disabled`: it is told nothing, and what is on its way is held.
    status: &'static str,
    /// Why it is disabled.
    #[schema(required = true)]
    disabled_reason: Option<&'a str>,
    /// Since when nothing has arrived at it, if so.
    #[schema(required = true)]
    failing_since: Option<Timestamp>,
    #[serde(flatten)]
    terms: TermsResource,
    created_at: Timestamp,
}

fn endpoint_object() -> RefOr<Schema> {
    constant("webhook_endpoint")
}

/// All endpoints of an account, oldest first.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookEndpoints)]
struct Endpoints<'a> {
    data: Vec<EndpointResource<'a>>,
}

impl<'a> EndpointResource<'a> {
    fn new(endpoint: &'a Endpoint) -> Self {
        let (status, disabled_reason) = match &endpoint.state {
            EndpointState::Enabled => ("enabled", None),
            EndpointState::Disabled(reason) => ("disabled", Some(reason.as_str())),
        };
        Self {
            id: endpoint.id,
            object: "webhook_endpoint",
            url: &endpoint.url,
            event_types: &endpoint.event_types,
            status,
            disabled_reason,
            failing_since: endpoint.failing_since,
            terms: endpoint.terms.into(),
            created_at: endpoint.created_at,
        }
    }
}

/// `GET /v1/webhook_endpoints`: all of the account's, oldest first; there are few enough for one
/// answer.
#[utoipa::path(
    get,
    path = "/v1/webhook_endpoints",
    tag = "Webhook endpoints",
    summary = "List endpoints",
    description = "All of the account's endpoints, oldest first.",
    responses(
        (status = 200, body = Endpoints<'_>, description = "The endpoints.",
            example = example::endpoints),
        Refused<(Keyed, Stored)>,
    ),
    security(("api_key" = ["webhooks"])),
)]
pub(crate) async fn list_endpoints(
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = app.caller(&headers, Scope::Webhooks).await?;
    let endpoints = app.store().list_endpoints(caller.account).await?;
    let data = endpoints.iter().map(EndpointResource::new).collect();
    Ok(Json(Endpoints { data }).into_response())
}

/// `GET /v1/webhook_endpoints/{id}`
#[utoipa::path(
    get,
    path = "/v1/webhook_endpoints/{id}",
    tag = "Webhook endpoints",
    summary = "See an endpoint",
    description = "One endpoint.",
    params(("id" = EndpointId, Path, description = "The endpoint.")),
    responses(
        (status = 200, body = EndpointResource<'_>, description = "The endpoint.",
            example = example::endpoint),
        Refused<(Keyed, Absent, Stored)>,
    ),
    security(("api_key" = ["webhooks"])),
)]
pub(crate) async fn show_endpoint(
    State(app): State<App>,
    Path(endpoint): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = app.caller(&headers, Scope::Webhooks).await?;
    let endpoint = find_endpoint(&app, caller.account, id(&endpoint)?).await?;
    Ok(Json(EndpointResource::new(&endpoint)).into_response())
}

/// `DELETE /v1/webhook_endpoints/{id}`: nothing more is sent to it, not even what was on its way.
#[utoipa::path(
    delete,
    path = "/v1/webhook_endpoints/{id}",
    tag = "Webhook endpoints",
    summary = "Delete an endpoint",
    description = "Nothing more is sent to it, not even what was on its way.",
    params(("id" = EndpointId, Path, description = "The endpoint.")),
    responses(
        (status = 204, description = "It is deleted."),
        Refused<(Keyed, Absent, Stored)>,
    ),
    security(("api_key" = ["webhooks"])),
)]
pub(crate) async fn delete_endpoint(
    State(app): State<App>,
    Path(endpoint): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = app.caller(&headers, Scope::Webhooks).await?;
    let deleted = app.store().delete_endpoint(caller.account, id(&endpoint)?, app.now()).await?;
    if deleted {
        Ok(StatusCode::NO_CONTENT.into_response())
    } else {
        Err(ProblemCode::NotFound.into())
    }
}

/// The account's endpoint; anybody else's is told like one that never was.
pub(crate) async fn find_endpoint(
    app: &App,
    account: AccountId,
    id: EndpointId,
) -> Result<Endpoint, Refusal> {
    let endpoints = app.store().list_endpoints(account).await?;
    let found = endpoints.into_iter().find(|endpoint| endpoint.id == id);
    found.ok_or_else(|| ProblemCode::NotFound.into())
}
