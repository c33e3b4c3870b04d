//! From a ring to a recorded attempt.

use std::time::{Duration, Instant};

use domain::{Consequence, DeliveryId, EndpointId, Failing, Timestamp};
use queue::{Bell, Bounds, HandlerError, Job, Stream};
use runtime::egress::EgressClient;
use runtime::{Clock, FailPoint, fail_point};
use store::{AttemptRecord, Delivery, DeliveryKind, Outlook, Reception};
use tokio_util::sync::CancellationToken;

use crate::attempt::{Attempt, attempt};
use crate::judgement::{Judgement, Outcome, judge};
use crate::lanes::{self, Entry, Lanes, Line, Next, Pace, Permit, Wish};
use crate::ledger::{Ledger, LedgerError};
use crate::meters;
use crate::turnstile::{Ticket, Turn, Turnstile};

/// How long one job works off its endpoint's lines before what comes next goes back to the queue,
/// so that other endpoints have their turn.
const TURN: Duration = Duration::from_secs(2);

/// A call that may be made so soon is waited for; a later one is put off.
const SHORT_WAIT: Duration = Duration::from_secs(1);

/// How soon an event is looked at again that waits for an earlier one, if that has not arrived.
const BEHIND: Duration = Duration::from_secs(1);

/// A delivery that failed so often is likely to fail again.
const OFTEN: u32 = 3;

/// No breaker keeps a delivery back for longer than its schedule is long.
const HORIZON: Duration = Duration::from_secs(76 * 3600);

