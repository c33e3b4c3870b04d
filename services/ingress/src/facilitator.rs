//! The API of an x402 facilitator: stock servers verify and settle here, unchanged.
//!
//! What is settled here goes the way of every payment: one row, one judgement, one transaction. What
//! is different is that whoever asks waits for the end of it.

mod answer;
mod desk;
mod example;
mod identifier;
mod open;
mod request;
mod senders;
mod settle;
mod settlement;
mod simulation;
mod supported;
mod verify;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chain::Node;
use domain::ChainId;
use queue::Queue;
use runtime::problem::document::Codes;
use runtime::{Config, ProblemCode};
use store::Store;
use tokio_util::task::TaskTracker;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use watchtower::Watchtower;
use x402::Assets;

use self::desk::Desk;
use self::open::Open;
pub use self::open::{OpenSettings, Payees};
use self::senders::Senders;
use self::simulation::Simulator;
use crate::{App, SettingsError, settings};

/// What the facilitator's handlers share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Facilitator(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    app: App,
    store: Store,
    desk: Desk,
    senders: Senders,
    simulators: HashMap<ChainId, Simulator>,
    watchtower: Watchtower,
    open: Option<Open>,
    assets: Assets,
    longest_wait: Duration,
    /// Settlements that are seen to their end, whether their caller waits for it or not.
    settling: TaskTracker,
}

/// What an operator decides about the facilitator.
#[derive(Clone, Debug)]
pub struct FacilitatorSettings {
    /// How callers without an API key are let in; without it every caller needs one.
    pub open: Option<OpenSettings>,
    /// The tokens that are settled here, a part of those that payments may be made in.
    pub assets: Assets,
    /// The longest that a settlement is waited for.
    pub longest_wait: Duration,
}

impl FacilitatorSettings {
    /// The settings in this configuration.
    ///
    /// # Errors
    /// [`SettingsError`] when the account is none, or a network, token or payee cannot be.
    pub fn from_config(config: &Config) -> Result<Self, SettingsError> {
        let listed = &config.facilitator.assets;
        let is_settled = |chain_id, address: &_| {
            listed.is_empty() || listed.iter().any(|listed| listed.covers(chain_id, address))
        };
        Ok(Self {
            open: OpenSettings::from_config(config)?,
            assets: settings::listed(&config.networks, is_settled)?,
            longest_wait: Duration::from_secs(config.facilitator.wait_secs),
        })
    }
}

impl Facilitator {
    /// Puts the parts together. Must be called within a tokio runtime.
    pub fn new(
        app: App,
        store: Store,
        nodes: Vec<Node>,
        watchtower: Watchtower,
        (settings, queue): (FacilitatorSettings, &Queue),
    ) -> Self {
        let simulators = nodes.into_iter().map(|node| (node.chain(), Simulator::new(node)));
        let FacilitatorSettings { open, assets, longest_wait } = settings;
        let open = open.map(|settings| Open::new(settings, queue));
        let (simulators, settling) = (simulators.collect(), TaskTracker::new());
        let (desk, senders) = (Desk::new(store.clone()), Senders::new(store.clone()));
        Self(Arc::new(Shared {
            app,
            store,
            desk,
            senders,
            simulators,
            watchtower,
            open,
            assets,
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
