//! The status API: how payments stand, and where sellers want to be told.
//!
//! Reads come from the ledger alone. A client may wait for a change; it is woken over the status
//! channel, and by a slow look into the ledger where that was lost.

mod app;
mod archive;
mod cancel_payment;
mod desk;
mod etag;
mod events;
mod feed;
mod jobs;
mod key_document;
mod list_payments;
mod page;
mod payment_answer;
mod prefer;
mod query;
mod refusal;
mod settings;
mod show_payment;
mod show_receipt;
mod signing_keys;
mod sse;
mod stream_payment;
mod viewer;
mod waiters;
mod watch;
mod webhook_deliveries;
mod webhook_endpoints;
mod webhook_secret;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use queue::Queue;
use runtime::{Clock, Config, http};
use store::Store;
use tokio_util::sync::CancellationToken;

pub use app::App;
pub use settings::Settings;

/// The longest request body, in bytes: an endpoint's URL and event types.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// Serves the status API on the configured address until `shutdown`, then answers whoever waits
/// and finishes the requests under way.
///
/// # Errors
/// When the address cannot be listened on; once it serves, nothing ends it but `shutdown`.
pub async fn run(
    config: &Config,
    store: Store,
    queue: &Queue,
    clock: Clock,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let app = App::new(Settings::from_config(config), store, queue, clock, shutdown.clone());
    let listener = http::bind(config.results.listen).await?;
    tracing::info!(address = %listener.local_addr()?, "serving statuses");
    http::serve(listener, router(app), shutdown).await;
    Ok(())
}

/// The routes of the status API, with everything that its answers have in common.
pub fn router(app: App) -> Router {
    let routes = Router::new()
        .route("/v1/payments", get(list_payments::list_payments))
        .route("/v1/payments/{id}", get(show_payment::show_payment))
        .route("/v1/payments/{id}/stream", get(stream_payment::stream_payment))
        .route("/v1/payments/{id}/receipt", get(show_receipt::show_receipt))
        .route("/v1/events", get(events::list_events))
        .route("/v1/events/stream", get(events::stream_events))
        .route("/v1/events/{id}", get(events::show_event))
        .route("/v1/payments/{id}/cancel", post(cancel_payment::cancel_payment))
        .route(
            "/v1/webhook_endpoints",
            get(webhook_endpoints::list_endpoints).post(webhook_endpoints::create_endpoint),
        )
        .route(
            "/v1/webhook_endpoints/{id}",
            get(webhook_endpoints::show_endpoint)
                .patch(webhook_endpoints::update_endpoint)
                .delete(webhook_endpoints::delete_endpoint),
        )
        .route("/v1/webhook_endpoints/{id}/enable", post(webhook_endpoints::enable_endpoint))
        .route("/v1/webhook_endpoints/{id}/disable", post(webhook_endpoints::disable_endpoint))
        .route("/v1/webhook_endpoints/{id}/recover", post(webhook_endpoints::recover))
        .route("/v1/jobs/{id}", get(jobs::show_job))
        .route("/v1/webhook_endpoints/{id}/test", post(webhook_endpoints::try_endpoint))
        .route("/v1/webhook_endpoints/{id}/secret", get(webhook_endpoints::show_secret))
        .route("/v1/webhook_endpoints/{id}/secret/rotate", post(webhook_endpoints::rotate_secret))
        .route("/v1/webhook_endpoints/{id}/deliveries", get(webhook_deliveries::list_deliveries))
        .route("/v1/webhook_deliveries/{id}/attempts", get(webhook_deliveries::list_attempts))
        .route("/v1/webhook_deliveries/{id}/redeliver", post(webhook_deliveries::redeliver))
        .route("/.well-known/webhook-keys.json", get(key_document::show_keys))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(app);
    http::instrument(routes)
}
