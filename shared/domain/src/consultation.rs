//! Where a payment stands with the risk engine, and what that says about it now.

use std::time::Duration;

use crate::Timestamp;
use crate::risk_engine::{RiskDecision, RiskLevel};

/// So long before a payment can no longer be settled, an engine that has not decided is not waited for
/// any more: somebody may still decide.
const LEFT_TO_SOMEBODY: Duration = Duration::from_secs(30);

/// How an engine is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EngineKind {
    /// Our own, by sessions and traces.
    Local,
    /// Sessions, traces and decisions.
    Trustline,
    /// A number between 0 and 1.
    Score,
}

/// Which payments an engine is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consulting {
    /// How it is spoken to.
    pub engine: EngineKind,
    /// Whether every payment needs a session, whatever its tenant's policy says.
    pub session_required: bool,
}

/// An engine's decision on a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineAnswer {
    /// What follows for the payment.
    pub decision: RiskDecision,
    /// The engine's name for its decision.
    pub decision_id: String,
    /// How much there is to fear.
    pub level: RiskLevel,
    /// Why, in the engine's words.
    pub reasons: Vec<String>,
    /// Until when it holds, where it is an allowance.
    pub valid_until: Timestamp,
}

/// How far asking about a payment has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// Nobody has asked.
    #[default]
    Unasked,
    /// So many tries have come to nothing, and there is no other before this time.
    Open {
        /// How many.
        tries: u32,
        /// When.
        ask_at: Timestamp,
    },
    /// It has decided.
    Answered(EngineAnswer),
    /// It has not, and is not asked again.
    Undecided,
}

/// What the ledger knows of asking about one payment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consultation {
    /// Whether the payment came with a session.
    pub has_session: bool,
    /// How far it has come.
    pub progress: Progress,
}

/// What a risk engine says about a payment, as far as a decision depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineWord {
    /// It is not asked about this payment.
    NotAsked,
    /// It would be, and the payment came without the session that it is asked by.
    SessionMissing,
    /// It has said nothing that holds, and is to be asked.
    AskNow,
    /// It has said nothing that holds, and is being asked, or has been in vain a moment ago.
    AskLater,
    /// This.
    Said(RiskDecision),
    /// It has not decided in time.
    Silent,
}

/// What a consultation is judged by, besides what the engine said.
#[derive(Clone, Copy, Debug)]
pub struct Occasion {
    /// Whether the tenant demands a session.
    pub session_demanded: bool,
    /// Until when an engine that does not decide is waited for.
    pub patience: Timestamp,
    /// The time.
    pub now: Timestamp,
}

impl EngineAnswer {
    /// Whether it counts still. Only an allowance gets old: what speaks against a payment does until the
    /// payment is rejected, or somebody has decided.
    fn holds(&self, now: Timestamp) -> bool {
        match self.decision {
            RiskDecision::Allow => now < self.valid_until,
            RiskDecision::Review | RiskDecision::Deny => true,
        }
    }
}

impl EngineKind {
    /// The name in the configuration and in the ledger.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Trustline => "trustline",
            Self::Score => "score",
        }
    }

    /// Whether it cannot be asked without a session.
    const fn needs_session(self) -> bool {
        match self {
            Self::Local | Self::Trustline => true,
            Self::Score => false,
        }
    }
}

impl Consultation {
    /// What the engine says about the payment now.
    pub fn word(&self, consulting: &Consulting, occasion: Occasion) -> EngineWord {
        let Occasion { session_demanded, patience, now } = occasion;
        if !self.has_session {
            if session_demanded || consulting.session_required {
                return EngineWord::SessionMissing;
            }
            if consulting.engine.needs_session() {
                return EngineWord::NotAsked;
            }
        }
        match &self.progress {
            Progress::Answered(answer) if answer.holds(now) => EngineWord::Said(answer.decision),
            Progress::Undecided => EngineWord::Silent,
            Progress::Unasked | Progress::Open { .. } | Progress::Answered(_)
                if patience <= now =>
            {
                EngineWord::Silent
            }
            Progress::Open { ask_at, .. } if now < *ask_at => EngineWord::AskLater,
            Progress::Unasked | Progress::Open { .. } | Progress::Answered(_) => EngineWord::AskNow,
        }
    }

    /// The allowance that holds now, if there is one.
    pub fn allowance(&self, now: Timestamp) -> Option<&EngineAnswer> {
        match &self.progress {
            Progress::Answered(answer)
                if answer.decision == RiskDecision::Allow && answer.holds(now) =>
            {
                Some(answer)
            }
            Progress::Unasked
            | Progress::Open { .. }
            | Progress::Answered(_)
            | Progress::Undecided => None,
        }
    }
}

/// Until when an engine that does not decide is waited for: shortly before `decide_by`, from when on
/// the payment cannot be settled, or, where there is little time, half of it.
pub fn patience(accepted_at: Timestamp, decide_by: Timestamp) -> Timestamp {
    let half = decide_by.since(accepted_at).checked_div(2).unwrap_or_default();
    decide_by.minus(LEFT_TO_SOMEBODY.min(half))
}

#[cfg(test)]
mod tests;
