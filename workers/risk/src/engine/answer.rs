//! What an engine can say, and every way in which it says nothing.

use std::time::Duration;

use domain::PaymentId;
use domain::risk_engine::{RiskDecision, RiskLevel};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The longest that an answer holds, however long an engine says.
const LONGEST_VALIDITY: Duration = Duration::from_secs(3_600);

/// The longest name that a decision may have, in bytes.
const MAX_ID_BYTES: usize = 256;

/// So many reasons are kept, each of so many characters.
const MOST_REASONS: usize = 20;
const LONGEST_REASON: usize = 200;

/// A decision as an engine gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What follows for the payment.
    pub decision: RiskDecision,
    /// The engine's name for its decision.
    pub decision_id: String,
    /// How much there is to fear.
    pub level: RiskLevel,
    /// Why, in the engine's words.
    pub reasons: Vec<String>,
    /// How long it holds.
    pub valid_for: Duration,
}

/// Why there is no decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoDecision {
    /// The payment came without a session, and the engine wants one.
    #[error("the payment has no session")]
    NoSession,
    /// The payment came without a trace context, and the engine wants one.
    #[error("the payment has no trace context")]
    NoTraceContext,
    /// As many payments wait for the engine as may.
    #[error("as many payments wait for the engine as may")]
    Busy,
    /// The engine failed too often, and is left alone for a while.
    #[error("the engine is left alone for a while")]
    BreakerOpen,
    /// It did not answer in time.
    #[error("the engine did not answer in time")]
    Timeout,
    /// It cannot be reached, or broke off.
    #[error("the engine cannot be reached")]
    Unreachable,
    /// It sends elsewhere, where nobody goes.
    #[error("the engine answered with a redirect")]
    Redirect,
    /// It answered with this status.
    #[error("the engine answered with status {0}")]
    Status(u16),
    /// Its answer is no `application/json`.
    #[error("the engine's answer is not declared as JSON")]
    NotJson,
    /// Its answer is longer than any decision.
    #[error("the engine's answer is too long")]
    TooLarge,
    /// Its answer lacks something, or has something of another kind.
    #[error("the engine's answer cannot be read")]
    Unreadable,
    /// Its answer is about another payment.
    #[error("the engine's answer is about another payment")]
    OtherPayment,
    /// Our own engine knows no such session, or not any more.
    #[error("the session is unknown")]
    UnknownSession,
    /// Our own engine knows no such trace, or not any more.
    #[error("the trace is unknown")]
    UnknownTrace,
    /// The trace is another session's.
    #[error("the trace is another session's")]
    ForeignTrace,
    /// What agents told cannot be looked up.
    #[error("the ledger does not answer")]
    LedgerAway,
}

impl NoDecision {
    /// The name of each, for metrics and journals.
    pub const ALL: [&'static str; 16] = [
        "no_session",
        "no_trace_context",
        "busy",
        "breaker_open",
        "timeout",
        "unreachable",
        "redirect",
        "status",
        "not_json",
        "too_large",
        "unreadable",
        "other_payment",
        "unknown_session",
        "unknown_trace",
        "foreign_trace",
        "ledger_away",
    ];

    /// Its name, for metrics and journals.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoSession => "no_session",
            Self::NoTraceContext => "no_trace_context",
            Self::Busy => "busy",
            Self::BreakerOpen => "breaker_open",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Redirect => "redirect",
            Self::Status(_) => "status",
            Self::NotJson => "not_json",
            Self::TooLarge => "too_large",
            Self::Unreadable => "unreadable",
            Self::OtherPayment => "other_payment",
            Self::UnknownSession => "unknown_session",
            Self::UnknownTrace => "unknown_trace",
            Self::ForeignTrace => "foreign_trace",
            Self::LedgerAway => "ledger_away",
        }
    }

    /// Whether asking again may help. What an engine refuses in a question, it refuses again; a
    /// token that it does not take is the operator's to put right.
    pub(super) const fn may_pass(self) -> bool {
        match self {
            Self::NoSession
            | Self::NoTraceContext
            | Self::UnknownSession
            | Self::UnknownTrace
            | Self::ForeignTrace => false,
            Self::Status(status) => !matches!(status, 400..=499) || is_passing(status),
            Self::Busy
            | Self::BreakerOpen
            | Self::Timeout
            | Self::Unreachable
            | Self::Redirect
            | Self::NotJson
            | Self::TooLarge
            | Self::Unreadable
            | Self::OtherPayment
            | Self::LedgerAway => true,
        }
    }

    /// Whether it counts against the engine: everything does, but what it refuses in one question.
    pub(super) const fn is_the_engines_fault(self) -> bool {
        self.may_pass()
    }
}

const fn is_passing(status: u16) -> bool {
    matches!(status, 401 | 403 | 408 | 425 | 429)
}

/// Reads an object. Serde would read a list of its members' values as well, which nobody has promised.
pub(super) fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, NoDecision> {
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(NoDecision::Unreadable);
    }
    serde_json::from_slice(body).map_err(|_| NoDecision::Unreadable)
}

/// An answer for so long, where that makes sense: an allowance for no time would be none.
pub(super) fn valid_for(decision: RiskDecision, secs: u64) -> Result<Duration, NoDecision> {
    match (decision, secs) {
        (RiskDecision::Allow, 0) => Err(NoDecision::Unreadable),
        (_, secs) => Ok(Duration::from_secs(secs).min(LONGEST_VALIDITY)),
    }
}

/// Why, in the engine's words, as far as they are fit to be kept.
pub(super) fn reasons(told: Vec<String>) -> Vec<String> {
    let fit = |reason: String| -> String {
        reason.chars().filter(|letter| !letter.is_control()).take(LONGEST_REASON).collect()
    };
    told.into_iter().map(fit).take(MOST_REASONS).collect()
}

/// The name of a decision, where it is one.
pub(super) fn decision_id(id: String) -> Result<String, NoDecision> {
    let is_name =
        !id.trim().is_empty() && id.len() <= MAX_ID_BYTES && !id.contains(char::is_control);
    if is_name { Ok(id) } else { Err(NoDecision::Unreadable) }
}

/// Refuses an answer that names a payment, and not this one. Most name none.
pub(super) fn about(named: Option<&Value>, payment: PaymentId) -> Result<(), NoDecision> {
    match named {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(name)) if *name == payment.to_string() => Ok(()),
        Some(_) => Err(NoDecision::OtherPayment),
    }
}

/// The payment that is named among an answer's other members.
pub(super) fn named_in(extra: &Map<String, Value>) -> Option<&Value> {
    extra.get("payment_id")
}
