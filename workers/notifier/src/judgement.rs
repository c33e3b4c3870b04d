//! What an attempt means for its delivery and its endpoint. Pure.

use std::time::Duration;

use domain::{Timestamp, schedule};
use store::DeliveryNext;

/// Receivers that say they are overloaded, or say nothing, are left alone for at least so long.
const SHORTEST_PAUSE: Duration = Duration::from_secs(60);

/// The longest `Retry-After` that is followed.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// What an attempt met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Met {
    /// The receiver answered.
    Answer(Answer),
    /// The whole attempt took too long.
    Timeout,
    /// No connection, or one that broke: DNS, TCP or TLS.
    NoAnswer,
    /// The address is one that nothing may be sent to.
    BlockedAddress,
}

/// What of a receiver's answer decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// What the receiver asks for in `webhook-delivery`.
    pub(crate) wish: Option<Wish>,
    /// How long it asks to be left alone.
    pub(crate) retry_after: Option<Duration>,
}

/// The value of the header `webhook-delivery` in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Never send anything here again.
    Disable,
    /// Never send this one again.
    AbortMessage,
}

impl Wish {
    /// Reads the header's value; other values ask for nothing that we know.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "disable" => Some(Self::Disable),
            "abort-message" => Some(Self::AbortMessage),
            _ => None,
        }
    }
}

/// What an attempt came to, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A status of 200 to 299.
    Delivered,
    /// A redirect; they are never followed.
    Redirected,
    /// The receiver wants no more: 410, or `webhook-delivery: disable`.
    Gone,
    /// The receiver does not want this one: `webhook-delivery: abort-message`.
    Aborted,
    /// The receiver is overloaded, or what stands before it: 429, 502, 503, 504.
    Overloaded,
    /// Any other status.
    Refused,
    /// No answer in time.
    TimedOut,
    /// No connection, or one that broke.
    Unreachable,
    /// The endpoint's name leads to an address that nothing may be sent to.
    EgressBlocked,
}

impl Outcome {
    /// Each of them.
    pub(crate) const ALL: [Self; 9] = [
        Self::Delivered,
        Self::Redirected,
        Self::Gone,
        Self::Aborted,
        Self::Overloaded,
        Self::Refused,
        Self::TimedOut,
        Self::Unreachable,
        Self::EgressBlocked,
    ];

    /// The word in the log of attempts and in the metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Redirected => "redirected",
            Self::Gone => "gone",
            Self::Aborted => "aborted",
            Self::Overloaded => "overloaded",
            Self::Refused => "refused",
            Self::TimedOut => "timeout",
            Self::Unreachable => "unreachable",
            Self::EgressBlocked => "egress_blocked",
        }
    }

    fn of(met: Met) -> Self {
        let answer = match met {
            Met::Answer(answer) => answer,
            Met::Timeout => return Self::TimedOut,
            Met::NoAnswer => return Self::Unreachable,
            Met::BlockedAddress => return Self::EgressBlocked,
        };
        match (answer.status, answer.wish) {
            (200..=299, _) => Self::Delivered,
            (410, _) | (_, Some(Wish::Disable)) => Self::Gone,
            (_, Some(Wish::AbortMessage)) => Self::Aborted,
            (300..=399, None) => Self::Redirected,
            (429 | 502 | 503 | 504, None) => Self::Overloaded,
            (_, None) => Self::Refused,
        }
    }
}

/// What follows from an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) outcome: Outcome,
    /// What happens to the delivery.
    pub(crate) next: DeliveryNext,
    /// Why the endpoint is to be disabled, if it is.
    pub(crate) disable: Option<&'static str>,
}

/// Judges an attempt that ended at `now`. `failures` counts the failed attempts if this one is
/// another; `jitter` is evenly drawn.
///
/// A delivery whose endpoint is disabled keeps its place on the schedule: disabling holds it with
/// all others, and until then nobody takes it.
pub(crate) fn judge(met: Met, failures: u32, now: Timestamp, jitter: u16) -> Judgement {
    let outcome = Outcome::of(met);
    let retry_no_sooner_than = |pause: Duration| {
        schedule::delivery_delay(failures, jitter).map_or(DeliveryNext::Exhausted, |delay| {
            DeliveryNext::RetryAt(now.plus(delay.max(pause)))
        })
    };
    let next = match outcome {
        Outcome::Delivered => DeliveryNext::Delivered,
        Outcome::Aborted => DeliveryNext::Aborted,
        Outcome::Overloaded | Outcome::TimedOut => {
            retry_no_sooner_than(asked_pause(met).min(LONGEST_RETRY_AFTER).max(SHORTEST_PAUSE))
        }
        Outcome::Redirected
        | Outcome::Gone
        | Outcome::Refused
        | Outcome::Unreachable
        | Outcome::EgressBlocked => retry_no_sooner_than(Duration::ZERO),
    };
    Judgement { outcome, next, disable: reason_to_disable(met) }
}

fn asked_pause(met: Met) -> Duration {
    match met {
        Met::Answer(answer) => answer.retry_after.unwrap_or_default(),
        Met::Timeout | Met::NoAnswer | Met::BlockedAddress => Duration::ZERO,
    }
}

fn reason_to_disable(met: Met) -> Option<&'static str> {
    match met {
        Met::Answer(Answer { status: 410, .. }) => Some("the endpoint answered 410 Gone"),
        Met::Answer(Answer { wish: Some(Wish::Disable), .. }) => {
            Some("the endpoint answered webhook-delivery: disable")
        }
        Met::Answer(_) | Met::Timeout | Met::NoAnswer | Met::BlockedAddress => None,
    }
}

#[cfg(test)]
mod tests;
