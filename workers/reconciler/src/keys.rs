//! Forgetting idempotency keys, and sessions of the risk engine, whose time is over.

use std::time::Duration;

use domain::Timestamp;
use store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::Reconciler;

/// How long a repeated `Idempotency-Key` is answered as a repetition: what the API promises.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long a session of the risk engine is kept after its end, for a look at what went wrong.
const SESSIONS_KEPT: Duration = Duration::from_secs(3600);

/// How often what is old is looked for.
const INTERVAL: Duration = Duration::from_secs(3600);

/// How many are deleted in one transaction, so that none takes long.
const BATCH: i64 = 1_000;

/// How many transactions one search makes at most: ten million rows an hour.
const MOST_BATCHES: u32 = 10_000;

/// What is kept for a while.
#[derive(Clone, Copy, Debug)]
enum Kept {
    Keys,
    Sessions,
}

impl Kept {
    const fn how_long(self) -> Duration {
        match self {
            Self::Keys => KEPT,
            Self::Sessions => SESSIONS_KEPT,
        }
    }

    async fn forget(self, store: &Store, before: Timestamp) -> Result<u64, StoreError> {
        match self {
            Self::Keys => store.forget_idempotency_keys(before, BATCH).await,
            Self::Sessions => store.forget_risk_sessions(before, BATCH).await,
        }
    }
}

/// Looks for what is old at once and then every hour, until `shutdown`.
pub(crate) async fn run(reconciler: Reconciler, shutdown: &CancellationToken) {
    let mut ticks = tokio::time::interval(INTERVAL);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        for kept in [Kept::Keys, Kept::Sessions] {
            forget_old(&reconciler, kept, shutdown).await;
        }
    }
}

async fn forget_old(reconciler: &Reconciler, kept: Kept, shutdown: &CancellationToken) {
    let kept_ms = i64::try_from(kept.how_long().as_millis()).unwrap_or(i64::MAX);
    let before = Timestamp::from_unix_ms(reconciler.now().unix_ms().saturating_sub(kept_ms));
    let mut forgotten = 0u64;
    for _ in 0..MOST_BATCHES {
        let result = kept.forget(&reconciler.store, before).await;
        let Some(batch) = reconciler.ledger.note(result) else { break };
        forgotten = forgotten.saturating_add(batch);
        if batch < BATCH.unsigned_abs() || shutdown.is_cancelled() {
            break;
        }
    }
    if forgotten > 0 {
        tracing::info!(forgotten, what = ?kept, "what was old was forgotten");
    }
}
