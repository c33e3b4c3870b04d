//! What to do with a payment whose bell has rung, from what the ledger says about it now.

use domain::{Payment, PaymentState, Submission, Timestamp};
use store::SignedPayment;

/// What a round does with a payment.
#[derive(Debug)]
pub(crate) enum Readiness {
    /// It can be settled.
    Ready(SignedPayment),
    /// Its approval is stale: risk decides again.
    Stale(SignedPayment),
    /// Too little time is left to broadcast it: find out whether its window has closed for good.
    Late(SignedPayment),
    /// It is inside a transaction: see how that stands.
    Carried(SignedPayment, Submission),
    /// It is inside a block: see whether that is final.
    Included(SignedPayment),
    /// Nothing is to be done here.
    Rest,
}

/// Sorts one payment.
pub(crate) fn readiness(
    payment: SignedPayment,
    now: Timestamp,
    min_remaining_secs: i64,
) -> Readiness {
    let valid_before = payment.payment.authorization.valid_before;
    match payment.payment.state {
        // First, so that what cannot be decided here is decided by risk in the end.
        PaymentState::Approved { until } if until <= now => Readiness::Stale(payment),
        PaymentState::Approved { .. }
            if now.unix_secs().saturating_add(min_remaining_secs) >= valid_before =>
        {
            Readiness::Late(payment)
        }
        PaymentState::Approved { .. } => Readiness::Ready(payment),
        PaymentState::Submitted(submission) => Readiness::Carried(payment, submission),
        PaymentState::Confirmed { .. } => Readiness::Included(payment),
        PaymentState::Accepted
        | PaymentState::Held { .. }
        | PaymentState::Settled { .. }
        | PaymentState::Rejected(_)
        | PaymentState::Canceled
        | PaymentState::Expired
        | PaymentState::Failed(_) => Readiness::Rest,
    }
}

/// Whether a block of this time, in Unix seconds, is younger than the payment's approval. What the
/// token says as of another may be the word of a node that lags behind what risk saw: a network can
/// make several blocks in one second, so that their times do not always tell.
pub(crate) const fn is_news(as_of: i64, payment: &Payment) -> bool {
    as_of > payment.updated_at.unix_secs()
}
