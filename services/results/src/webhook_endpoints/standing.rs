//! `POST /v1/webhook_endpoints/{id}/enable` and `…/disable`

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use domain::{EndpointId, Scope};
use runtime::{ProblemCode, json};
use serde::Deserialize;
use store::Announce;

use super::recover::{recover_since, recoverable};
use super::{EndpointResource, find_endpoint};
use crate::App;
use crate::refusal::{Refusal, id};

/// Why an endpoint is told nothing that its owner has disabled.
const BY_ITS_OWNER: &str = "owner";

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    recover_since: Option<String>,
}

/// Tells an endpoint again, from what was held on, and, where that is wanted, what it missed.
pub(crate) async fn enable_endpoint(
    State(app): State<App>,
    Path(endpoint): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let caller = app.caller(request.headers(), Scope::Webhooks).await?;
    let endpoint: EndpointId = id(&endpoint)?;
    let wanted = match request.headers().contains_key(CONTENT_TYPE) {
        true => json::parse(&json::read_body(request).await?)?,
        false => Wanted::default(),
    };
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
