//! The payment API: `POST /v1/payments`, and what stock x402 servers ask of a facilitator.
//!
//! A seller posts a settle request of x402 and has an answer once the ledger has committed it.
//! Nothing that takes a payment asks a chain or judges a risk: what can be known from the request
//! itself is checked, the signer is recovered, and the rest is the workers' business. Only who wants
//! to verify a payment is told what the chain says.

mod answer;
mod app;
mod digest;
mod door;
mod example;
mod facilitator;
mod idempotency;
mod intake;
mod meters;
mod payment_header;
mod refusal;
mod risk_headers;
mod settings;
mod submission;
mod submit;

use std::time::Duration;

use access::Entrance;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use chain::Node;
use domain::ChainId;
use queue::{Queue, Stream};
use runtime::config::NetworkConfig;
use runtime::{Clock, Config, http};
use store::Store;
use tokio_util::sync::CancellationToken;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use watchtower::Watchtower;

pub use app::App;
pub use facilitator::{Facilitator, FacilitatorSettings, OpenSettings, Payees};
pub use settings::{Settings, SettingsError};

/// How often a settlement that is waited for is looked at, should a notice of it be lost.
const RECHECK: Duration = Duration::from_secs(1);

/// Why the payment API did not start.
#[derive(Debug, thiserror::Error)]
pub enum IngressError {
    /// The configuration names a network or token that cannot be.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Tokens are to be taken and cannot be checked.
    #[error(transparent)]
    Tokens(#[from] access::JwtSetupError),
    /// The address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] std::io::Error),
}

/// Serves the payment API on the configured address until `shutdown`, then finishes the requests
/// under way, with the commits and rings that belong to them.
///
/// # Errors
/// [`IngressError`] when it cannot start; once it serves, nothing ends it but `shutdown`.
pub async fn run(
    config: &Config,
    store: Store,
    queue: &Queue,
    (nodes, clock): (Vec<Node>, Clock),
    shutdown: CancellationToken,
) -> Result<(), IngressError> {
    door::begin_metrics();
    meters::begin();
    let app = App::new(Settings::from_config(config)?, store.clone(), queue.bell(), clock.clone());
    let entrance = Entrance::from_config(config, app.keys().clone(), queue, clock)?;
    let facilitator = {
        let settings = FacilitatorSettings::from_config(config)?;
        // Whoever waits for a settlement is answered with the other requests under way.
        let never = CancellationToken::new();
        let watchtower = Watchtower::new(queue.subscribe(), store.clone(), RECHECK, never);
        Facilitator::new(app.clone(), store, nodes, watchtower, (settings, queue))
    };
    let heeding = {
        let (app, queue, shutdown) = (app.clone(), queue.clone(), shutdown.clone());
        let streams = streams(config)?;
        tokio::spawn(async move { app.heed_backlog(queue, streams, shutdown).await })
    };
    let listener = http::bind(config.ingress.listen).await?;
    tracing::info!(address = %listener.local_addr()?, "taking payments");
    let guard = |router| entrance.before(router);
    let router = router_behind(app.clone(), facilitator.clone(), guard);
    http::serve(listener, router, shutdown).await;
    facilitator.finish().await;
    app.finish().await;
    heeding.abort();
    Ok(())
}

/// Where payments wait for a worker.
fn streams(config: &Config) -> Result<Vec<Stream>, SettingsError> {
    let of = |network: &NetworkConfig| {
        let chain = ChainId::new(network.chain_id);
        chain.map(Stream::settle).ok_or(SettingsError::ChainId(network.chain_id))
    };
    std::iter::once(Ok(Stream::Risk)).chain(config.networks.iter().map(of)).collect()
}

/// The routes of the payment API, with everything that its answers have in common.
pub fn router(app: App, facilitator: Facilitator) -> Router {
    router_behind(app, facilitator, |router| router)
}

/// The same, with something before every route.
pub fn router_behind(
    app: App,
    facilitator: Facilitator,
    guard: impl FnOnce(Router) -> Router,
) -> Router {
    let max_body_bytes = app.settings().max_body_bytes;
    let (routes, _) = routes().split_for_parts();
    let (facilitating, _) = facilitator::routes().split_for_parts();
    let routes = routes.with_state(app).merge(facilitating.with_state(facilitator));
    let routes = routes.layer(DefaultBodyLimit::max(max_body_bytes));
    http::instrument_behind(routes.merge(reference::router()), guard)
}

/// The description of these routes.
pub fn api() -> OpenApi {
    let mut api = routes().into_openapi();
    api.merge(facilitator::routes().into_openapi());
    api
}

/// Each with its description, so that none can be without.
fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::default().routes(routes!(submit::submit_payment))
}
