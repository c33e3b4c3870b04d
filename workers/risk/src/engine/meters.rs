//! What is counted and measured about the engine.

use metrics::counter;

use domain::risk_engine::RiskDecision;

use super::{NoDecision, Outcome};

/// Every series from the start, so that the first failure is an increase.
pub(super) fn register() {
    let decisions = [RiskDecision::Allow, RiskDecision::Review, RiskDecision::Deny];
    for outcome in decisions.map(RiskDecision::as_str).into_iter().chain(NoDecision::ALL) {
        counter!("risk_engine_requests_total", "outcome" => outcome).increment(0);
    }
    drop(metrics::histogram!("risk_engine_seconds"));
    breaker(0.0);
}

pub(super) fn asked(outcome: &Outcome) {
    let outcome = match outcome {
        Outcome::Decided(answer) => answer.decision.as_str(),
        Outcome::Again { why, .. } | Outcome::Undecided(why) => why.as_str(),
    };
    counter!("risk_engine_requests_total", "outcome" => outcome).increment(1);
}

pub(super) fn breaker(level: f64) {
    metrics::gauge!("breaker_state", "dependency" => "risk_engine").set(level);
}
