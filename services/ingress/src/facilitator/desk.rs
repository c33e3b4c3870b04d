//! Where settlements are read, and found: who asks at the same time shares one statement.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use domain::{AccountId, Payment, PaymentId};
use runtime::Coalescer;
use runtime::coalesce::{CoalesceError, Limits};
use store::{Idempotency, Store, StoreError};

/// The most payments read with one statement.
const AT_ONCE: usize = 500;

/// Statements under way at once; those who ask meanwhile share the next one.
const READS_AT_ONCE: usize = 2;

/// The most who ask at once: a block wakes everybody who waits, and each has a connection.
const MOST_ASKING: NonZeroUsize = NonZeroUsize::new(32_768).expect("more than nobody");

type Reading = Result<Option<Payment>, Arc<StoreError>>;

/// Reads payments. Clones share their statements.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    by_id: Coalescer<PaymentId, Reading>,
    by_key: Coalescer<(AccountId, Idempotency), Reading>,
}

/// Why nobody knows how a settlement stands.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unknown {
    /// The ledger does not say.
    #[error(transparent)]
    Ledger(#[from] StoreError),
    /// The ledger did not say to those who asked together.
    #[error(transparent)]
    Shared(#[from] Arc<StoreError>),
    /// It was not asked.
    #[error(transparent)]
    NotAsked(#[from] CoalesceError),
}

impl Desk {
    /// Must be called within a tokio runtime.
    pub(super) fn new(store: Store) -> Self {
        let limits = || Limits { queue: MOST_ASKING, ..Limits::new(AT_ONCE, READS_AT_ONCE) };
        let (ledger, index) = (store.clone(), store);
        let by_id = Coalescer::spawn_with("settlements", limits(), move |ids| {
            let store = ledger.clone();
            async move { read(&store, &ids).await }
        });
        let by_key = Coalescer::spawn_with("settlement_keys", limits(), move |keys| {
            let store = index.clone();
            async move { find(&store, &keys).await }
        });
        Self { by_id, by_key }
    }

    /// The payment as it stands now, or as it was where there is none of its id any more.
    pub(super) async fn reload(&self, payment: &Payment) -> Result<Payment, Unknown> {
        Ok(self.by_id.submit(payment.id).await??.unwrap_or_else(|| payment.clone()))
    }

    /// The account's payment that a key stands for, where it was used for this very request.
    pub(super) async fn find(
        &self,
        account: AccountId,
        used: Idempotency,
    ) -> Result<Option<Payment>, Unknown> {
        Ok(self.by_key.submit((account, used)).await??)
    }
}

impl Unknown {
    /// Whether it may be known soon.
    pub(super) fn is_unavailable(&self) -> bool {
        match self {
            Self::Ledger(error) => error.is_unavailable(),
            Self::Shared(error) => error.is_unavailable(),
            Self::NotAsked(_) => true,
        }
    }
}

async fn read(store: &Store, ids: &[PaymentId]) -> Vec<Reading> {
    match store.load(ids).await {
        Ok(found) => {
            let found: HashMap<PaymentId, Payment> =
                found.into_iter().map(|payment| (payment.id, payment)).collect();
            ids.iter().map(|id| Ok(found.get(id).cloned())).collect()
        }
        Err(error) => {
            let error = Arc::new(error);
            ids.iter().map(|_| Err(Arc::clone(&error))).collect()
        }
    }
}

async fn find(store: &Store, keys: &[(AccountId, Idempotency)]) -> Vec<Reading> {
    match store.find_by_keys(keys).await {
        Ok(found) => found.into_iter().map(Ok).collect(),
        Err(error) => {
            let error = Arc::new(error);
            keys.iter().map(|_| Err(Arc::clone(&error))).collect()
        }
    }
}
