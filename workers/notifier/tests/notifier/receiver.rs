//! Answers 204 to what the endpoint's secret has signed within the last five minutes, and 400 to everything else.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use standardwebhooks::{Webhook, WebhookError};

/// The receiver of an endpoint with this secret.
pub(crate) fn receiver(secret: &str) -> Result<Router, WebhookError> {
    let webhook = Arc::new(Webhook::new(secret)?);
    Ok(Router::new().route("/hook", post(receive)).with_state(webhook))
}

async fn receive(
    State(webhook): State<Arc<Webhook>>,
    headers: HeaderMap,
    // The body as it came: JSON that was parsed and written again is not what was signed.
    body: Bytes,
) -> StatusCode {
    if webhook.verify(&body, &headers).is_err() {
        return StatusCode::BAD_REQUEST;
    }
    // Here the event is kept, unless its id is known already.
    StatusCode::NO_CONTENT
}
