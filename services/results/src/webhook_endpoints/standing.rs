//! `POST /v1/webhook_endpoints/{id}/enable` and `…/disable`

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use domain::{EndpointId, Scope};
use runtime::ProblemCode;
use store::Announce;

use super::{EndpointResource, find_endpoint};
use crate::App;
use crate::refusal::{Refusal, id};

/// Why an endpoint is told nothing that its owner has disabled.
const BY_ITS_OWNER: &str = "owner";

/// Tells an endpoint again, from what was held on.
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
