//! `GET /.well-known/webhook-keys.json`

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use receipt::KeyDocument;

use crate::App;
use crate::refusal::Refusal;

/// A new key is shown for much longer than this before anything is signed with it.
const KEPT: &str = "public, max-age=300";

/// The keys that verify what this installation signs, for everybody (RFC 7517).
pub(crate) async fn show_keys(State(app): State<App>) -> Result<Response, Refusal> {
    // Whatever else is verified with public keys adds its own to this one chain.
    let installation = app.signing_keys().ring().await?;
    let document = KeyDocument::new(installation.public());
    Ok(([(CACHE_CONTROL, KEPT)], Json(document)).into_response())
}
