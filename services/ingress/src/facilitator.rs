//! The API of an x402 facilitator: stock servers verify and settle here, unchanged.
//!
//! What is settled here goes the way of every payment: one row, one judgement, one transaction. What
//! is different is that whoever asks waits for the end of it.

mod answer;
mod desk;
mod example;
mod request;
mod settle;
mod settlement;
mod simulation;
mod supported;
mod verify;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use chain::Node;
use domain::{AccountId, ChainId, Scope};
use runtime::config::FacilitatorConfig;
use runtime::problem::document::Codes;
use runtime::{Config, Problem, ProblemCode};
use store::Store;
use tokio_util::task::TaskTracker;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use watchtower::Watchtower;

use crate::{App, SettingsError, refusal};
use desk::Desk;
use simulation::Simulator;

/// What the facilitator's handlers share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Facilitator(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    app: App,
    store: Store,
    desk: Desk,
    simulators: HashMap<ChainId, Simulator>,
    watchtower: Watchtower,
    open_account: Option<AccountId>,
    longest_wait: Duration,
    /// Settlements that are seen to their end, whether their caller waits for it or not.
    settling: TaskTracker,
}

/// What an operator decides about the facilitator.
#[derive(Clone, Copy, Debug)]
pub struct FacilitatorSettings {
    /// Whose payments those are that come without an API key; without it every caller needs one.
    pub open_account: Option<AccountId>,
    /// The longest that a settlement is waited for.
    pub longest_wait: Duration,
}

impl FacilitatorSettings {
    /// The settings in this configuration.
    ///
    /// # Errors
    /// [`SettingsError`] when the account is none.
    pub fn from_config(config: &Config) -> Result<Self, SettingsError> {
        let FacilitatorConfig { open_account, wait_secs } = &config.facilitator;
        let account = match open_account.as_str() {
            "" => None,
            name => Some(name.parse().map_err(|_| SettingsError::Account(name.to_owned()))?),
        };
        Ok(Self { open_account: account, longest_wait: Duration::from_secs(*wait_secs) })
    }
}

impl Facilitator {
    /// Puts the parts together. Must be called within a tokio runtime.
    pub fn new(
        app: App,
        store: Store,
        nodes: Vec<Node>,
        watchtower: Watchtower,
        settings: FacilitatorSettings,
    ) -> Self {
        let simulators = nodes.into_iter().map(|node| (node.chain(), Simulator::new(node)));
        let FacilitatorSettings { open_account, longest_wait } = settings;
        let (simulators, settling) = (simulators.collect(), TaskTracker::new());
        let desk = Desk::new(store.clone());
        Self(Arc::new(Shared {
            app,
            store,
            desk,
            simulators,
            watchtower,
            open_account,
            longest_wait,
            settling,
        }))
    }

    /// Waits until no settlement is waited for any more, which takes no longer than callers wait. To be
    /// called when no request is under way any more.
    pub async fn finish(&self) {
        self.0.settling.close();
        self.0.settling.wait().await;
    }

    /// For whom the caller settles.
    async fn account(&self, headers: &HeaderMap) -> Result<AccountId, Problem> {
        if let (Some(account), false) = (self.0.open_account, headers.contains_key(AUTHORIZATION)) {
            return Ok(account);
        }
        let app = &self.0.app;
        let caller = app.keys().authorize(headers, Scope::PaymentsWrite).await;
        Ok(caller.map_err(|denied| refusal::not_let_in(denied, app.settings()))?.account)
    }
}

/// What a body can be besides malformed, which is told in the words of x402.
enum Unread {}

impl Codes for Unread {
    fn codes() -> Vec<ProblemCode> {
        use ProblemCode::{PayloadTooLarge, RequestTimeout, UnsupportedMediaType};
        vec![RequestTimeout, PayloadTooLarge, UnsupportedMediaType]
    }
}

/// While the ledger is away, nobody can be looked up, and nothing is settled.
enum Unkept {}

impl Codes for Unkept {
    fn codes() -> Vec<ProblemCode> {
        vec![ProblemCode::AcceptUnavailable, ProblemCode::InternalError]
    }
}

/// Each with its description, so that none can be without.
pub(crate) fn routes() -> OpenApiRouter<Facilitator> {
    OpenApiRouter::default()
        .routes(routes!(supported::show_supported))
        .routes(routes!(verify::verify_payment))
        .routes(routes!(settle::settle_payment))
}
