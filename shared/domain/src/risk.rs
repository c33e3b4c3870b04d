//! What the chain alone says about whether a payment can be settled.

use crate::{Amount, Authorization, FailureCode, Timestamp};

/// What the chain said about one payment, at one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainView {
    /// `authorizationState(payer, nonce)` of the token, or the nonce's bit in Permit2.
    pub authorization_used: bool,
    /// `balanceOf(payer)` of the token.
    pub balance: Amount,
    /// What the payer lets Permit2 move of the token, where it is Permit2 that is to move it.
    pub allowance: Option<Amount>,
    /// The timestamp, in Unix seconds, of the newest block that counts as final: what is unused
    /// now and out of time there can never be used any more.
    pub final_block_time: i64,
}

/// What follows for the payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It can be settled.
    Approve,
    /// It cannot be settled, whatever we do.
    Reject(FailureCode),
    /// The authorization is spent: find out whether it paid this seller.
    FindUse,
    /// There is nothing to pay: it ends without a transaction.
    Cancel,
    /// The window has closed for good.
    Expire,
    /// Too little time is left to broadcast, but the window has not closed in a final block.
    AwaitExpiry,
}

/// Judges a payment that has not been submitted. `needed_secs` is the validity that must be left
/// for a transaction to be mined in time.
pub fn judge(
    authorization: &Authorization,
    view: &ChainView,
    now: Timestamp,
    needed_secs: i64,
) -> Verdict {
    // Its buyer owes nothing, which the payer's signature for more must not be used for.
    if authorization.amount == Amount::ZERO {
        return Verdict::Cancel;
    }
    if view.authorization_used {
        return Verdict::FindUse;
    }
    // The token's bound is strict: at `validBefore` itself the transfer is refused.
    if view.final_block_time >= authorization.valid_before {
        return Verdict::Expire;
    }
    if now.unix_secs().saturating_add(needed_secs) >= authorization.valid_before {
        return Verdict::AwaitExpiry;
    }
    if view.balance < authorization.amount {
        return Verdict::Reject(FailureCode::InsufficientFunds);
    }
    if view.allowance.is_some_and(|allowance| allowance < authorization.amount) {
        return Verdict::Reject(FailureCode::AllowanceRequired);
    }
    Verdict::Approve
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, B256};

    use super::*;
    use crate::{ChainId, TransferMethod};

    const VALID_BEFORE: i64 = 1_000;

    fn authorization() -> Authorization {
        Authorization {
            method: TransferMethod::Eip3009,
            chain: ChainId::new(1).unwrap(),
            asset: Address::repeat_byte(1),
            payer: Address::repeat_byte(2),
            pay_to: Address::repeat_byte(3),
            amount: Amount::from(100),
            valid_after: 0,
            valid_before: VALID_BEFORE,
            nonce: B256::repeat_byte(4),
        }
    }

    fn verdict(used: bool, balance: u64, final_block_time: i64, now: i64) -> Verdict {
        let balance = Amount::from(balance);
        let view =
            ChainView { authorization_used: used, balance, allowance: None, final_block_time };
        judge(&authorization(), &view, Timestamp::from_unix_secs(now), 6)
    }

    #[test]
    fn permit2_must_be_let_move_the_amount() {
        for (balance, allowance, expected) in [
            (100, 100, Verdict::Approve),
            (100, 99, Verdict::Reject(FailureCode::AllowanceRequired)),
            (99, 99, Verdict::Reject(FailureCode::InsufficientFunds)),
        ] {
            let view = ChainView {
                authorization_used: false,
                balance: Amount::from(balance),
                allowance: Some(Amount::from(allowance)),
                final_block_time: 500,
            };
            let now = Timestamp::from_unix_secs(500);
            assert_eq!(judge(&authorization(), &view, now, 6), expected, "{balance} {allowance}");
        }
    }

    #[test]
    fn what_is_asked_nothing_of_is_never_settled() {
        let nothing = Authorization { amount: Amount::ZERO, ..authorization() };
        for (authorization_used, now) in [(false, 500), (false, 2_000), (true, 500)] {
            let view = ChainView {
                authorization_used,
                balance: Amount::from(100),
                allowance: Some(Amount::from(100)),
                final_block_time: now,
            };
            let verdict = judge(&nothing, &view, Timestamp::from_unix_secs(now), 6);
            assert_eq!(verdict, Verdict::Cancel, "{authorization_used} {now}");
        }
    }

    #[test]
    fn the_chain_view_on_one_page() {
        use Verdict::{Approve, AwaitExpiry, Expire, FindUse, Reject};
        let broke = Reject(FailureCode::InsufficientFunds);
        // used, balance, final block time, now → verdict
        for (used, balance, final_block_time, now, expected) in [
            (false, 100, 500, 500, Approve),
            (false, 101, 500, 993, Approve),
            (false, 100, 500, 994, AwaitExpiry),
            (false, 99, 500, 500, broke),
            (false, 0, 500, 994, AwaitExpiry),
            (false, 100, 999, 1_005, AwaitExpiry),
            (false, 100, 1_000, 1_005, Expire),
            (false, 0, 1_000, 1_005, Expire),
            (true, 100, 500, 500, FindUse),
            (true, 0, 1_000, 1_005, FindUse),
        ] {
            let row = (used, balance, final_block_time, now);
            assert_eq!(verdict(used, balance, final_block_time, now), expected, "{row:?}");
        }
    }
}
