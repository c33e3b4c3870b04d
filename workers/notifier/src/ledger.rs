//! The notifier's side of the ledger: callers at the same time share one statement, and an outage
//! is waited out.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use domain::{DeliveryId, EndpointId, Timestamp};
use runtime::coalesce::Limits;
use runtime::{Clock, CoalesceError, Coalescer};
use store::{AttemptRecord, Delivery, Store, StoreError};
use tokio_util::sync::CancellationToken;

/// How many deliveries share one statement.
const MAX_BATCH: usize = 128;

/// How many statements of a kind are under way at once.
const IN_FLIGHT: usize = 2;

/// The least time between two statements of a kind that are not full.
const PACE: Duration = Duration::from_millis(10);

/// How long the first wait for an absent ledger is; each later one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// The longest wait: so long after the ledger is back, work goes on.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// The ledger did not do what was asked, and asking again would not help.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum LedgerError {
    /// It was away until the process was told to stop, or it refused.
    #[error(transparent)]
    Store(Arc<StoreError>),
    /// The statement that carried this one never ended.
    #[error(transparent)]
    Coalesce(#[from] CoalesceError),
}

type Shared<In, Out> = Coalescer<In, Result<Out, LedgerError>>;

/// Shared statements over the ledger. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Ledger {
    desk: Desk,
    endpoints: Shared<DeliveryId, Option<EndpointId>>,
    claims: Shared<DeliveryId, Option<Delivery>>,
    records: Shared<AttemptRecord, ()>,
}

impl Ledger {
    /// Starts the tasks that gather statements. `callers` is how many ask at once at most; a claim
    /// holds for `lease`. Once `shutdown` is cancelled nobody waits for an absent ledger.
    pub(crate) fn open(
        store: Store,
        clock: Clock,
        callers: NonZeroUsize,
        lease: Duration,
        shutdown: CancellationToken,
    ) -> Self {
        // Nobody has more than one item of a kind under way, so the queues are never full.
        let limits = Limits { queue: callers, pace: PACE, ..Limits::new(MAX_BATCH, IN_FLIGHT) };
        let desk = Desk { store, clock, lease, shutdown };
        let [one, two, three] = [desk.clone(), desk.clone(), desk.clone()];
        Self {
            desk,
            endpoints: Coalescer::spawn_with("notifier_endpoints", limits, move |ids| {
                let desk = one.clone();
                async move { desk.endpoints(ids).await }
            }),
            claims: Coalescer::spawn_with("notifier_claims", limits, move |ids| {
                let desk = two.clone();
                async move { desk.claim(ids).await }
            }),
            records: Coalescer::spawn_with("notifier_records", limits, move |records| {
                let desk = three.clone();
                async move { desk.record(records).await }
            }),
        }
    }

    /// Where a delivery goes, if it is due and nobody attempts it.
    pub(crate) async fn endpoint(
        &self,
        delivery: DeliveryId,
    ) -> Result<Option<EndpointId>, LedgerError> {
        self.endpoints.submit(delivery).await?
    }

    /// Claims a delivery, if it is due and nobody attempts it.
    pub(crate) async fn claim(
        &self,
        delivery: DeliveryId,
    ) -> Result<Option<Delivery>, LedgerError> {
        self.claims.submit(delivery).await?
    }

    /// Logs an attempt and moves its delivery on.
    pub(crate) async fn record(&self, record: AttemptRecord) -> Result<(), LedgerError> {
        self.records.submit(record).await?
    }

    /// Disables an endpoint, and holds what is on its way to it.
    pub(crate) async fn disable(
        &self,
        endpoint: EndpointId,
        reason: &str,
    ) -> Result<(), LedgerError> {
        let Desk { store, clock, .. } = &self.desk;
        let disable = || store.disable_endpoint(endpoint, reason, now(clock));
        self.desk.patiently("disable", disable).await
    }

    /// Waits until everything that was asked for has been answered.
    pub(crate) async fn close(&self) {
        self.endpoints.drain().await;
        self.claims.drain().await;
        self.records.drain().await;
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("lease", &self.desk.lease).finish_non_exhaustive()
    }
}

/// Where shared statements are made.
#[derive(Clone)]
struct Desk {
    store: Store,
    clock: Clock,
    lease: Duration,
    shutdown: CancellationToken,
}

impl Desk {
    async fn endpoints(
        &self,
        ids: Vec<DeliveryId>,
    ) -> Vec<Result<Option<EndpointId>, LedgerError>> {
        let look_up = || self.store.due_endpoints(&ids, now(&self.clock));
        let found = self.patiently("look up", look_up).await;
        each(&ids, found, |id, found| {
            found.iter().find(|(delivery, _)| delivery == id).map(|(_, endpoint)| *endpoint)
        })
    }

    async fn claim(&self, ids: Vec<DeliveryId>) -> Vec<Result<Option<Delivery>, LedgerError>> {
        let claim = || {
            let now = now(&self.clock);
            self.store.claim_deliveries(&ids, now, now.plus(self.lease))
        };
        let claimed = self.patiently("claim", claim).await;
        each(&ids, claimed, |id, claimed| {
            let place = claimed.iter().position(|delivery| delivery.id == *id)?;
            Some(claimed.swap_remove(place))
        })
    }

    /// A record that the ledger refuses must not take the others of its batch with it: their
    /// deliveries would be made again.
    async fn record(&self, records: Vec<AttemptRecord>) -> Vec<Result<(), LedgerError>> {
        let together = self.record_all(&records).await;
        if !matches!(&together, Err(LedgerError::Store(error)) if !error.is_unavailable()) {
            return records.iter().map(|_| together.clone()).collect();
        }
        let mut results = Vec::with_capacity(records.len());
        for record in &records {
            results.push(self.record_all(std::slice::from_ref(record)).await);
        }
        results
    }

    async fn record_all(&self, records: &[AttemptRecord]) -> Result<(), LedgerError> {
        self.patiently("record", || self.store.record_attempts(records, now(&self.clock))).await
    }

    /// Asks until the ledger is there, or the process is told to stop.
    async fn patiently<T, F>(
        &self,
        what: &'static str,
        ask: impl Fn() -> F,
    ) -> Result<T, LedgerError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut wait = FIRST_WAIT;
        loop {
            let error = match ask().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if !error.is_unavailable() || self.shutdown.is_cancelled() {
                return Err(LedgerError::Store(Arc::new(error)));
            }
            if wait == FIRST_WAIT {
                tracing::warn!(%error, what, "the ledger is away; waiting until it is back");
            }
            // Ends early when the process is told to stop: then once more, for the last time.
            let _ = tokio::time::timeout(wait, self.shutdown.cancelled()).await;
            wait = wait.saturating_mul(2).min(LONGEST_WAIT);
        }
    }
}

/// One result for each id, picked out of what the statement gave.
fn each<In, All, Out>(
    ids: &[In],
    all: Result<All, LedgerError>,
    pick: impl Fn(&In, &mut All) -> Out,
) -> Vec<Result<Out, LedgerError>> {
    match all {
        Ok(mut all) => ids.iter().map(|id| Ok(pick(id, &mut all))).collect(),
        Err(error) => ids.iter().map(|_| Err(error.clone())).collect(),
    }
}

fn now(clock: &Clock) -> Timestamp {
    Timestamp::from_unix_ms(clock.now_unix_ms())
}

#[cfg(test)]
mod tests;
