//! The reconciler: looks for what is due in the ledger and rings its bell.
//!
//! The queue may lose anything at any time. Whatever is not over has a due time in the ledger, and
//! here is who reads it: a payment that nobody moved, a delivery whose next attempt has come, a
//! bell that Redis forgot. Nothing is decided and no payment is changed here, so that any number
//! of reconcilers may run at once. Beside that, and apart from it, ledger and chain are compared:
//! see [`audit`].

mod approvals;
pub mod audit;
mod keys;
mod measure;
mod outage;
mod recover;
mod rung;
mod wake;

use std::sync::Arc;
use std::time::Duration;

use domain::{ChainId, Timestamp};
use queue::Queue;
use runtime::{Clock, Config};
use store::Store;
use tokio_util::sync::CancellationToken;

use outage::Outage;

/// What the loops of one reconciler share.
#[derive(Clone)]
struct Reconciler {
    store: Store,
    queue: Queue,
    clock: Clock,
    /// One for all loops, so that an outage of the ledger is told once.
    ledger: Arc<Outage>,
    redis: Arc<Outage>,
}

/// Rings for what is due until `shutdown`.
///
/// Besides, tells endpoints again what they missed, measures what is due and forgets old idempotency
/// keys. Neither an outage of PostgreSQL nor one of Redis ends it.
pub async fn run(
    config: &Config,
    store: Store,
    queue: &Queue,
    clock: Clock,
    shutdown: CancellationToken,
) {
    let reconciler = Reconciler {
        store,
        queue: queue.clone(),
        clock,
        ledger: Arc::new(Outage::of("the ledger")),
        redis: Arc::new(Outage::of("Redis")),
    };
    let interval = Duration::from_millis(config.reconciler.interval_ms.max(1));
    let batch = i64::try_from(config.reconciler.batch).unwrap_or(i64::MAX).max(1);
    let chains: Vec<ChainId> =
        config.networks.iter().filter_map(|network| ChainId::new(network.chain_id)).collect();
    tokio::join!(
        wake::run(reconciler.clone(), &chains, (interval, batch), &shutdown),
        Box::pin(measure::run(reconciler.clone(), &chains, &shutdown)),
        recover::run(reconciler.clone(), &shutdown),
        approvals::run(reconciler.clone(), &shutdown),
        keys::run(reconciler, &shutdown),
    );
}

impl Reconciler {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.clock.now_unix_ms())
    }
}
