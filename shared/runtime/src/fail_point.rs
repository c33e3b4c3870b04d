//! Places where a process can be made to die, for the tests of what is left behind then.
//!
//! Only a build with the feature `fail-points` has them. There the variable `QUITTANCE_FAIL_POINT`
//! arms one: `after_store=kill` or, at the third passing, `after_store=stop@3`. In every other
//! build passing a point is nothing at all, and the variable is refused as no setting of ours.

use std::str::FromStr;

/// A place in the code between two steps that a crash must be able to part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailPoint {
    /// ingress: payments are committed; nobody was rung for, and nobody was answered.
    AfterCommit,
    /// risk: decisions are committed; nobody was rung for.
    AfterDecision,
    /// settlement: payments were taken for a round, which is not built yet.
    AfterGather,
    /// settlement: a round was simulated; no nonce is taken.
    AfterSimulate,
    /// settlement: a transaction is signed and not stored.
    AfterSign,
    /// settlement: a transaction is stored and was not sent.
    AfterStore,
    /// settlement: a transaction was sent; the node's answer is not noted.
    AfterBroadcast,
    /// settlement: a receipt was read; nothing of it is recorded.
    AfterMined,
    /// settlement: what became of a transaction is committed; nobody was told.
    AfterRecorded,
    /// settlement: a better paid replacement is stored and was not sent.
    InBumpAfterStore,
    /// settlement: a signer is leased; its nonces were not compared with the chain.
    InCatchUp,
    /// settlement: what fills a hole in the nonces is stored and was not sent.
    InHoleFill,
    /// settlement: a lane has stopped; its lease is not given back.
    BeforeGiveBack,
    /// notifier: a webhook was sent; the attempt is not noted.
    AfterAttempt,
}

impl FailPoint {
    /// Every point.
    pub const ALL: [Self; 14] = [
        Self::AfterCommit,
        Self::AfterDecision,
        Self::AfterGather,
        Self::AfterSimulate,
        Self::AfterSign,
        Self::AfterStore,
        Self::AfterBroadcast,
        Self::AfterMined,
        Self::AfterRecorded,
        Self::InBumpAfterStore,
        Self::InCatchUp,
        Self::InHoleFill,
        Self::BeforeGiveBack,
        Self::AfterAttempt,
    ];

    /// Its name in `QUITTANCE_FAIL_POINT`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AfterCommit => "after_commit",
            Self::AfterDecision => "after_decision",
            Self::AfterGather => "after_gather",
            Self::AfterSimulate => "after_simulate",
            Self::AfterSign => "after_sign",
            Self::AfterStore => "after_store",
            Self::AfterBroadcast => "after_broadcast",
            Self::AfterMined => "after_mined",
            Self::AfterRecorded => "after_recorded",
            Self::InBumpAfterStore => "in_bump_after_store",
            Self::InCatchUp => "in_catch_up",
            Self::InHoleFill => "in_hole_fill",
            Self::BeforeGiveBack => "before_give_back",
            Self::AfterAttempt => "after_attempt",
        }
    }
}

/// What happens to the process at an armed point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailAction {
    /// SIGKILL: nothing runs afterwards.
    Kill,
    /// SIGSTOP: nothing runs until somebody sends SIGCONT.
    Stop,
}

/// A point that is armed: once, at one of its passings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArmedPoint {
    /// Where.
    pub point: FailPoint,
    /// What happens there.
    pub action: FailAction,
    /// At which passing, counted from 1.
    pub passing: u64,
}

/// Why a text arms no point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FailPointError {
    /// It has another form.
    #[error("must be <point>=<action> or <point>=<action>@<passing>")]
    Form,
    /// There is no such point.
    #[error("names no fail point")]
    Point,
    /// There is no such action.
    #[error("names no action: kill or stop")]
    Action,
    /// No passing has that number.
    #[error("the passing must be a number from 1 on")]
    Passing,
}

impl FromStr for ArmedPoint {
    type Err = FailPointError;

    fn from_str(text: &str) -> Result<Self, FailPointError> {
        let (name, rest) = text.split_once('=').ok_or(FailPointError::Form)?;
        let (action, passing) = rest.split_once('@').unwrap_or((rest, "1"));
        let point = FailPoint::ALL.into_iter().find(|point| point.name() == name);
        let action = match action {
            "kill" => FailAction::Kill,
            "stop" => FailAction::Stop,
            _ => return Err(FailPointError::Action),
        };
        let passing = passing.parse().ok().filter(|passing| *passing > 0);
        Ok(Self {
            point: point.ok_or(FailPointError::Point)?,
            action,
            passing: passing.ok_or(FailPointError::Passing)?,
        })
    }
}

/// Passes a point. Where that one is armed, the process ends or stops here.
#[cfg(not(feature = "fail-points"))]
#[inline(always)]
pub const fn fail_point(_: FailPoint) {}

#[cfg(feature = "fail-points")]
pub use self::armed::{arm, fail_point};

#[cfg(feature = "fail-points")]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use nix::sys::signal::{Signal, raise};

    use super::{ArmedPoint, FailAction, FailPoint};

    static ARMED: OnceLock<ArmedPoint> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);

    /// Arms a point for the rest of this process's life, and warns that this build can do that.
    /// The first one stays.
    pub fn arm(armed: Option<ArmedPoint>) {
        tracing::warn!(?armed, "this build has fail points: it is for tests alone");
        if let Some(armed) = armed {
            ARMED.get_or_init(|| armed);
        }
    }

    /// Passes a point. Where that one is armed, the process ends or stops here.
    #[inline]
    pub fn fail_point(point: FailPoint) {
        if let Some(armed) = ARMED.get().filter(|armed| armed.point == point)
            && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == armed.passing
        {
            strike(armed.action);
        }
    }

    fn strike(action: FailAction) {
        let signal = match action {
            FailAction::Kill => Signal::SIGKILL,
            FailAction::Stop => Signal::SIGSTOP,
        };
        // To this thread, so that it does not run on while another one takes the signal.
        if let Err(error) = raise(signal) {
            tracing::error!(%error, "a fail point did not strike");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_is_armed_by_its_name() {
        for point in FailPoint::ALL {
            let armed = ArmedPoint { point, action: FailAction::Kill, passing: 1 };
            assert_eq!(format!("{}=kill", point.name()).parse(), Ok(armed));
        }
        let armed =
            ArmedPoint { point: FailPoint::AfterStore, action: FailAction::Stop, passing: 3 };
        assert_eq!("after_store=stop@3".parse(), Ok(armed));
    }

    #[test]
    fn what_arms_nothing_is_refused_with_its_reason() {
        for (text, error) in [
            ("", FailPointError::Form),
            ("after_store", FailPointError::Form),
            ("afterstore=kill", FailPointError::Point),
            ("=kill", FailPointError::Point),
            ("after_store=", FailPointError::Action),
            ("after_store=Kill", FailPointError::Action),
            ("after_store=kill@", FailPointError::Passing),
            ("after_store=kill@0", FailPointError::Passing),
            ("after_store=kill@-1", FailPointError::Passing),
        ] {
            assert_eq!(text.parse::<ArmedPoint>(), Err(error), "{text:?}");
        }
    }
}
