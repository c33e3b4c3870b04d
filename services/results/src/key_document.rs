//! `GET /.well-known/webhook-keys.json`

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use domain::EndpointId;
use receipt::{KeyDocument, PublicKey, endpoint_key};
use runtime::problem::document::{Queried, Refused, Stored};

use crate::query::Query;
use crate::refusal::Refusal;
use crate::{App, example};

/// A new key is shown for much longer than this before anything is signed with it.
const KEPT: &str = "public, max-age=300";

/// The keys that verify what this installation signs, for everybody (RFC 7517): its own, and those
/// of webhook endpoints that are told with Ed25519. With `?endpoint=` it is that endpoint's alone.
#[utoipa::path(
    get,
    path = "/.well-known/webhook-keys.json",
    tag = "Webhook endpoints",
    summary = "Get the keys that verify signatures",
    description = "The installation's keys, which sign receipts, and those of webhook endpoints that \
        are told with Ed25519 (RFC 7517). With `endpoint` it is that endpoint's alone.",
    params(("endpoint" = Option<EndpointId>, Query, description = "One endpoint's keys alone.")),
    responses(
        (status = 200, body = KeyDocument, description = "The keys.", example = example::keys),
        Refused<(Queried, Stored)>,
    ),
    security(()),
)]
pub(crate) async fn show_keys(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let mut query = Query::read(query.as_deref())?;
    let endpoint: Option<EndpointId> = query.take("endpoint", "an endpoint's id")?;
    query.finish()?;
    let installation = app.signing_keys().ring().await?;
    let secrets = app.signing_keys().endpoint_secrets(endpoint, app.now()).await?;
    let endpoints = secrets.iter().map(|secret| endpoint_key(secret).public());
    let keys: Vec<PublicKey> = match endpoint {
        Some(_) => endpoints.collect(),
        None => installation.public().chain(endpoints).collect(),
    };
    Ok(([(CACHE_CONTROL, KEPT)], Json(KeyDocument::new(keys))).into_response())
}
