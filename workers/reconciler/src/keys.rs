//! Forgetting idempotency keys whose time is over.

use std::time::Duration;

use domain::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::Reconciler;

/// How long a repeated `Idempotency-Key` is answered as a repetition: what the API promises.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// How often old keys are looked for.
const INTERVAL: Duration = Duration::from_secs(3600);

/// How many are deleted in one transaction, so that none takes long.
const BATCH: i64 = 1_000;

/// How many transactions one search makes at most: ten million keys an hour.
const MOST_BATCHES: u32 = 10_000;

/// Looks for old keys at once and then every hour, until `shutdown`.
pub(crate) async fn run(reconciler: Reconciler, shutdown: &CancellationToken) {
    let mut ticks = tokio::time::interval(INTERVAL);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        forget_old(&reconciler, shutdown).await;
    }
}

async fn forget_old(reconciler: &Reconciler, shutdown: &CancellationToken) {
    let kept_ms = i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX);
    let before = Timestamp::from_unix_ms(reconciler.now().unix_ms().saturating_sub(kept_ms));
    let mut forgotten = 0u64;
    for _ in 0..MOST_BATCHES {
        let result = reconciler.store.forget_idempotency_keys(before, BATCH).await;
        let Some(batch) = reconciler.ledger.note(result) else { break };
        forgotten = forgotten.saturating_add(batch);
        if batch < BATCH.unsigned_abs() || shutdown.is_cancelled() {
            break;
        }
    }
    if forgotten > 0 {
        tracing::info!(forgotten, "idempotency keys were forgotten");
    }
}
