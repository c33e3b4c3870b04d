//! A payment as an answer: its body, and the headers that go with it.

use std::time::Duration;

use axum::Json;
use axum::http::header::{CACHE_CONTROL, ETAG, RETRY_AFTER, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::{Payment, PaymentResource, PaymentState, StateName, Timestamp, TransactionId};
use serde::Serialize;
use store::{DeliveryCounts, Evaluation, TimelineEntry};
use utoipa::ToSchema;

use crate::desk::{Desk, Details};
use crate::refusal::Refusal;
use crate::viewer::Viewer;
use crate::{Settings, etag};

/// What may be kept of a payment that can still change: nothing, unasked.
const WHILE_OPEN: HeaderValue = HeaderValue::from_static("private, no-cache");

/// What may be kept of one that is over: for an hour.
const WHEN_OVER: HeaderValue = HeaderValue::from_static("private, max-age=3600");

/// When to ask again about a payment on a network whose block time is not known.
const USUAL_BLOCK_TIME: Duration = Duration::from_secs(2);

/// The soonest and the latest that a client is asked to come back.
const POLL_BOUNDS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// When to ask again about a payment that a human has to decide on.
const HELD_POLL: Duration = Duration::from_secs(10);

const MILLIS_PER_SECOND: u64 = 1_000;

/// A payment with all that is shown beside it.
#[derive(Debug)]
pub(crate) struct PaymentAnswer {
    payment: Payment,
    details: Details,
}

/// A payment, every change of it, and how its webhooks stand.
#[derive(Serialize, ToSchema)]
#[schema(as = PaymentWithTimeline)]
pub(crate) struct Body<'a> {
    #[serde(flatten)]
    payment: PaymentResource<'a>,
    /// Every change, oldest first.
    timeline: &'a [TimelineEntry],
    /// How the deliveries of its events stand; not there for who has but a poll token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    webhooks: Option<DeliveryCounts>,
    /// The newest decision on it; null before the first, and not there for who has but a poll token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Risk<'_>>, required = false)]
    risk: Option<Option<Risk<'a>>>,
    /// When to ask again, in milliseconds; not there when the payment is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_poll_ms: Option<u64>,
}

/// How risk has decided.
#[derive(Serialize, ToSchema)]
#[schema(as = RiskDecision)]
pub(crate) struct Risk<'a> {
    /// `allow`, `deny` or `review`.
    decision: &'a str,
    /// The decision's name: the engine's, where one was asked and has decided.
    decision_id: &'a str,
    /// `low`, `medium` or `high`: how much there is to fear.
    level: &'a str,
    /// Which rules made it so.
    reasons: &'a [String],
    decided_at: Timestamp,
    /// Until when an approval holds; afterwards the payment is judged anew.
    #[schema(required = true)]
    valid_until: Option<Timestamp>,
    /// The version of the policy that was read; null where the tenant has none.
    #[schema(required = true)]
    policy_version: Option<u32>,
}

impl<'a> Risk<'a> {
    fn of(evaluation: &'a Evaluation) -> Self {
        Self {
            decision: &evaluation.decision,
            decision_id: &evaluation.decision_id,
            level: &evaluation.level,
            reasons: &evaluation.reasons,
            decided_at: evaluation.at,
            valid_until: evaluation.valid_until,
            policy_version: evaluation.policy_version,
        }
    }
}

impl PaymentAnswer {
    /// Gathers what is shown beside a payment.
    pub(crate) async fn gather(desk: &Desk, payment: Payment) -> Result<Self, Refusal> {
        let details = desk.details(&payment).await?;
        Ok(Self { payment, details })
    }

    /// 200 with the payment, as far as the viewer may see it.
    pub(crate) fn into_response(self, viewer: Viewer, settings: &Settings) -> Response {
        let body = Body {
            payment: shown(PaymentResource::new(&self.payment, self.details.carrier), viewer),
            timeline: &self.details.timeline,
            webhooks: viewer.sees_notes().then_some(self.details.webhooks),
            risk: viewer.sees_notes().then(|| self.details.risk.as_ref().map(Risk::of)),
            next_poll_ms: next_poll(&self.payment, settings).map(millis),
        };
        let mut response = Json(body).into_response();
        tell_freshness(response.headers_mut(), &self.payment, settings);
        response
    }
}

/// What of a payment the viewer may see.
pub(crate) fn shown(payment: PaymentResource<'_>, viewer: Viewer) -> PaymentResource<'_> {
    if viewer.sees_notes() { payment } else { payment.without_notes() }
}

/// 304: the client has this version of the payment.
pub(crate) fn not_modified(payment: &Payment, settings: &Settings) -> Response {
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    tell_freshness(response.headers_mut(), payment, settings);
    response
}

/// The transaction whose newest hash a client may look for on chain.
pub(crate) fn carrier(payment: &Payment) -> Option<TransactionId> {
    match payment.state {
        PaymentState::Submitted(submission) => Some(submission.transaction),
        PaymentState::Accepted
        | PaymentState::Held { .. }
        | PaymentState::Approved { .. }
        | PaymentState::Confirmed { .. }
        | PaymentState::Settled { .. }
        | PaymentState::Rejected(_)
        | PaymentState::Canceled
        | PaymentState::Expired
        | PaymentState::Failed(_) => None,
    }
}

fn tell_freshness(headers: &mut HeaderMap, payment: &Payment, settings: &Settings) {
    headers.insert(ETAG, etag::of_version(payment.version));
    headers.insert(VARY, HeaderValue::from_static("Prefer"));
    match next_poll(payment, settings) {
        Some(pause) => {
            headers.insert(CACHE_CONTROL, WHILE_OPEN);
            let seconds = millis(pause).div_ceil(MILLIS_PER_SECOND).max(1);
            headers.insert(RETRY_AFTER, seconds.into());
        }
        None => {
            headers.insert(CACHE_CONTROL, WHEN_OVER);
        }
    }
}

/// How soon asking again makes sense: most changes come with a block. Never, when it is over.
fn next_poll(payment: &Payment, settings: &Settings) -> Option<Duration> {
    match payment.state.name() {
        StateName::Accepted | StateName::Approved | StateName::Submitted | StateName::Confirmed => {
            let block_time = settings.block_times.get(&payment.authorization.chain);
            let (soonest, latest) = POLL_BOUNDS;
            Some(block_time.copied().unwrap_or(USUAL_BLOCK_TIME).clamp(soonest, latest))
        }
        StateName::Held => Some(HELD_POLL),
        StateName::Settled
        | StateName::Rejected
        | StateName::Canceled
        | StateName::Expired
        | StateName::Failed => None,
    }
}

fn millis(pause: Duration) -> u64 {
    u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)
}
