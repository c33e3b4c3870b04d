//! What a block, or the token, says about payments that are sent.

use chain::{AuthorizationUse, Receipt, SendAnswer, find_payment};
use domain::{B256, Event, FailureCode, Payment, PaymentState, TransactionId};
use store::{Change, OpenTransaction};

/// Whether a payment rests on this transaction and is in no block yet.
pub(crate) fn waits_in(payment: &Payment, transaction: TransactionId) -> bool {
    matches!(payment.state, PaymentState::Submitted(submission)
        if submission.transaction == transaction)
}

/// Whether a payment rests on this transaction, in a block or not.
pub(crate) fn rests_on(payment: &Payment, transaction: TransactionId) -> bool {
    match payment.state {
        PaymentState::Submitted(submission)
        | PaymentState::Confirmed { submission: Some(submission), .. } => {
            submission.transaction == transaction
        }
        PaymentState::Confirmed { submission: None, .. }
        | PaymentState::Accepted
        | PaymentState::Held { .. }
        | PaymentState::Approved { .. }
        | PaymentState::Settled { .. }
        | PaymentState::Rejected(_)
        | PaymentState::Canceled
        | PaymentState::Expired
        | PaymentState::Failed(_) => false,
    }
}

/// Which of the waiting payments this receipt paid, by their own logs. The others rest on the
/// transaction until its block is final: it may yet be undone, and another may pay them.
pub(crate) fn included(
    payments: &[Payment],
    transaction: TransactionId,
    receipt: &Receipt,
) -> Vec<Change> {
    let paid = |payment: &Payment| {
        let event = Event::Included(find_payment(receipt, &payment.authorization)?);
        Some(Change { payment: payment.clone(), event, carrier: Some(receipt.tx_hash) })
    };
    let waiting = payments.iter().filter(|payment| waits_in(payment, transaction));
    waiting.filter_map(paid).collect()
}

/// What follows for payments that a block is found to hold when it is final already: the second
/// step of each, to be recorded with the first.
pub(crate) fn finalized(included: &[Change]) -> Vec<Change> {
    let settle = |Change { payment, .. }: &Change| Change {
        payment: payment.clone(),
        event: Event::Finalized,
        carrier: None,
    };
    included.iter().map(settle).collect()
}

/// What the depth of a transaction's block settles.
#[derive(Debug)]
pub(crate) struct Settling {
    /// The payments that are as final as their sellers asked.
    pub(crate) changes: Vec<Change>,
    /// Whether others in the same block wait for more.
    pub(crate) waiting: bool,
}

/// Settles what a block has made final; `is_final` says so for each payment's own finality.
pub(crate) fn settling(
    payments: impl IntoIterator<Item = (Payment, bool)>,
    transaction: TransactionId,
    block_hash: B256,
) -> Settling {
    let mut settling = Settling { changes: Vec::new(), waiting: false };
    for (payment, is_final) in payments {
        if !is_in(&payment, transaction, block_hash) {
            continue;
        }
        if is_final {
            settling.changes.push(Change { payment, event: Event::Finalized, carrier: None });
        } else {
            settling.waiting = true;
        }
    }
    settling
}

/// Whether this block holds the payment, by way of this transaction.
pub(crate) fn is_in(payment: &Payment, transaction: TransactionId, block_hash: B256) -> bool {
    matches!(payment.state, PaymentState::Confirmed { inclusion, submission: Some(submission) }
        if submission.transaction == transaction && inclusion.block_hash == block_hash)
}

/// Puts everything back that a lost block of this transaction had held.
pub(crate) fn undone(payments: Vec<Payment>, transaction: &OpenTransaction) -> Vec<Change> {
    let carrier = transaction.attempts.last().map(|attempt| attempt.hash);
    let confirmed = payments.into_iter().filter(|payment| {
        matches!(payment.state, PaymentState::Confirmed { submission: Some(submission), .. }
            if submission.transaction == transaction.id)
    });
    confirmed.map(|payment| Change { payment, event: Event::Reorged, carrier }).collect()
}

