//! The notifier's side of the ledger: callers at the same time share one statement, and an outage
//! is waited out.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use domain::{DeliveryId, EndpointId, Failing, Timestamp};
use runtime::coalesce::Limits;
use runtime::{Clock, CoalesceError, Coalescer};
use store::{Announce, AttemptRecord, Delivery, DeliveryNext, Outlook, PutOff, Store, StoreError};
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
    outlooks: Shared<DeliveryId, Option<Outlook>>,
    claims: Shared<DeliveryId, Option<Delivery>>,
    put_offs: Shared<PutOff, ()>,
    records: Shared<AttemptRecord, Recorded>,
}

/// What follows from a recorded attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recorded {
    /// How the endpoint stands, if the attempt failed.
    pub(crate) failing: Option<Failing>,
    /// Whether later events of the same payment may have waited for this one.
    pub(crate) lets_next_go: bool,
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
        let [one, two, three, four] = [desk.clone(), desk.clone(), desk.clone(), desk.clone()];
        Self {
            desk,
            outlooks: Coalescer::spawn_with("notifier_outlooks", limits, move |ids| {
                let desk = one.clone();
                async move { desk.outlooks(ids).await }
            }),
            put_offs: Coalescer::spawn_with("notifier_put_offs", limits, move |put_offs| {
                let desk = four.clone();
                async move { desk.put_off(put_offs).await }
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

    /// How a delivery stands, if it is due and nobody attempts it.
    pub(crate) async fn outlook(
        &self,
        delivery: DeliveryId,
    ) -> Result<Option<Outlook>, LedgerError> {
        self.outlooks.submit(delivery).await?
    }

    /// Puts a delivery off; it uses up no attempt.
    pub(crate) async fn put_off(
        &self,
        delivery: DeliveryId,
        until: Timestamp,
    ) -> Result<(), LedgerError> {
        self.put_offs.submit(PutOff { delivery, until, behind: false }).await?
    }

    /// The same with one that waits for an earlier event, unless that has arrived meanwhile.
    pub(crate) async fn put_behind(
        &self,
        delivery: DeliveryId,
        until: Timestamp,
    ) -> Result<(), LedgerError> {
        self.put_offs.submit(PutOff { delivery, until, behind: true }).await?
    }

    /// Puts all of these off.
    pub(crate) async fn put_all_off(
        &self,
        deliveries: &[DeliveryId],
        until: Timestamp,
    ) -> Result<(), LedgerError> {
        let put_off = |delivery: &DeliveryId| PutOff { delivery: *delivery, until, behind: false };
        self.desk.put_off_all(&deliveries.iter().map(put_off).collect::<Vec<_>>()).await
    }

    /// Claims a delivery, if it is due and nobody attempts it.
    pub(crate) async fn claim(
        &self,
        delivery: DeliveryId,
    ) -> Result<Option<Delivery>, LedgerError> {
        self.claims.submit(delivery).await?
    }

    /// Logs an attempt and moves its delivery on.
    pub(crate) async fn record(&self, record: AttemptRecord) -> Result<Recorded, LedgerError> {
        self.records.submit(record).await?
    }

    /// Lets the events go that waited for this one; they are to be rung for.
    pub(crate) async fn let_next_go(
        &self,
        delivery: DeliveryId,
    ) -> Result<Vec<DeliveryId>, LedgerError> {
        let Desk { store, clock, .. } = &self.desk;
        let let_go = async || store.let_next_go(&[delivery], now(clock)).await;
        self.desk.patiently("let the next go", let_go).await
    }

    /// Disables an endpoint for what this URL answered, unless it has another one by now, and holds what
    /// is on its way to it. What tells its owner is to be rung for; none when the endpoint stays as it was.
    pub(crate) async fn disable(
        &self,
        endpoint: EndpointId,
        url: &str,
        reason: &str,
    ) -> Result<Option<Vec<DeliveryId>>, LedgerError> {
        let Desk { store, clock, .. } = &self.desk;
        let announce = Announce::ToOthers(url);
        let disable = || store.disable_endpoint(endpoint, reason, announce, now(clock));
        self.desk.patiently("disable", disable).await
    }

    /// Warns an endpoint's owner that nothing arrives there. What does so is to be rung for.
    pub(crate) async fn warn(
        &self,
        endpoint: EndpointId,
        warning: u8,
    ) -> Result<Vec<DeliveryId>, LedgerError> {
        let Desk { store, clock, .. } = &self.desk;
        let warn = || store.warn_of_endpoint(endpoint, warning, now(clock));
        self.desk.patiently("warn", warn).await
    }

    /// Waits until everything that was asked for has been answered.
    pub(crate) async fn close(&self) {
        self.outlooks.drain().await;
        self.put_offs.drain().await;
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
    async fn outlooks(&self, ids: Vec<DeliveryId>) -> Vec<Result<Option<Outlook>, LedgerError>> {
        let look_up = || self.store.delivery_outlooks(&ids, now(&self.clock));
        let found = self.patiently("look up", look_up).await;
        each(&ids, found, |id, found| found.iter().find(|outlook| outlook.delivery == *id).copied())
    }

    async fn put_off(&self, put_offs: Vec<PutOff>) -> Vec<Result<(), LedgerError>> {
        let put_off = self.put_off_all(&put_offs).await;
        put_offs.iter().map(|_| put_off.clone()).collect()
    }

    async fn put_off_all(&self, put_offs: &[PutOff]) -> Result<(), LedgerError> {
        self.patiently("put off", || self.store.put_off(put_offs, now(&self.clock))).await
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
    async fn record(&self, records: Vec<AttemptRecord>) -> Vec<Result<Recorded, LedgerError>> {
        let together = self.record_all(&records).await;
        if !matches!(&together, Err(LedgerError::Store(error)) if !error.is_unavailable()) {
            return each(&records, together, |record, failing| recorded(record, failing));
        }
        let mut results = Vec::with_capacity(records.len());
        for record in &records {
            let alone = self.record_all(std::slice::from_ref(record)).await;
            results.push(alone.map(|failing| recorded(record, &failing)));
        }
        results
    }

    async fn record_all(
        &self,
        records: &[AttemptRecord],
    ) -> Result<Vec<(EndpointId, Failing)>, LedgerError> {
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

fn recorded(record: &AttemptRecord, failing: &[(EndpointId, Failing)]) -> Recorded {
    let of_its_endpoint = failing.iter().find(|(endpoint, _)| *endpoint == record.endpoint);
    let over = !matches!(record.next, DeliveryNext::RetryAt(_));
    Recorded {
        failing: of_its_endpoint.map(|(_, failing)| *failing),
        lets_next_go: record.in_order && over,
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
