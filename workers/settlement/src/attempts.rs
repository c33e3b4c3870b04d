//! Signed bytes and transactions as the ledger has them once they are stored.

use chain::{Fees, SignedTransaction};
use domain::{PaymentId, SignerId};
use store::{AttemptKind, NewAttempt, OpenTransaction, Round, StoredAttempt, TransactionState};

/// What is stored of signed bytes.
pub(crate) fn new_attempt(
    kind: AttemptKind,
    signed: &SignedTransaction,
    fees: Fees,
    signed_at_block: u64,
) -> NewAttempt {
    NewAttempt {
        kind,
        hash: signed.hash,
        raw: signed.raw.clone(),
        max_fee_per_gas: fees.max_fee,
        max_priority_fee_per_gas: fees.priority,
        signed_at_block,
    }
}

/// An attempt as it is once it is stored.
pub(crate) fn stored_attempt(number: u32, attempt: NewAttempt) -> StoredAttempt {
    StoredAttempt {
        number,
        kind: attempt.kind,
        hash: attempt.hash,
        raw: attempt.raw,
        max_fee_per_gas: attempt.max_fee_per_gas,
        max_priority_fee_per_gas: attempt.max_priority_fee_per_gas,
        signed_at_block: attempt.signed_at_block,
    }
}

/// A round as it is once it is stored.
pub(crate) fn opened(signer: SignerId, round: &Round, items: Vec<PaymentId>) -> OpenTransaction {
    OpenTransaction {
        id: round.transaction,
        signer,
        nonce: round.nonce,
        target: round.target,
        input: round.input.clone(),
        gas_limit: round.gas_limit,
        state: TransactionState::Open,
        attempts: vec![stored_attempt(1, round.attempt.clone())],
        items,
    }
}

/// A transaction as it is once its nonce was given to this round's payments.
pub(crate) fn refilled(
    old: &OpenTransaction,
    round: &Round,
    items: Vec<PaymentId>,
) -> OpenTransaction {
    let number = old.attempts.last().map_or(1, |newest| newest.number.saturating_add(1));
    let mut refilled = OpenTransaction {
        target: round.target,
        input: round.input.clone(),
        gas_limit: round.gas_limit,
        ..old.clone()
    };
    refilled.attempts.push(stored_attempt(number, round.attempt.clone()));
    refilled.items.extend(items);
    refilled
}
