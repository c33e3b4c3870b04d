//! What the ledger says beside what the chain says: pure decisions.

use chain::{MinedBlock, Receipt, UseLog, find_payment};
use domain::{Inclusion, Payment, PaymentState};
use store::MinedTransaction;

use super::Difference;

/// A payment that the ledger says was settled here, beside the block at that height.
pub(super) fn settled(
    payment: &Payment,
    recorded: &Inclusion,
    block: &MinedBlock,
) -> Option<Difference> {
    let (payment, authorization, recorded) = (payment.id, &payment.authorization, *recorded);
    if block.hash != recorded.block_hash {
        return Some(Difference::WrongBlock { payment, recorded, found: block.hash });
    }
    let Some(receipt) = block.receipts.get(&recorded.tx_hash) else {
        return Some(Difference::NoTransaction { payment, recorded });
    };
    let Some(found) = find_payment(receipt, authorization) else {
        let authorization = authorization.clone();
        return Some(Difference::NotPaid { payment, authorization, recorded });
    };
    (found.log_index != recorded.log_index).then_some(Difference::WrongLog {
        payment,
        recorded,
        found: found.log_index,
    })
}

/// A transaction of ours that the ledger says was mined here, beside the block at that height.
pub(super) fn mined(transaction: &MinedTransaction, block: &MinedBlock) -> Option<Difference> {
    let MinedTransaction { id, hash, block_number, block_hash, gas_limit } = *transaction;
    match block.receipts.get(&hash) {
        Some(receipt) if block.hash == block_hash => {
            (receipt.gas_used > gas_limit).then_some(Difference::GasAboveLimit {
                transaction: id,
                tx_hash: hash,
                gas_used: receipt.gas_used,
                gas_limit,
            })
        }
        Some(_) | None => Some(Difference::NotMined {
            transaction: id,
            tx_hash: hash,
            block_number,
            recorded: block_hash,
            found: block.hash,
        }),
    }
}

/// What a use of an authorization says about the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum UseVerdict {
    /// Nothing that the ledger says otherwise.
    Agrees,
    /// The ledger says otherwise.
    Differs(Box<Difference>),
    /// The payment ended unpaid: what the transaction did decides.
    Ended,
}

/// A use of an authorization, beside its payment, if the ledger has one.
///
/// A payment that is not over agrees with everything: whoever follows it has not come so far.
pub(super) fn used(used: &UseLog, ours: bool, payment: Option<&Payment>) -> UseVerdict {
    let Some(payment) = payment else {
        return match ours {
            true => UseVerdict::Differs(Box::new(Difference::UnknownUse { used: *used })),
            false => UseVerdict::Agrees,
        };
    };
    match &payment.state {
        PaymentState::Settled { inclusion } => {
            let place = (inclusion.tx_hash, inclusion.block_number);
            if place == (used.tx_hash, used.block_number) {
                return UseVerdict::Agrees;
            }
            let (payment, recorded, used) = (payment.id, *inclusion, *used);
            UseVerdict::Differs(Box::new(Difference::UsedElsewhere { payment, recorded, used }))
        }
        PaymentState::Rejected(_)
        | PaymentState::Canceled
        | PaymentState::Expired
        | PaymentState::Failed(_) => UseVerdict::Ended,
        PaymentState::Accepted
        | PaymentState::Held { .. }
        | PaymentState::Approved { .. }
        | PaymentState::Submitted(_)
        | PaymentState::Confirmed { .. } => UseVerdict::Agrees,
    }
}

/// A use of the authorization of a payment that ended unpaid, beside what the transaction did.
///
/// Spent on something else by somebody else is how such a payment may end, and what anybody may
/// do with the same nonce after it has ended.
pub(super) fn ended(
    used: &UseLog,
    ours: bool,
    payment: &Payment,
    receipt: &Receipt,
) -> Option<Difference> {
    let state = payment.state.name();
    match find_payment(receipt, &payment.authorization) {
        Some(found) => Some(Difference::PaidButEnded { payment: payment.id, state, found }),
        None if ours => Some(Difference::Misspent { payment: payment.id, state, used: *used }),
        None => None,
    }
}

#[cfg(test)]
mod tests;
