//! The status API: how payments stand, and where sellers want to be told.
//!
//! Reads come from the ledger alone. A client may wait for a change; it is woken over the status
//! channel, and by a slow look into the ledger where that was lost.

mod app;
mod archive;
mod cancel_payment;
mod cancellations;
mod desk;
mod etag;
mod event_types;
mod events;
mod example;
mod feed;
mod holds;
mod jobs;
mod key_document;
mod list_payments;
mod page;
mod payment_answer;
mod payment_risk;
mod prefer;
mod query;
mod refusal;
mod risk_engine;
mod risk_policy;
mod settings;
mod show_payment;
mod show_receipt;
mod signing_keys;
mod sse;
mod stream_payment;
mod viewer;
mod waiters;
mod webhook_deliveries;
mod webhook_endpoints;
mod webhook_secret;

use access::Entrance;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use queue::Queue;
use runtime::{Clock, Config, http};
use store::Store;
use tokio_util::sync::CancellationToken;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use app::App;
pub use risk_engine::LocalRisk;
pub use settings::Settings;

use risk_engine::MAX_TRACE_BYTES;

/// The longest request body, in bytes: an endpoint's URL and event types.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// Why the status API did not start.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// Tokens are to be taken and cannot be checked.
    #[error(transparent)]
    Tokens(#[from] access::JwtSetupError),
    /// The address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] std::io::Error),
}

/// Serves the status API on the configured address until `shutdown`, then answers whoever waits
/// and finishes the requests under way.
///
/// # Errors
/// [`ResultsError`] when it cannot start; once it serves, nothing ends it but `shutdown`.
pub async fn run(
    config: &Config,
    store: Store,
    queue: &Queue,
    clock: Clock,
    shutdown: CancellationToken,
) -> Result<(), ResultsError> {
    show_payment::begin_metrics();
    let settings = Settings::from_config(config);
    let app = App::new(settings, store, queue, clock.clone(), shutdown.clone());
    let entrance = Entrance::from_config(config, app.keys().clone(), queue, clock)?;
    let listener = http::bind(config.results.listen).await?;
    tracing::info!(address = %listener.local_addr()?, "serving statuses");
    let router = router_behind(app, |router| entrance.before(router));
    http::serve(listener, router, shutdown).await;
    Ok(())
}

/// The routes of the status API, with everything that its answers have in common.
pub fn router(app: App) -> Router {
    router_behind(app, |router| router)
}

/// The same, with something before every route.
pub fn router_behind(app: App, guard: impl FnOnce(Router) -> Router) -> Router {
    let (routes, _) = routes().split_for_parts();
    let routes = routes.layer(DefaultBodyLimit::max(MAX_BODY_BYTES)).with_state(app);
    http::instrument_behind(routes.merge(reference::router()), guard)
}

/// The description of these routes.
pub fn api() -> OpenApi {
    routes().into_openapi()
}

/// Each with its description, so that none can be without.
fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(routes!(list_payments::list_payments))
        .routes(routes!(show_payment::show_payment))
        .routes(routes!(stream_payment::stream_payment))
        .routes(routes!(show_receipt::show_receipt))
        .routes(routes!(cancel_payment::cancel_payment))
        .routes(routes!(events::list_events))
        .routes(routes!(events::stream_events))
        .routes(routes!(events::show_event))
        .routes(routes!(
            webhook_endpoints::list_endpoints,
            webhook_endpoints::create::create_endpoint
        ))
        .routes(routes!(
            webhook_endpoints::show_endpoint,
            webhook_endpoints::update::update_endpoint,
            webhook_endpoints::delete_endpoint,
        ))
        .routes(routes!(webhook_endpoints::standing::enable_endpoint))
        .routes(routes!(webhook_endpoints::standing::disable_endpoint))
        .routes(routes!(webhook_endpoints::trial::try_endpoint))
        .routes(routes!(webhook_endpoints::recover::recover))
        .routes(routes!(jobs::show_job))
        .routes(routes!(event_types::list_event_types))
        .routes(routes!(webhook_endpoints::secret::show_secret))
        .routes(routes!(webhook_endpoints::secret::rotate_secret))
        .routes(routes!(webhook_deliveries::list_deliveries))
        .routes(routes!(webhook_deliveries::list_attempts))
        .routes(routes!(payment_risk::show_risk))
        .routes(routes!(risk_policy::show_policy, risk_policy::write_policy))
        .routes(routes!(risk_policy::dry_run::dry_run))
        .routes(routes!(holds::list_holds))
        .routes(routes!(holds::approve_hold))
        .routes(routes!(holds::deny_hold))
        .routes(routes!(webhook_deliveries::redeliver))
        .routes(routes!(key_document::show_keys))
        .routes(routes!(risk_engine::session::begin_session))
        .routes(routes!(risk_engine::session::show_session))
        .routes(routes!(risk_engine::trace::show_trace))
        .merge(traced())
}

/// What agents tell of themselves is longer than other bodies.
fn traced() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(routes!(risk_engine::trace::tell_trace))
        .routes(routes!(risk_engine::evaluate::evaluate))
        .layer(DefaultBodyLimit::max(MAX_TRACE_BYTES))
}
