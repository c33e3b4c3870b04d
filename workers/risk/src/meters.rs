//! What risk counts and measures.

use domain::{FailureCode, PolicyReason};
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

use crate::engine::Told;

const DECISIONS: &str = "risk_decisions_total";
const EVALUATION: &str = "risk_evaluation_seconds";
const WAITING: &str = "payer_exposure_rejections_total";
const RECEIPTS: &str = "risk_receipts_total";
const RECEIPTS_PENDING: &str = "risk_receipts_pending";

/// The rules by which somebody has to decide.
const HELD_BY: [PolicyReason; 3] =
    [PolicyReason::ApprovalRequired, PolicyReason::EngineReview, PolicyReason::EngineSilent];

/// Describes every metric of this worker.
pub fn describe_metrics() {
    describe_counter!(DECISIONS, "Decisions, by decision and reason");
    describe_counter!(
        WAITING,
        "Looks at payments that have to wait because other open payments of their payers want what \
         these have"
    );
    describe_histogram!(EVALUATION, Unit::Seconds, "Time to decide a batch of payments");
    describe_counter!(RECEIPTS, "Attempts to tell the risk engine how a payment ended, by outcome");
    describe_gauge!(RECEIPTS_PENDING, "Payments whose end the risk engine is still to be told");
    crate::engine::describe_metrics();
    register_decisions();
}

/// Every series of decisions from the start: the first denial by a rule is an increase too.
fn register_decisions() {
    let rules = PolicyReason::ALL.iter().map(|reason| reason.as_str());
    let failures = FailureCode::ALL.iter().map(|failure| failure.as_str());
    for reason in rules.chain(failures) {
        metrics::counter!(DECISIONS, "decision" => "rejected", "reason" => reason).increment(0);
    }
    for reason in HELD_BY.map(PolicyReason::as_str) {
        metrics::counter!(DECISIONS, "decision" => "held", "reason" => reason).increment(0);
    }
    for decision in ["approved", "confirmed", "expired"] {
        metrics::counter!(DECISIONS, "decision" => decision, "reason" => "none").increment(0);
    }
    waiting(0);
    drop(metrics::histogram!(EVALUATION));
}

/// Every series of receipts from the start.
pub(crate) fn register_receipts() {
    for outcome in Told::ALL {
        metrics::counter!(RECEIPTS, "outcome" => outcome).increment(0);
    }
    receipts_pending(0);
}

/// What came of telling.
pub(crate) fn receipt(told: Told) {
    metrics::counter!(RECEIPTS, "outcome" => told.as_str()).increment(1);
}

/// So many are still to be told.
pub(crate) fn receipts_pending(receipts: u64) {
    metrics::gauge!(RECEIPTS_PENDING).set(f64::from(u32::try_from(receipts).unwrap_or(u32::MAX)));
}

/// So many payments have to wait for others of their payers.
pub(crate) fn waiting(payments: usize) {
    metrics::counter!(WAITING).increment(u64::try_from(payments).unwrap_or_default());
}

pub(crate) fn decision(decision: &'static str, reason: &'static str) {
    metrics::counter!(DECISIONS, "decision" => decision, "reason" => reason).increment(1);
}
