//! What risk counts and measures.

use metrics::{Unit, describe_counter, describe_histogram};

/// Describes every metric of this worker.
pub fn describe_metrics() {
    describe_counter!("risk_decisions_total", "Decisions, by decision and reason");
    describe_histogram!(
        "risk_evaluation_seconds",
        Unit::Seconds,
        "Time to decide a batch of payments"
    );
    crate::engine::describe_metrics();
}

pub(crate) fn decision(decision: &'static str, reason: &'static str) {
    metrics::counter!("risk_decisions_total", "decision" => decision, "reason" => reason)
        .increment(1);
}
