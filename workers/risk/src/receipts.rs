//! Telling engines how payments ended: whatever is due, at least once each.

use std::sync::Arc;
use std::time::Duration;

use domain::{Timestamp, schedule};
use futures::StreamExt;
use futures::stream;
use runtime::clock::Clock;
use store::{DueReceipt, ReceiptNext, Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::engine::{ReceiptBox, Told};
use crate::{meters, receipt};

/// How often it is looked whether anything is due.
const LOOK: Duration = Duration::from_secs(1);

/// So many are claimed at once, and so many told at the same time.
const BATCH: i64 = 64;
const AT_ONCE: usize = 16;

/// Counted up to here.
const MOST_COUNTED: i64 = 10_000;

/// Tells an engine.
#[derive(Debug)]
pub(crate) struct Teller {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) engine: Arc<ReceiptBox>,
    /// How long one attempt may take.
    pub(crate) timeout: Duration,
}

impl Teller {
    /// Tells until `shutdown`. What is under way then is told by somebody else when its lease ends.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        meters::register_receipts();
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(looks.tick()).await.is_some() {
            let worked = shutdown.run_until_cancelled(self.tell_all_due()).await;
            if let Some(Err(error)) = worked {
                tracing::warn!(%error, "the risk engine is told later how payments ended");
            }
        }
    }

    async fn tell_all_due(&self) -> Result<(), StoreError> {
        loop {
            let due = self.store.claim_receipts(BATCH, self.lease(), self.now()).await?;
            if due.is_empty() {
                let backlog = self.store.receipt_backlog(MOST_COUNTED).await?;
                meters::receipts_pending(backlog.pending);
                return Ok(());
            }
            let told = stream::iter(due).map(|due| self.tell(due)).buffer_unordered(AT_ONCE);
            let told: Vec<Result<(), StoreError>> = told.collect().await;
            told.into_iter().collect::<Result<(), _>>()?;
        }
    }

    async fn tell(&self, due: DueReceipt) -> Result<(), StoreError> {
        let (payment, attempt) = (due.payment.id, due.attempt);
        let body = receipt::receipt(&due).to_string().into_bytes();
        let told = self.engine.tell(body, &payment.to_string()).await;
        meters::receipt(told);
        let now = self.now();
        let next = next(told, attempt, now);
        if next == ReceiptNext::GivenUp {
            tracing::warn!(%payment, outcome = told.as_str(), "the risk engine is not told how a payment ended");
        }
        self.store.settle_receipt(payment, attempt, (next, told.as_str()), now).await
    }

    /// As long as a whole batch can take, and a little more.
    fn lease(&self) -> Duration {
        let rounds = u32::try_from(BATCH).unwrap_or(u32::MAX) / u32::try_from(AT_ONCE).unwrap_or(1);
        self.timeout.saturating_mul(rounds).saturating_add(LOOK * 5)
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.clock.now_unix_ms())
    }
}

/// What becomes of a receipt after this attempt.
fn next(told: Told, attempt: u32, now: Timestamp) -> ReceiptNext {
    match told {
        Told::Taken => ReceiptNext::Delivered,
        Told::Refused(_) => ReceiptNext::GivenUp,
        Told::Later(_) => match schedule::delivery_delay(attempt, jitter()) {
            Some(delay) => ReceiptNext::Again(now.plus(delay)),
            None => ReceiptNext::GivenUp,
        },
    }
}

/// Evenly drawn, so that what failed together does not come back together.
fn jitter() -> u16 {
    u16::from_be_bytes(runtime::random_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Why;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_000_000);

    #[test]
    fn what_is_not_taken_is_told_again_as_often_as_a_webhook() {
        let later = Told::Later(Why::Timeout);
        assert!((1..=11).all(|attempt| matches!(next(later, attempt, NOW), ReceiptNext::Again(_))));
        assert_eq!(next(later, 12, NOW), ReceiptNext::GivenUp);
        assert_eq!(next(Told::Refused(422), 1, NOW), ReceiptNext::GivenUp);
        assert_eq!(next(Told::Taken, 12, NOW), ReceiptNext::Delivered);
    }
}
