//! The dialect of engines that answer with a number between 0 and 1.

use domain::PaymentId;
use domain::risk_engine::{RiskDecision, RiskLevel};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answer::{self, Answer, NoDecision};
use super::question::Case;

/// How long a score holds, as it never says.
const VALIDITY_SECS: u64 = 300;

/// Where scores begin to mean something else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bands {
    /// From here on a human decides.
    pub(super) review: f64,
    /// From here on it is refused.
    pub(super) deny: f64,
}

#[derive(Serialize)]
struct Question {
    session_id: Option<String>,
    trace_id: Option<String>,
    amount: String,
    merchant: String,
}

/// What is sent about a payment.
pub(super) fn question(case: &Case<'_>) -> Result<Vec<u8>, NoDecision> {
    let authorization = &case.payment.authorization;
    let question = Question {
        session_id: case.context.session.map(|session| session.to_string()),
        trace_id: case.context.trace.map(|trace| trace.to_string()),
        amount: authorization.amount.to_string(),
        merchant: case
            .resource
            .map_or_else(|| format!("{:#x}", authorization.pay_to), str::to_owned),
    };
    Ok(serde_json::to_vec(&question).expect("text is always JSON"))
}

#[derive(Deserialize)]
struct Told {
    risk_score: f64,
    factors: Vec<String>,
    evidence_id: String,
    #[serde(default)]
    payment_id: Option<Value>,
}

/// What an engine says about this payment.
pub(super) fn read(body: &[u8], payment: PaymentId, bands: Bands) -> Result<Answer, NoDecision> {
    let told: Told = answer::object(body)?;
    answer::about(told.payment_id.as_ref(), payment)?;
    let (decision, level) = bands.judge(told.risk_score).ok_or(NoDecision::Unreadable)?;
    Ok(Answer {
        decision,
        decision_id: answer::decision_id(told.evidence_id)?,
        level,
        reasons: answer::reasons(told.factors),
        valid_for: answer::valid_for(decision, VALIDITY_SECS)?,
    })
}

impl Bands {
    /// What a score means; nothing where it is none. Only what is known to be low is allowed.
    fn judge(self, score: f64) -> Option<(RiskDecision, RiskLevel)> {
        if !(0.0..=1.0).contains(&score) {
            return None;
        }
        Some(if score < self.review && score < self.deny {
            (RiskDecision::Allow, RiskLevel::Low)
        } else if score < self.deny {
            (RiskDecision::Review, RiskLevel::Medium)
        } else {
            (RiskDecision::Deny, RiskLevel::High)
        })
    }
}

#[cfg(test)]
mod tests;
