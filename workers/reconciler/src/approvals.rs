//! Forgetting approvals of payments that have been in a block for long.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::Reconciler;

/// How often they are looked for: they come as fast as payments.
const INTERVAL: Duration = Duration::from_secs(10);

/// How many are deleted in one transaction, so that none takes long.
const BATCH: i64 = 2_000;

/// How many transactions one look makes at most.
const MOST_BATCHES: u32 = 100;

/// Forgets them until `shutdown`.
pub(crate) async fn run(reconciler: Reconciler, shutdown: &CancellationToken) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        for _ in 0..MOST_BATCHES {
            let swept = reconciler.store.sweep_approvals(BATCH, reconciler.now()).await;
            let Some(swept) = reconciler.ledger.note(swept) else { break };
            if swept < BATCH.unsigned_abs() || shutdown.is_cancelled() {
                break;
            }
        }
    }
}
