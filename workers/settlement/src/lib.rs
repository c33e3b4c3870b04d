//! The settlement worker: from approved payments to money moved, each once.
//!
//! Per network: signers are leased (`lane`), payments whose bells have rung wait in an
//! `inbox`, each lane gathers them into `round`s (load, re-check, simulate, sign, store, and
//! only then send), and one `watcher` follows what was sent, block by block, until it is final.
//! Everything here may be killed between any two lines: what was stored is found again by the
//! next holder of the lane, and what was not stored was not sent.

mod attempts;
mod broadcast;
mod company;
mod decide;
mod error;
mod examine;
mod finality;
mod gas_watch;
mod held;
mod inbox;
mod lane;
mod market;
mod meters;
mod network;
mod policy;
mod prospect;
mod push;
mod replace;
mod round;
mod standing;
mod stray;
mod tracker;
mod watcher;

use std::num::NonZeroUsize;

use chain::{Node, Signer};
use queue::Queue;
use runtime::clock::Clock;
use store::Store;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use meters::begin_volume;
pub use policy::Policy;

/// One network to settle on.
#[derive(Clone, Debug)]
pub struct SettlementNetwork {
    /// Its node.
    pub node: Node,
    /// The signers whose keys this process has.
    pub signers: Vec<Signer>,
    /// Its bounds.
    pub policy: Policy,
}

/// The settlement worker of one process.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The ledger.
    pub store: Store,
    /// The queue.
    pub queue: Queue,
    /// The clock.
    pub clock: Clock,
    /// The networks to settle on.
    pub networks: Vec<SettlementNetwork>,
    /// How many payments of one network may be in work at once.
    pub concurrency: NonZeroUsize,
}

impl Settlement {
    /// Settles until `shutdown`; then finishes the rounds under way and gives the signers back.
    ///
    /// It ends before that only when something broke that a process started anew can mend.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut networks = JoinSet::new();
        for settings in &self.networks {
            let network = network::Network::new(&self, settings);
            networks.spawn(network.run(
                self.queue.clone(),
                settings.signers.clone(),
                self.concurrency,
                shutdown.clone(),
            ));
        }
        while let Some(ended) = networks.join_next().await {
            if !shutdown.is_cancelled() {
                return tracing::error!(?ended, "a network is not settled on any more");
            }
        }
    }
}
