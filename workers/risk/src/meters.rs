//! What risk counts and measures.

use domain::{FailureCode, Fault, PaymentState, PolicyReason};

use crate::engine::Told;

const DECISIONS: &str = "risk_decisions_total";
/// With those that settlement ends.
const ENDED_UNPAID: &str = "payment_failed_total";
const EVALUATION: &str = "risk_evaluation_seconds";
const WAITING: &str = "payer_exposure_rejections_total";
const RECEIPTS: &str = "risk_receipts_total";
const RECEIPTS_PENDING: &str = "risk_receipts_pending";

/// The rules by which somebody has to decide.
const HELD_BY: [PolicyReason; 3] =
    [PolicyReason::ApprovalRequired, PolicyReason::EngineReview, PolicyReason::EngineSilent];

/// Shows every series of decisions from the start: the first denial by a rule is an increase too.
pub fn begin_metrics() {
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
    for fault in [Some(Fault::Payer), Some(Fault::System), None] {
        ended_unpaid(fault, 0);
    }
    waiting(0);
    drop(metrics::histogram!(EVALUATION));
}

/// A payment ended unpaid, by this fault, or because somebody decided so.
fn ended_unpaid(fault: Option<Fault>, times: u64) {
    let fault = match fault {
        Some(Fault::Payer) => "payer",
        Some(Fault::System) => "system",
        None => "none",
    };
    metrics::counter!(ENDED_UNPAID, "fault" => fault).increment(times);
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

/// Counts what a payment has come to, and by which reason.
pub(crate) fn decision(state: &PaymentState, reason: &'static str) {
    let decision = state.name().as_str();
    metrics::counter!(DECISIONS, "decision" => decision, "reason" => reason).increment(1);
    if let Some(code) = state.failure() {
        ended_unpaid(code.fault(), 1);
    }
}
