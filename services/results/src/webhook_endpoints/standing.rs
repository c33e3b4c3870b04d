//! `POST /v1/webhook_endpoints/{id}/enable` and `…/disable`

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use domain::{EndpointId, Scope};
use runtime::ProblemCode;
use runtime::problem::document::{Absent, Keyed, Refused, Stored};

use super::{EndpointResource, find_endpoint};
use crate::refusal::{Refusal, id};
use crate::{App, example};

/// Why an endpoint is told nothing that its owner has disabled.
const BY_ITS_OWNER: &str = "owner";

/// Tells an endpoint again, from what was held on.
#[utoipa::path(
    post,
    path = "/v1/webhook_endpoints/{id}/enable",
    tag = "Webhook endpoints",
    summary = "Enable an endpoint",
    description = "Tells it again, from what was held on.",
    params(("id" = EndpointId, Path, description = "The endpoint.")),
    responses(
        (status = 200, body = EndpointResource<'_>, description = "The endpoint.",
            example = example::endpoint),
        Refused<(Keyed, Absent, Stored)>,
    ),
    security(("api_key" = ["webhooks"])),
)]
pub(crate) async fn enable_endpoint(
    State(app): State<App>,
    Path(endpoint): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = app.caller(&headers, Scope::Webhooks).await?;
    let endpoint: EndpointId = id(&endpoint)?;
    if !app.store().enable_endpoint(caller.account, endpoint, app.now()).await? {
        return Err(ProblemCode::NotFound.into());
    }
    let endpoint = find_endpoint(&app, caller.account, endpoint).await?;
    Ok(Json(EndpointResource::new(&endpoint)).into_response())
}

/// Tells an endpoint nothing until it is enabled again; what is on its way is held.
#[utoipa::path(
    post,
    path = "/v1/webhook_endpoints/{id}/disable",
    tag = "Webhook endpoints",
    summary = "Disable an endpoint",
    description = "Tells it nothing until it is enabled again; what is on its way is held.",
    params(("id" = EndpointId, Path, description = "The endpoint.")),
    responses(
        (status = 200, body = EndpointResource<'_>, description = "The endpoint.",
            example = example::disabled_endpoint),
        Refused<(Keyed, Absent, Stored)>,
    ),
    security(("api_key" = ["webhooks"])),
)]
pub(crate) async fn disable_endpoint(
    State(app): State<App>,
    Path(endpoint): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = app.caller(&headers, Scope::Webhooks).await?;
    let endpoint = find_endpoint(&app, caller.account, id(&endpoint)?).await?.id;
    app.store().disable_endpoint(endpoint, BY_ITS_OWNER, app.now()).await?;
    let endpoint = find_endpoint(&app, caller.account, endpoint).await?;
    Ok(Json(EndpointResource::new(&endpoint)).into_response())
}