/// What the token says about a payment that its transaction, which is over, did not pay.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trace {
    /// Nobody has used the authorization.
    Unused,
    /// Somebody has; this is what became of it, and whether that is final.
    Used {
        /// What became of it.
        found: AuthorizationUse,
        /// Whether the block that did it is final.
        is_final: bool,
    },
}

/// What follows for a payment that its transaction did not pay; `None` while nothing is proven.
pub(crate) fn unpaid(trace: Trace) -> Option<Event> {
    match trace {
        Trace::Unused => Some(Event::Returned),
        Trace::Used { found: AuthorizationUse::Paid(inclusion), .. } => {
            Some(Event::Included(inclusion))
        }
        Trace::Used { found: AuthorizationUse::Spent { .. }, is_final } => {
            is_final.then_some(Event::Failed(FailureCode::AuthorizationUsed))
        }
        Trace::Used { found: AuthorizationUse::NotFound, .. } => None,
    }
}

/// What to do about a node's answer to bytes that were sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// It has them.
    Follow,
    /// It may have them: they are followed, and sent again if no block takes them.
    Doubt,
    /// The nonce is used: our own receipts first, most likely an attempt has just been mined.
    Look,
    /// It wants more.
    Raise,
    /// The signer cannot pay for the gas.
    AwaitGasMoney,
    /// It will never take them: the nonce is used up without them.
    Fill,
    /// It will not even take the empty transfer that uses the nonce up.
    Complain,
}

/// What to do about a node's answer; `is_filled` when the bytes only use the nonce up.
pub(crate) fn reply(answer: &SendAnswer, is_filled: bool) -> Reply {
    match answer {
        SendAnswer::Accepted | SendAnswer::AlreadyKnown => Reply::Follow,
        SendAnswer::Unknown(_) => Reply::Doubt,
        SendAnswer::NonceTooLow => Reply::Look,
        SendAnswer::Underpriced => Reply::Raise,
        SendAnswer::OutOfGasMoney => Reply::AwaitGasMoney,
        SendAnswer::Rejected(_) if is_filled => Reply::Complain,
        SendAnswer::Rejected(_) => Reply::Fill,
    }
}

#[cfg(test)]
mod tests {
    use domain::Inclusion;

    use super::*;

    #[test]
    fn a_payment_fails_only_when_what_used_it_up_is_final_and_returns_only_when_nothing_did() {
        let inclusion = Inclusion {
            tx_hash: B256::repeat_byte(1),
            log_index: 2,
            block_number: 3,
            block_hash: B256::repeat_byte(4),
        };
        let spent = AuthorizationUse::Spent { block_number: 3 };
        let used = |found, is_final| Trace::Used { found, is_final };
        for (trace, expected) in [
            (Trace::Unused, Some(Event::Returned)),
            (used(AuthorizationUse::Paid(inclusion), false), Some(Event::Included(inclusion))),
            (used(AuthorizationUse::Paid(inclusion), true), Some(Event::Included(inclusion))),
            (used(spent, false), None),
            (used(spent, true), Some(Event::Failed(FailureCode::AuthorizationUsed))),
            (used(AuthorizationUse::NotFound, false), None),
            (used(AuthorizationUse::NotFound, true), None),
        ] {
            assert_eq!(unpaid(trace), expected, "{trace:?}");
        }
    }

    #[test]
    fn no_answer_of_a_node_ends_anything() {
        let said = String::new;
        for (answer, payload, filler) in [
            (SendAnswer::Accepted, Reply::Follow, Reply::Follow),
            (SendAnswer::AlreadyKnown, Reply::Follow, Reply::Follow),
            (SendAnswer::Unknown(said()), Reply::Doubt, Reply::Doubt),
            (SendAnswer::NonceTooLow, Reply::Look, Reply::Look),
            (SendAnswer::Underpriced, Reply::Raise, Reply::Raise),
            (SendAnswer::OutOfGasMoney, Reply::AwaitGasMoney, Reply::AwaitGasMoney),
            (SendAnswer::Rejected(said()), Reply::Fill, Reply::Complain),
        ] {
            assert_eq!(reply(&answer, false), payload, "{answer:?}");
            assert_eq!(reply(&answer, true), filler, "{answer:?}");
        }
    }
}