/// Makes deliveries. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Postman {
    pub(crate) ledger: Ledger,
    pub(crate) lanes: Lanes,
    pub(crate) turnstile: Turnstile,
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
        let Some(outlook) = self.ledger.outlook(delivery).await? else { return Ok(()) };
        let now = self.now();
        if let Some(until) = outlook.behind_until {
            return Ok(self.ledger.put_behind(delivery, until.max(now.plus(BEHIND))).await?);
        }
        match self.lanes.enter(wish(&outlook, now), now) {
            Entry::Go(permit) => self.work_off(permit, &outlook).await,
            Entry::Wait => Ok(()),
            Entry::Shut(until) => {
                let until = until.min(horizon(&outlook).unwrap_or(until));
                Ok(self.ledger.put_off(delivery, until).await?)
            }
        }
    }

    /// Gives up what waits in memory, for others to take.
    pub(crate) fn hand_over(&self) {
        self.ring_for(&self.lanes.empty());
    }

    /// What came of an attempt is recorded while the next one is made, as the endpoint need not
    /// wait for that; unless the endpoint is to get nothing more.
    async fn work_off(&self, permit: Permit, first: &Outlook) -> Result<(), HandlerError> {
        let begun = Instant::now();
        let bounds = bounds(first);
        let mut turn = Some((permit, first.delivery));
        let (mut made, mut calls) = (None, 0);
        while let Some((mut permit, delivery)) = turn.take() {
            let call = Call { delivery, endpoint: first.endpoint, bounds };
            let (recorded, attempted) =
                tokio::join!(self.record(made.take()), self.deliver(call, &mut permit));
            made = attempted?;
            if recorded.is_err() || made.as_ref().is_some_and(|made| made.disable.is_some()) {
                self.record(made.take()).await?;
                recorded?;
            }
            calls += 1;
            if self.shutdown.is_cancelled() {
                self.ring_for(&permit.take_lines());
                break;
            }
            if begun.elapsed() >= TURN {
                self.ring_for(&permit.hand_on(calls));
                break;
            }
            match permit.next(self.now()) {
                Next::Take(permit, delivery) => turn = Some((permit, delivery)),
                Next::Nothing => {}
                Next::Shut(waiting, until) => {
                    // First, or it would be made again if the others could not be put off.
                    self.record(made.take()).await?;
                    self.ledger.put_all_off(&waiting, until).await?;
                }
            }
        }
        Ok(self.record(made).await?)
    }

    /// Attempts a delivery, unless it is not due, its endpoint's bounds forbid it now, or somebody
    /// else has it.
    async fn deliver(&self, call: Call, permit: &mut Permit) -> Result<Option<Made>, HandlerError> {
        let Some(ticket) = self.wait_for_turn(call).await? else {
            // Nor may those in the lines; they are due in the ledger, and rung for again.
            permit.take_lines();
            return Ok(None);
        };
        let made = self.claim_and_attempt(call, permit).await;
        self.turnstile.leave(call.endpoint, ticket).await;
        made
    }

    /// The right to make the call; without it, it was put off.
    async fn wait_for_turn(&self, call: Call) -> Result<Option<Ticket>, LedgerError> {
        let Call { delivery, endpoint, bounds } = call;
        loop {
            let now = self.now();
            match self.turnstile.enter(endpoint, bounds, now).await {
                Turn::Now(ticket) => return Ok(Some(ticket)),
                Turn::After(wait) if wait < SHORT_WAIT && !self.shutdown.is_cancelled() => {
                    tokio::time::sleep(wait).await;
                }
                Turn::After(wait) => {
                    self.ledger.put_off(delivery, now.plus(wait)).await?;
                    return Ok(None);
                }
            }
        }
    }

    async fn claim_and_attempt(
        &self,
        call: Call,
        permit: &mut Permit,
    ) -> Result<Option<Made>, HandlerError> {
        let Some(delivery) = self.ledger.claim(call.delivery).await? else { return Ok(None) };
        let now = self.now();
        if now.plus(self.timeout) > delivery.lease_until {
            // Claiming took so long that the call could outlive the claim. It runs out by itself.
            tracing::warn!(delivery = %delivery.id, "the claim is too old to be used");
            return Ok(None);
        }
        permit.begin(Instant::now());
        let attempt = attempt(&self.egress, &delivery, self.timeout, now).await;
        fail_point(FailPoint::AfterAttempt);
        let over = self.now();
        let judgement = judge(attempt.met, failures(&delivery), over, jitter());
        permit.note(lanes::Made {
            pace: pace(judgement.outcome),
            failed: reception(judgement.outcome) != Reception::Taken,
            timed_out: judgement.outcome == Outcome::TimedOut,
            took: attempt.took,
            at: over,
        });
        log(&delivery, &attempt, &judgement);
        meters::attempted(judgement.outcome, attempt.took);
        if judgement.outcome == Outcome::Delivered {
            meters::delivered(delivery.created_at, over);
        }
        let disable = judgement.disable;
        Ok(Some(Made { record: record(&delivery, attempt, judgement, now), disable }))
    }

    async fn record(&self, made: Option<Made>) -> Result<(), LedgerError> {
        let Some(Made { record, disable }) = made else { return Ok(()) };
        let (delivery, endpoint, url) = (record.delivery, record.endpoint, record.url.clone());
        let recorded = self.ledger.record(record).await?;
        if recorded.lets_next_go {
            self.ring_for(&self.ledger.let_next_go(delivery).await?);
        }
        match (disable, recorded.failing.map(|failing| (failing, failing.consequence()))) {
            (Some(reason), _) | (None, Some((_, Consequence::Disable(reason)))) => {
                self.disable(endpoint, &url, reason).await
            }
            (None, Some((failing, Consequence::Warn(warning)))) => {
                self.warn(endpoint, failing, warning).await
            }
            (None, Some((_, Consequence::None)) | None) => Ok(()),
        }
    }

    async fn disable(
        &self,
        endpoint: EndpointId,
        url: &str,
        reason: &'static str,
    ) -> Result<(), LedgerError> {
        if let Some(told) = self.ledger.disable(endpoint, url, reason).await? {
            tracing::warn!(%endpoint, reason, "an endpoint is disabled");
            meters::disabled();
            self.ring_for(&told);
        }
        Ok(())
    }

    async fn warn(
        &self,
        endpoint: EndpointId,
        failing: Failing,
        warning: u8,
    ) -> Result<(), LedgerError> {
        tracing::warn!(%endpoint, since = %failing.since, warning, "nothing arrives at an endpoint");
        self.ring_for(&self.ledger.warn(endpoint, warning).await?);
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

/// A call that is about to be made.
#[derive(Clone, Copy, Debug)]
struct Call {
    delivery: DeliveryId,
    endpoint: EndpointId,
    bounds: Bounds,
}

fn bounds(outlook: &Outlook) -> Bounds {
    Bounds { at_once: outlook.max_in_flight, per_second: outlook.max_per_second }
}

fn wish(outlook: &Outlook, now: Timestamp) -> Wish {
    let can_wait = outlook.kind == DeliveryKind::Replay || outlook.attempts >= OFTEN;
    // Whoever waits for a turn holds a slot: with a bound on calls a second, as many as answer
    // within a tenth of one.
    let paced = outlook.max_per_second.map(|rate| rate.div_ceil(10));
    let most = [outlook.max_in_flight, paced].into_iter().flatten().min();
    let most = most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    Wish {
        delivery: outlook.delivery,
        endpoint: outlook.endpoint,
        line: if can_wait { Line::Later } else { Line::Live },
        changed_at: outlook.endpoint_changed_at,
        most,
        paced: paced.is_some(),
        regardless: outlook.kind == DeliveryKind::Test
            || horizon(outlook).is_some_and(|horizon| horizon <= now),
    }
}

/// Until when a breaker may keep a delivery back; what is made again has no such bound.
fn horizon(outlook: &Outlook) -> Option<Timestamp> {
    (outlook.kind != DeliveryKind::Replay).then(|| outlook.created_at.plus(HORIZON))
}

/// The failed attempts if this one is another; a trial is tried once.
fn failures(delivery: &Delivery) -> u32 {
    match delivery.kind {
        DeliveryKind::Test => u32::MAX,
        DeliveryKind::Live | DeliveryKind::Replay => delivery.attempts.saturating_add(1),
    }
}

/// An attempt that is over and not recorded yet.
struct Made {
    record: AttemptRecord,
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
        endpoint: delivery.endpoint,
        url: delivery.url.clone(),
        reception: reception(judgement.outcome),
        in_order: delivery.in_order,
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
        payment = delivery.payment.map(tracing::field::display),
        attempt = delivery.attempts.saturating_add(1),
        outcome = judgement.outcome.as_str(),
        status = attempt.status,
        error = attempt.error.as_deref(),
        took_ms = attempt.took.as_millis(),
        "a webhook was attempted",
    );
}

fn reception(outcome: Outcome) -> Reception {
    match outcome {
        Outcome::Delivered | Outcome::Aborted => Reception::Taken,
        Outcome::EgressBlocked => Reception::Blocked,
        Outcome::Redirected
        | Outcome::Gone
        | Outcome::Overloaded
        | Outcome::Refused
        | Outcome::TimedOut
        | Outcome::Unreachable => Reception::Failed,
    }
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
