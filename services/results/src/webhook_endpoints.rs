//! `/v1/webhook_endpoints`: where a seller wants to be told, and of what.

mod create;
mod recover;
mod secret;
mod standing;
mod terms;
mod trial;
mod update;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::{AccountId, EndpointId, EventType, Scope, Timestamp};
use runtime::ProblemCode;
use serde::Serialize;
use store::{Endpoint, EndpointState};

pub(crate) use self::create::create_endpoint;
pub(crate) use self::recover::recover;
pub(crate) use self::secret::{rotate_secret, show_secret};
pub(crate) use self::standing::{disable_endpoint, enable_endpoint};
use self::terms::TermsResource;
pub(crate) use self::trial::try_endpoint;
pub(crate) use self::update::update_endpoint;
use crate::App;
use crate::refusal::{Refusal, id};

/// An endpoint as its owner sees it.
#[derive(Serialize)]
struct EndpointResource<'a> {
    id: EndpointId,
    object: &'static str,
    url: &'a str,
    event_types: &'a [EventType],
    status: &'static str,
    disabled_reason: Option<&'a str>,
    /// Since when nothing has arrived at it, if so.
    failing_since: Option<Timestamp>,
    #[serde(flatten)]
    terms: TermsResource,
    created_at: Timestamp,
}

#[derive(Serialize)]
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
