//! Waiting for a payment to change, on behalf of whoever asks over HTTP.

#![deny(missing_docs)]

use std::time::Duration;

use domain::{AccountId, PaymentId};
use queue::status::{Subscriber, Watch};
use runtime::Coalescer;
use store::Store;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// The most versions read with one statement.
const VERSIONS_AT_ONCE: usize = 1_000;

/// Statements under way at once; those who wait meanwhile share the next one.
const LOOKS_AT_ONCE: usize = 2;

/// Hears of changes over the status channel and, in case a notice was lost, looks into the ledger
/// now and then. With Redis away, only promptness is lost.
#[derive(Clone, Debug)]
pub struct Watchtower {
    subscriber: Subscriber,
    versions: Coalescer<PaymentId, Option<u32>>,
    recheck: Duration,
    stopping: CancellationToken,
}

/// A watch over one payment, from before its version was read.
#[derive(Debug)]
pub struct Lookout {
    payment: PaymentId,
    /// None when the process watches as many as it can; the ledger is looked into all the same.
    watch: Option<Watch>,
}

/// A watch over whatever happens to an account's payments, from before its events were read.
#[derive(Debug)]
pub struct AccountLookout {
    watch: Option<Watch>,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// There is something new, or may be.
    Changed,
    /// The time was up.
    TimeUp,
    /// The process stops.
    Stopping,
}

impl Ended {
    /// The name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::TimeUp => "time_up",
            Self::Stopping => "stopping",
        }
    }
}

impl Watchtower {
    /// Starts to listen. Must be called within a tokio runtime.
    pub fn new(
        subscriber: Subscriber,
        store: Store,
        recheck: Duration,
        stopping: CancellationToken,
    ) -> Self {
        let versions = Coalescer::spawn("versions", VERSIONS_AT_ONCE, LOOKS_AT_ONCE, move |ids| {
            read_versions(store.clone(), ids)
        });
        Self { subscriber, versions, recheck, stopping }
    }

    /// Watches a payment from now on. Read it *after* this, or a change in between goes unheard.
    pub fn look_out(&self, payment: PaymentId) -> Lookout {
        Lookout { payment, watch: self.subscriber.watch(payment.to_string()).ok() }
    }

    /// Waits until the payment has a higher version than `known`, at most until `deadline`.
    pub async fn wait(&self, lookout: Lookout, known: u32, deadline: Instant) -> Ended {
        let Lookout { payment, mut watch } = lookout;
        let mut recheck = interval_at(Instant::now() + self.recheck, self.recheck);
        recheck.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                version = heard(watch.as_mut()) => {
                    if version > u64::from(known) {
                        return Ended::Changed;
                    }
                }
                _ = recheck.tick() => {
                    if self.version(payment).await.is_some_and(|version| version > known) {
                        return Ended::Changed;
                    }
                }
                () = sleep_until(deadline) => return Ended::TimeUp,
                () = self.stopping.cancelled() => return Ended::Stopping,
            }
        }
    }

    /// Watches an account from now on. Read its events *after* this.
    pub fn look_out_for(&self, account: AccountId) -> AccountLookout {
        AccountLookout { watch: self.subscriber.watch(account.to_string()).ok() }
    }

    /// Waits until something happens to the account, at most for `pause`, and not beyond `deadline`.
    /// What happened since the last wait ends this one at once.
    pub async fn wait_for_news(
        &self,
        lookout: &mut AccountLookout,
        pause: Duration,
        deadline: Instant,
    ) -> Ended {
        tokio::select! {
            _ = heard(lookout.watch.as_mut()) => Ended::Changed,
            () = sleep(pause) => Ended::Changed,
            () = sleep_until(deadline) => Ended::TimeUp,
            () = self.stopping.cancelled() => Ended::Stopping,
        }
    }

    /// How often a waiting request looks by itself.
    #[must_use]
    pub const fn recheck(&self) -> Duration {
        self.recheck
    }

    /// The payment's version, unless the ledger cannot say now.
    async fn version(&self, payment: PaymentId) -> Option<u32> {
        // Where it was not asked at all, the next look comes soon enough.
        self.versions.submit(payment).await.unwrap_or_default()
    }
}

/// The next version that was published; never, where nobody can be heard.
async fn heard(watch: Option<&mut Watch>) -> u64 {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

async fn read_versions(store: Store, ids: Vec<PaymentId>) -> Vec<Option<u32>> {
    match store.versions(&ids).await {
        Ok(found) => {
            let found: std::collections::HashMap<_, _> = found.into_iter().collect();
            ids.iter().map(|id| found.get(id).copied()).collect()
        }
        Err(error) => {
            tracing::warn!(%error, waiting = ids.len(), "versions could not be read");
            ids.iter().map(|_| None).collect()
        }
    }
}
