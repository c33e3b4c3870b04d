//! Payments that are over, kept in memory: nothing about them changes any more.

use std::sync::Arc;

use domain::{AccountId, Payment, PaymentId};
use moka::sync::Cache;
use store::TimelineEntry;

/// The most memory they may take, in bytes, as far as that is known.
const MOST_BYTES: u64 = 32 * 1024 * 1024;

/// What a payment and its timeline take without what the seller has added, in bytes; rounded up.
const USUAL_BYTES: usize = 4 * 1024;

/// How often each JSON byte counts: a parsed value takes more than its text.
const PARSED: usize = 8;

const HITS: &str = "cache_hits_total";
const MISSES: &str = "cache_misses_total";

/// A payment that is over, and how it came to that.
#[derive(Debug)]
pub(crate) struct Over {
    pub(crate) payment: Payment,
    pub(crate) timeline: Vec<TimelineEntry>,
}

/// What is kept; who was asked for least goes first when there is no more room.
#[derive(Clone, Debug)]
pub(crate) struct Archive {
    kept: Cache<PaymentId, Arc<Over>>,
}

impl Archive {
    pub(crate) fn new() -> Self {
        for name in [HITS, MISSES] {
            metrics::counter!(name, "cache" => "payments").increment(0);
        }
        let kept = Cache::builder().weigher(|_, over: &Arc<Over>| bytes(over));
        Self { kept: kept.max_capacity(MOST_BYTES).build() }
    }

    /// The account's payment, if it is kept. Anybody else's is told like one that is not.
    pub(crate) fn find(&self, account: AccountId, id: PaymentId) -> Option<Arc<Over>> {
        let found = self.kept.get(&id).filter(|over| over.payment.account == account);
        if found.is_some() {
            metrics::counter!(HITS, "cache" => "payments").increment(1);
        }
        found
    }

    /// Keeps a payment, unless something can still happen to it.
    pub(crate) fn keep(&self, payment: &Payment, timeline: &[TimelineEntry]) {
        if payment.state.is_terminal() {
            let over = Over { payment: payment.clone(), timeline: timeline.to_vec() };
            self.kept.insert(payment.id, Arc::new(over));
            // What is not over is nowhere kept: to look for it in vain says nothing about the cache.
            metrics::counter!(MISSES, "cache" => "payments").increment(1);
        }
    }
}

fn bytes(over: &Over) -> u32 {
    let added = over.payment.metadata.as_ref().map_or(0, |metadata| metadata.to_string().len());
    u32::try_from(USUAL_BYTES.saturating_add(added.saturating_mul(PARSED))).unwrap_or(u32::MAX)
}
