//! Where payments are read: who asks at the same time shares one statement, and what is over is read
//! once.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use domain::{AccountId, B256, Payment, PaymentId, TransactionId};
use runtime::Coalescer;
use runtime::coalesce::Limits;
use store::{DeliveryCounts, Evaluation, Store, StoreError, TimelineEntry};

use crate::archive::Archive;
use crate::payment_answer::carrier;
use crate::refusal::Refusal;

/// The most payments read with one statement.
const AT_ONCE: usize = 500;

/// Statements of a kind under way at once; those who ask meanwhile share the next one.
const READS_AT_ONCE: usize = 2;

/// Requests beside those that wait.
const OTHERS: usize = 4_096;

type Shared<In, Out> = Coalescer<In, Result<Out, Arc<StoreError>>>;

/// What is shown beside a payment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Details {
    /// Every change, oldest first.
    pub(crate) timeline: Vec<TimelineEntry>,
    /// How the webhooks stand.
    pub(crate) webhooks: DeliveryCounts,
    /// The newest hash of the transaction that carries it.
    pub(crate) carrier: Option<B256>,
    /// The newest decision on it.
    pub(crate) risk: Option<Evaluation>,
}

/// Whose details are asked for, and which.
#[derive(Clone, Copy, Debug)]
struct Asked {
    payment: PaymentId,
    carrier: Option<TransactionId>,
    timeline: bool,
}

/// Reads payments. Clones share their statements.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    archive: Archive,
    payments: Shared<PaymentId, Option<Payment>>,
    details: Shared<Asked, Details>,
}

impl Desk {
    /// For `waiters` that may all be woken at once. Must be called within a tokio runtime.
    pub(crate) fn new(store: Store, waiters: usize) -> Self {
        let queue = NonZeroUsize::MIN.saturating_add(waiters.saturating_add(OTHERS));
        let limits = Limits { queue, ..Limits::new(AT_ONCE, READS_AT_ONCE) };
        let other = store.clone();
        Self {
            archive: Archive::new(),
            payments: Coalescer::spawn_with("payments", limits, move |ids| {
                let store = store.clone();
                async move { read_payments(&store, &ids).await }
            }),
            details: Coalescer::spawn_with("payment_details", limits, move |asked| {
                let store = other.clone();
                async move { read_details(&store, &asked).await }
            }),
        }
    }

    /// The account's payment, if it has one of this id.
    pub(crate) async fn payment(
        &self,
        account: AccountId,
        id: PaymentId,
    ) -> Result<Option<Payment>, Refusal> {
        if let Some(over) = self.archive.find(account, id) {
            return Ok(Some(over.payment.clone()));
        }
        let found = self.anybodys_payment(id).await?;
        Ok(found.filter(|payment| payment.account == account))
    }

    /// The payment of this id, whoever's it is.
    pub(crate) async fn anybodys_payment(&self, id: PaymentId) -> Result<Option<Payment>, Refusal> {
        Ok(self.payments.submit(id).await??)
    }

    /// What is shown beside a payment as it was read.
    pub(crate) async fn details(&self, payment: &Payment) -> Result<Details, Refusal> {
        let over = match payment.state.is_terminal() {
            true => self.archive.find(payment.account, payment.id),
            false => None,
        };
        let (id, timeline) = (payment.id, over.is_none());
        let asked = Asked { payment: id, carrier: carrier(payment), timeline };
        let mut details = self.details.submit(asked).await??;
        match over {
            Some(over) => details.timeline.clone_from(&over.timeline),
            None => {
                // A change since the payment was read must not show in one part of the answer alone.
                details.timeline.retain(|entry| entry.version <= payment.version);
                self.archive.keep(payment, &details.timeline);
            }
        }
        Ok(details)
    }
}

async fn read_payments(
    store: &Store,
    ids: &[PaymentId],
) -> Vec<Result<Option<Payment>, Arc<StoreError>>> {
    match store.load(ids).await {
        Ok(found) => {
            let found: HashMap<PaymentId, Payment> =
                found.into_iter().map(|payment| (payment.id, payment)).collect();
            ids.iter().map(|id| Ok(found.get(id).cloned())).collect()
        }
        Err(error) => failed(ids.len(), error),
    }
}

async fn read_details(store: &Store, asked: &[Asked]) -> Vec<Result<Details, Arc<StoreError>>> {
    let all: Vec<PaymentId> = asked.iter().map(|asked| asked.payment).collect();
    let told: Vec<PaymentId> =
        asked.iter().filter(|asked| asked.timeline).map(|asked| asked.payment).collect();
    let carriers: Vec<TransactionId> = asked.iter().filter_map(|asked| asked.carrier).collect();
    let read = tokio::try_join!(
        store.timelines(&told),
        store.delivery_counts(&all),
        store.newest_hashes(&carriers),
        store.newest_evaluations(&all),
    );
    let (timelines, counts, hashes, risks) = match read {
        Ok(read) => read,
        Err(error) => return failed(asked.len(), error),
    };
    let details = |asked: &Asked| Details {
        timeline: timelines.get(&asked.payment).cloned().unwrap_or_default(),
        webhooks: counts.get(&asked.payment).copied().unwrap_or_default(),
        carrier: asked.carrier.and_then(|transaction| hashes.get(&transaction).copied()),
        risk: risks.get(&asked.payment).cloned(),
    };
    asked.iter().map(|asked| Ok(details(asked))).collect()
}

fn failed<T>(count: usize, error: StoreError) -> Vec<Result<T, Arc<StoreError>>> {
    let error = Arc::new(error);
    (0..count).map(|_| Err(Arc::clone(&error))).collect()
}
