//! Our own risk engine: what an agent's session and trace say about a payment.
//!
//! It is handed what was found and decides; whoever calls it has looked the session and the trace up.

mod trace;

use alloy_primitives::Address;
use serde_json::Value;
use uuid::Uuid;

use crate::Timestamp;

/// How long an assessment holds at most, in seconds.
const LONGEST_VALIDITY_SECS: u64 = 300;

/// A session: an agent that pays from one wallet for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RiskSession {
    /// Its name.
    pub id: Uuid,
    /// The only wallet that it may pay from.
    pub wallet: Address,
    /// The agent's name for itself.
    pub agent_did: String,
    /// From when on nobody knows it any more.
    pub expires_at: Timestamp,
}

/// What an agent told of how it came to pay.
#[derive(Clone, Debug, PartialEq)]
pub struct RiskTrace {
    /// The session that it was told for.
    pub session: Uuid,
    /// An earlier trace of the session was for the same request.
    pub repeated: bool,
    /// What the agent says it did; nothing where it told nothing.
    pub agent_trace: Option<Value>,
}

/// A payment, and what was found of the session and the trace that came with it.
#[derive(Clone, Copy, Debug)]
pub struct RiskInquiry<'a> {
    /// Who pays, as the authorization says.
    pub payer: Address,
    /// The session, where there is one of that name.
    pub session: Option<&'a RiskSession>,
    /// The trace, where one is named.
    pub trace: NamedTrace<'a>,
    /// The models that agents may use; none stands for any.
    pub models: &'a [String],
    /// The time.
    pub now: Timestamp,
}

/// The trace that came with a payment.
#[derive(Clone, Copy, Debug)]
pub enum NamedTrace<'a> {
    /// None was named.
    None,
    /// One was named that nobody knows.
    Unknown,
    /// This one.
    Found(&'a RiskTrace),
}

/// What follows for the payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RiskDecision {
    /// Nothing speaks against it.
    Allow,
    /// A human should look at it.
    Review,
    /// It must not be paid.
    Deny,
}

/// How much there is to fear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words say it")]
pub enum RiskLevel {
    Low,
    Medium,
    High,
}

/// A decision, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RiskAssessment {
    /// What follows.
    pub decision: RiskDecision,
    /// What was found, most serious first, each once.
    pub reasons: Vec<RiskFinding>,
    /// How long it holds, in seconds: never longer than the session.
    pub valid_secs: u64,
}

/// Why there is nothing to decide on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAssessed {
    /// There is no such session, or not any more.
    #[error("unknown sid")]
    UnknownSession,
    /// There is no such trace, or not any more.
    #[error("unknown tid")]
    UnknownTrace,
    /// The trace is another session's.
    #[error("tid not linked to sid")]
    ForeignTrace,
}

/// What speaks against a payment. The order is that of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RiskFinding {
    /// The session is another wallet's than the payer's.
    WalletMismatch,
    /// The trace is another agent's than the session's.
    AgentMismatch,
    /// The session has told of this request before.
    DuplicateRequest,
    /// A text is not the one that its hash is of.
    ContentHashMismatch,
    /// A text tries to give the agent other orders.
    InjectionPattern,
    /// What the agent was asked is longer than anybody asks.
    InputTooLong,
    /// The agent's model is none of those that may be used.
    ModelNotAllowed,
    /// The trace is not shaped as a trace is.
    TraceUnreadable,
    /// The agent does not say why it pays.
    ReasoningMissing,
}

impl RiskDecision {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Review => "review",
            Self::Deny => "deny",
        }
    }

    /// How much there is to fear, as engines call it.
    pub const fn level(self) -> RiskLevel {
        match self {
            Self::Allow => RiskLevel::Low,
            Self::Review => RiskLevel::Medium,
            Self::Deny => RiskLevel::High,
        }
    }
}

impl RiskLevel {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

impl RiskFinding {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WalletMismatch => "wallet_mismatch",
            Self::AgentMismatch => "agent_mismatch",
            Self::DuplicateRequest => "duplicate_request",
            Self::ContentHashMismatch => "content_hash_mismatch",
            Self::InjectionPattern => "injection_pattern",
            Self::InputTooLong => "input_too_long",
            Self::ModelNotAllowed => "model_not_allowed",
            Self::TraceUnreadable => "trace_unreadable",
            Self::ReasoningMissing => "reasoning_missing",
        }
    }

    const fn decision(self) -> RiskDecision {
        match self {
            Self::WalletMismatch
            | Self::AgentMismatch
            | Self::DuplicateRequest
            | Self::ContentHashMismatch
            | Self::InjectionPattern
            | Self::InputTooLong
            | Self::ModelNotAllowed => RiskDecision::Deny,
            Self::TraceUnreadable | Self::ReasoningMissing => RiskDecision::Review,
        }
    }
}

/// Assesses a payment. Whatever is found is told, not only the first.
///
/// # Errors
/// [`NotAssessed`] when what came with the payment is not there: that is no decision, and never an
/// allowance.
pub fn assess(inquiry: &RiskInquiry<'_>) -> Result<RiskAssessment, NotAssessed> {
    let alive = |session: &&RiskSession| inquiry.now < session.expires_at;
    let session = inquiry.session.filter(alive).ok_or(NotAssessed::UnknownSession)?;
    let mut findings = Vec::new();
    if session.wallet != inquiry.payer {
        findings.push(RiskFinding::WalletMismatch);
    }
    match inquiry.trace {
        // Whoever tells nothing does not come off better than whoever tells of another model.
        NamedTrace::None => findings.extend(trace::of_none(inquiry.models)),
        NamedTrace::Unknown => return Err(NotAssessed::UnknownTrace),
        NamedTrace::Found(trace) if trace.session != session.id => {
            return Err(NotAssessed::ForeignTrace);
        }
        NamedTrace::Found(trace) => {
            if trace.repeated {
                findings.push(RiskFinding::DuplicateRequest);
            }
            findings.extend(trace::findings(trace, session, inquiry.models));
        }
    }
    findings.sort_unstable();
    findings.dedup();
    let denied = findings.iter().any(|finding| finding.decision() == RiskDecision::Deny);
    let decision = match (denied, findings.is_empty()) {
        (true, _) => RiskDecision::Deny,
        (false, false) => RiskDecision::Review,
        (false, true) => RiskDecision::Allow,
    };
    let left = session.expires_at.since(inquiry.now).as_secs();
    let valid_secs = left.min(LONGEST_VALIDITY_SECS);
    Ok(RiskAssessment { decision, reasons: findings, valid_secs })
}

/// The request that a trace is for, where it says so.
pub fn request_of(agent_trace: &Value) -> Option<&str> {
    agent_trace.get("session_context")?.get("request_id")?.as_str().filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests;
