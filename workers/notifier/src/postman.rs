//! From a ring to a recorded attempt.

use std::time::{Duration, Instant};

use domain::{DeliveryId, EndpointId, Timestamp};
use queue::{Bell, HandlerError, Job, Stream};
use runtime::egress::EgressClient;
use runtime::{Clock, FailPoint, fail_point};
use store::{AttemptRecord, Delivery};
use tokio_util::sync::CancellationToken;

use crate::attempt::{Attempt, attempt};
use crate::judgement::{Judgement, Outcome, judge};
use crate::lanes::{Lanes, Pace, Permit};
use crate::ledger::{Ledger, LedgerError};
use crate::meters;

/// How long one job works off its endpoint's line before the rest of the line goes back to the
/// queue, so that other endpoints have their turn.
const TURN: Duration = Duration::from_secs(2);

/// Makes deliveries. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Postman {
    pub(crate) ledger: Ledger,
    pub(crate) lanes: Lanes,
    pub(crate) egress: EgressClient,
    pub(crate) bell: Bell,
    pub(crate) clock: Clock,
    /// For one call as a whole.
    pub(crate) timeout: Duration,
    pub(crate) shutdown: CancellationToken,
}

impl Postman {
    /// Makes the delivery that the job names, if it is due and its endpoint is not busy; then those
    /// that wait for the same endpoint.
    pub(crate) async fn answer(&self, job: Job) -> Result<(), HandlerError> {
        let delivery: DeliveryId = job.id.parse()?;
        let Some(endpoint) = self.ledger.endpoint(delivery).await? else { return Ok(()) };
        let Some(permit) = self.lanes.enter(endpoint, delivery) else { return Ok(()) };
        self.work_off(permit, delivery).await
    }

    /// Gives up what waits in memory, for others to take.
    pub(crate) fn hand_over(&self) {
        self.ring_for(&self.lanes.empty());
    }

    /// What came of an attempt is recorded while the next one is made, as the endpoint need not
    /// wait for that; unless the endpoint is to get nothing more.
    async fn work_off(&self, permit: Permit, first: DeliveryId) -> Result<(), HandlerError> {
        let begun = Instant::now();
        let mut turn = Some((permit, first));
        let mut made = None;
        while let Some((permit, delivery)) = turn {
            let (recorded, attempted) =
                tokio::join!(self.record(made.take()), self.deliver(delivery, &permit));
            made = attempted?;
            if recorded.is_err() || made.as_ref().is_some_and(|made| made.disable.is_some()) {
                self.record(made.take()).await?;
                recorded?;
            }
            if self.shutdown.is_cancelled() || begun.elapsed() >= TURN {
                self.ring_for(&permit.take_line());
                break;
            }
            turn = permit.next();
        }
        Ok(self.record(made).await?)
    }

    /// Attempts a delivery, unless it is not due or somebody else has it.
    async fn deliver(&self, id: DeliveryId, permit: &Permit) -> Result<Option<Made>, HandlerError> {
        let Some(delivery) = self.ledger.claim(id).await? else { return Ok(None) };
        let now = self.now();
        if now.plus(self.timeout) > delivery.lease_until {
            // Claiming took so long that the call could outlive the claim. It runs out by itself.
            tracing::warn!(delivery = %id, "the claim is too old to be used");
            return Ok(None);
        }
        let attempt = attempt(&self.egress, &delivery, self.timeout, now).await;
        fail_point(FailPoint::AfterAttempt);
        let over = self.now();
        let judgement = judge(attempt.met, delivery.attempts.saturating_add(1), over, jitter());
        permit.note(pace(judgement.outcome));
        log(&delivery, &attempt, &judgement);
        meters::attempted(judgement.outcome, attempt.took);
        if judgement.outcome == Outcome::Delivered {
            meters::delivered(delivery.created_at, over);
        }
        let (endpoint, disable) = (delivery.endpoint, judgement.disable);
        Ok(Some(Made { record: record(&delivery, attempt, judgement, now), endpoint, disable }))
    }

    async fn record(&self, made: Option<Made>) -> Result<(), LedgerError> {
        let Some(Made { record, endpoint, disable }) = made else { return Ok(()) };
        self.ledger.record(record).await?;
        if let Some(reason) = disable {
            tracing::warn!(%endpoint, reason, "an endpoint is disabled");
            self.ledger.disable(endpoint, reason).await?;
        }
        Ok(())
    }

    fn ring_for(&self, deliveries: &[DeliveryId]) {
        let jobs = deliveries.iter().map(|id| Job::new(id.to_string()));
        self.bell.ring_all(&Stream::Notify, jobs);
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.clock.now_unix_ms())
    }
}

/// An attempt that is over and not recorded yet.
struct Made {
    record: AttemptRecord,
    endpoint: EndpointId,
    /// Why the endpoint is to get nothing more.
    disable: Option<&'static str>,
}

fn record(
    delivery: &Delivery,
    attempt: Attempt,
    judgement: Judgement,
    at: Timestamp,
) -> AttemptRecord {
    AttemptRecord {
        delivery: delivery.id,
        number: delivery.attempts.saturating_add(1),
        lease_until: delivery.lease_until,
        at,
        duration_ms: u32::try_from(attempt.took.as_millis()).unwrap_or(u32::MAX),
        outcome: judgement.outcome.as_str(),
        status: attempt.status,
        error: attempt.error,
        response: attempt.response,
        next: judgement.next,
    }
}

/// Neither the URL nor what was sent or answered: any of them may hold a secret.
fn log(delivery: &Delivery, attempt: &Attempt, judgement: &Judgement) {
    tracing::debug!(
        delivery = %delivery.id,
        endpoint = %delivery.endpoint,
        event = %delivery.event,
        payment = %delivery.payment,
        attempt = delivery.attempts.saturating_add(1),
        outcome = judgement.outcome.as_str(),
        status = attempt.status,
        error = attempt.error.as_deref(),
        took_ms = attempt.took.as_millis(),
        "a webhook was attempted",
    );
}

fn pace(outcome: Outcome) -> Pace {
    match outcome {
        Outcome::Delivered => Pace::Good,
        Outcome::Overloaded | Outcome::TimedOut => Pace::TooMuch,
        Outcome::Redirected
        | Outcome::Gone
        | Outcome::Aborted
        | Outcome::Refused
        | Outcome::Unreachable
        | Outcome::EgressBlocked => Pace::Unknown,
    }
}

fn jitter() -> u16 {
    u16::from_be_bytes(runtime::random_bytes())
}
