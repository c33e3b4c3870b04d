//! What risk counts and measures.

use metrics::{Unit, describe_counter, describe_histogram};

const WAITING: &str = "payer_exposure_rejections_total";

/// Describes every metric of this worker.
pub fn describe_metrics() {
    describe_counter!("risk_decisions_total", "Decisions, by decision and reason");
    describe_counter!(
        WAITING,
        "Looks at payments that have to wait because other open payments of their payers want what \
         these have"
    );
    describe_histogram!(
        "risk_evaluation_seconds",
        Unit::Seconds,
        "Time to decide a batch of payments"
    );
    crate::engine::describe_metrics();
}

/// So many payments have to wait for others of their payers.
pub(crate) fn waiting(payments: usize) {
    metrics::counter!(WAITING).increment(u64::try_from(payments).unwrap_or_default());
}

pub(crate) fn decision(decision: &'static str, reason: &'static str) {
    metrics::counter!("risk_decisions_total", "decision" => decision, "reason" => reason)
        .increment(1);
}
