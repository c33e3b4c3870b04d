//! The dialect of x402-secure: sessions, traces and decisions.

use std::collections::BTreeMap;

use domain::risk_engine::{RiskDecision, RiskLevel};
use domain::{Mandate, Payment, PaymentId, RequestTrace};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::answer::{self, Answer, NoDecision};
use super::question::Case;

/// How long an answer holds that does not say.
const USUAL_VALIDITY_SECS: u64 = 300;

#[derive(Serialize)]
struct Question<'a> {
    sid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tid: Option<String>,
    trace_context: Context<'a>,
    payment: Described,
    #[serde(skip_serializing_if = "Option::is_none")]
    mandate: Option<&'a Mandate>,
}

#[derive(Serialize)]
struct Context<'a> {
    tp: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<&'a str>,
}

/// A payment as engines read it. What is not known is an explicit null.
#[derive(Serialize)]
struct Described {
    protocol: &'static str,
    version: Option<u32>,
    network: Option<String>,
    payload: Value,
    headers: Option<BTreeMap<String, String>>,
    extra: Value,
}

/// What is sent about a payment.
pub(super) fn question(case: &Case<'_>) -> Result<Vec<u8>, NoDecision> {
    let session = case.context.session.ok_or(NoDecision::NoSession)?;
    let RequestTrace { parent, state } =
        case.context.request.as_ref().ok_or(NoDecision::NoTraceContext)?;
    let question = Question {
        sid: session.to_string(),
        tid: case.context.trace.map(|trace| trace.to_string()),
        trace_context: Context { tp: parent, ts: state.as_deref() },
        payment: described(case),
        mandate: case.context.mandate.as_ref(),
    };
    Ok(serde_json::to_vec(&question).expect("text, numbers and maps of text are always JSON"))
}

fn described(case: &Case<'_>) -> Described {
    let Payment { id, authorization, .. } = case.payment;
    Described {
        // Engines refuse a payment whose scheme is null, and version 2 has none at the top.
        protocol: "x402:exact",
        version: case.x402_version,
        network: Some(authorization.chain.to_string()),
        payload: json!({"authorization": {
            "from": authorization.payer,
            "to": authorization.pay_to,
            "value": authorization.amount.to_string(),
            "validAfter": authorization.valid_after.to_string(),
            "validBefore": authorization.valid_before.to_string(),
            "nonce": authorization.nonce,
        }}),
        headers: None,
        extra: json!({
            "payment_id": id,
            "asset": authorization.asset,
            "resource": case.resource,
        }),
    }
}

#[derive(Deserialize)]
struct Told {
    decision: String,
    decision_id: String,
    #[serde(default)]
    reasons: Vec<String>,
    #[serde(default = "usual_validity")]
    ttl_seconds: u64,
    // Read for their kind alone: an answer in which they are something else is not to be trusted.
    #[serde(default, rename = "used_mandate")]
    _used_mandate: bool,
    #[serde(default, rename = "warnings")]
    _warnings: Vec<String>,
    #[serde(default)]
    risk_level: ToldLevel,
    #[serde(default)]
    extra: Map<String, Value>,
    #[serde(default)]
    payment_id: Option<Value>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ToldLevel {
    #[default]
    Low,
    Medium,
    High,
}

const fn usual_validity() -> u64 {
    USUAL_VALIDITY_SECS
}

/// What an engine says about this payment.
pub(super) fn read(body: &[u8], payment: PaymentId) -> Result<Answer, NoDecision> {
    let told: Told = answer::object(body)?;
    answer::about(told.payment_id.as_ref(), payment)?;
    answer::about(answer::named_in(&told.extra), payment)?;
    let decision = decision(&told.decision);
    Ok(Answer {
        decision,
        decision_id: answer::decision_id(told.decision_id)?,
        level: match told.risk_level {
            ToldLevel::Low => RiskLevel::Low,
            ToldLevel::Medium => RiskLevel::Medium,
            ToldLevel::High => RiskLevel::High,
        },
        reasons: answer::reasons(told.reasons),
        valid_for: answer::valid_for(decision, told.ttl_seconds)?,
    })
}

/// Engines of the second generation have other words. One that is not known is for a human.
fn decision(word: &str) -> RiskDecision {
    match word.trim().to_ascii_lowercase().as_str() {
        "allow" | "approve" | "approved" | "accept" | "accepted" => RiskDecision::Allow,
        "deny" | "reject" | "decline" | "block" => RiskDecision::Deny,
        _ => RiskDecision::Review,
    }
}

#[cfg(test)]
mod tests;
