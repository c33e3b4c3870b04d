//! The whole state machine: which event leads from which state to which.

use crate::{EventType, FailureCode, Inclusion, PaymentState, StateName, Submission, Timestamp};

/// Something that was learned or decided about a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Risk wants a human to decide, until this moment.
    Held {
        /// When the hold ends.
        until: Timestamp,
    },
    /// Risk, or an operator, allows it until this moment.
    Approved {
        /// When the decision is stale.
        until: Timestamp,
    },
    /// The approval is stale: risk decides again.
    ApprovalExpired,
    /// It was refused before any broadcast.
    Rejected(FailureCode),
    /// A transaction that carries it was signed and stored.
    Submitted(Submission),
    /// The transaction was mined, or can never be, without using the authorization.
    Returned,
    /// The money moved, in this canonical block, by our transaction or anyone's.
    Included(Inclusion),
    /// The block that held it is no longer canonical.
    Reorged,
    /// The block that holds it is as final as the seller asked.
    Finalized,
    /// The seller took it back.
    Canceled,
    /// A final block lies beyond its window, and the authorization is unused.
    Expired,
    /// Proof that the authorization was used up without paying this seller.
    Failed(FailureCode),
}

/// The event does not fit the state; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a payment that is {from} cannot take {event}")]
pub struct Refused {
    /// Where the payment stands.
    pub from: StateName,
    /// What was to happen to it.
    pub event: EventType,
}

impl Event {
    /// What sellers are told when this event happens.
    pub const fn event_type(&self) -> EventType {
        match self {
            Self::Held { .. } => EventType::Held,
            Self::Approved { .. } => EventType::Approved,
            Self::ApprovalExpired => EventType::Requeued,
            Self::Rejected(_) => EventType::Rejected,
            Self::Submitted(_) => EventType::Submitted,
            Self::Returned => EventType::Returned,
            Self::Included(_) => EventType::Confirmed,
            Self::Reorged => EventType::Reorged,
            Self::Finalized => EventType::Settled,
            Self::Canceled => EventType::Canceled,
            Self::Expired => EventType::Expired,
            Self::Failed(_) => EventType::Failed,
        }
    }
}

/// Applies one event. Pure and total: what does not fit is refused, never ignored.
///
/// # Errors
/// [`Refused`] when the event does not fit the state; every terminal state refuses everything.
pub fn transition(state: PaymentState, event: Event) -> Result<PaymentState, Refused> {
    use {Event as E, PaymentState as S};
    let refused = Refused { from: state.name(), event: event.event_type() };
    match (state, event) {
        (S::Accepted, E::Held { until }) => Ok(S::Held { until }),
        (S::Accepted | S::Held { .. }, E::Approved { until }) => Ok(S::Approved { until }),
        (S::Approved { .. }, E::ApprovalExpired) => Ok(S::Accepted),
        (S::Accepted | S::Held { .. } | S::Approved { .. }, E::Rejected(code)) => {
            Ok(S::Rejected(code))
        }
        (S::Accepted | S::Held { .. } | S::Approved { .. }, E::Canceled) => Ok(S::Canceled),

        (S::Approved { .. }, E::Submitted(submission)) => Ok(S::Submitted(submission)),
        (S::Submitted(submission), E::Returned) => {
            Ok(S::Approved { until: submission.approved_until })
        }

        // Paid by anyone's transaction is paid, whatever we had planned.
        (S::Accepted | S::Held { .. } | S::Approved { .. }, E::Included(inclusion)) => {
            Ok(S::Confirmed { inclusion, submission: None })
        }
        (S::Submitted(submission), E::Included(inclusion)) => {
            Ok(S::Confirmed { inclusion, submission: Some(submission) })
        }
        (S::Confirmed { submission: Some(submission), .. }, E::Reorged) => {
            Ok(S::Submitted(submission))
        }
        // Nothing of ours can bring it back into a block, so it starts over.
        (S::Confirmed { submission: None, .. }, E::Reorged) => Ok(S::Accepted),
        (S::Confirmed { inclusion, .. }, E::Finalized) => Ok(S::Settled { inclusion }),

        // A confirmed payment must first leave its block before it can expire or fail.
        (S::Accepted | S::Held { .. } | S::Approved { .. } | S::Submitted(_), E::Expired) => {
            Ok(S::Expired)
        }
        (S::Submitted(_), E::Failed(code)) => Ok(S::Failed(code)),

        (
            S::Accepted
            | S::Held { .. }
            | S::Approved { .. }
            | S::Submitted(_)
            | S::Confirmed { .. }
            | S::Settled { .. }
            | S::Rejected(_)
            | S::Canceled
            | S::Expired
            | S::Failed(_),
            _,
        ) => Err(refused),
    }
}

#[cfg(test)]
mod tests;
