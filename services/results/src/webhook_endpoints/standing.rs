//! `POST /v1/webhook_endpoints/{id}/enable` and `…/disable`

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use domain::{EndpointId, Scope};
use runtime::problem::document::{Absent, Bodied, Contested, Keyed, Malformed, Refused, Stored};
use runtime::{ProblemCode, json};
use serde::Deserialize;
use store::Announce;
use utoipa::ToSchema;

use super::recover::{recover_since, recoverable};
use super::{EndpointResource, find_endpoint};
use crate::refusal::{Refusal, id};
use crate::{App, example};

/// Why an endpoint is told nothing that its owner has disabled.
const BY_ITS_OWNER: &str = "owner";

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Enabling, description = "What an endpoint that is enabled is told besides.")]
struct Wanted {
    /// It is told what it missed since then, which is at most 30 days ago.
    #[serde(default)]
    #[schema(format = "date-time")]
    recover_since: Option<String>,
}

/// Tells an endpoint again, from what was held on, and, where that is wanted, what it missed.
#[utoipa::path(
    post,
    path = "/v1/webhook_endpoints/{id}/enable",
    tag = "Webhook endpoints",
    summary = "Enable an endpoint",
    description = "Tells it again, from what was held on. With `recover_since` a job is begun that \
        tells it what it missed as well.",
    params(("id" = EndpointId, Path, description = "The endpoint.")),
    request_body(content = Option<Wanted>, example = example::enabling),
    responses(
        (status = 200, body = EndpointResource<'_>, description = "The endpoint.",
            example = example::endpoint),
        Refused<(Keyed, Absent, Bodied, Contested, Malformed, Stored)>,
    ),
    security(("api_key" = ["webhooks"])),
)]
pub(crate) async fn enable_endpoint(
    State(app): State<App>,
    Path(endpoint): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let caller = app.caller(request.headers(), Scope::Webhooks).await?;
    let endpoint: EndpointId = id(&endpoint)?;
    let wanted: Wanted = json::optional_body(request).await?;
    let since = wanted.recover_since.as_deref();
    let since = since.map(|text| recoverable("/recover_since", text, app.now())).transpose()?;
    if !app.store().enable_endpoint(caller.account, endpoint, app.now()).await? {
        return Err(ProblemCode::NotFound.into());
    }
    if let Some(since) = since {
        recover_since(&app, caller.account, endpoint, since).await?;
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
    let (store, now) = (app.store(), app.now());
    store.disable_endpoint(endpoint, BY_ITS_OWNER, Announce::ToNobody, now).await?;
    let endpoint = find_endpoint(&app, caller.account, endpoint).await?;
    Ok(Json(EndpointResource::new(&endpoint)).into_response())
}
