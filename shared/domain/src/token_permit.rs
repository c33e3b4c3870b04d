//! The buyer's signed leave for Permit2 to move a token (EIP-2612).

use alloy_primitives::U256;

use crate::{Amount, Signature};

/// What a payer signed besides an authorization for Permit2, who has not let that move the token
/// before: that it may move the amount of this payment.
///
/// The token takes each permit once, in the order of its nonces. Anybody may hand it in before us,
/// which does what we would have done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenPermit {
    /// Its place among the payer's permits of this token.
    pub nonce: U256,
    /// The last Unix second at which the token takes it.
    pub deadline: U256,
    /// The payer's signature: 65 bytes.
    pub signature: Signature,
}

impl TokenPermit {
    /// Bytes of its signature: the proxy of x402 takes it by its parts.
    pub const SIGNATURE_BYTES: usize = 65;

    /// Whether the token takes it: it is the payer's `next` one, and is taken until that Unix second
    /// and longer.
    fn is_taken(&self, next: U256, until: i64) -> bool {
        self.nonce == next && self.deadline >= U256::from(u64::try_from(until).unwrap_or_default())
    }
}

/// A payment's permit, and the nonce of the next one that the token takes of this payer.
#[derive(Clone, Copy, Debug)]
pub struct Leave<'a> {
    /// The permit.
    pub permit: &'a TokenPermit,
    /// As the token says.
    pub next_nonce: U256,
}

/// How much of a token Permit2 may move for a payment of this amount that is made by that Unix
/// second: what the payer has let it, or what the permit lets it, where that is more.
pub fn allowance_with(
    on_chain: Amount,
    amount: Amount,
    leave: Option<Leave<'_>>,
    by: i64,
) -> Amount {
    match leave {
        Some(Leave { permit, next_nonce }) if permit.is_taken(next_nonce, by) => {
            on_chain.max(amount)
        }
        Some(_) | None => on_chain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_counts_while_it_is_the_next_one_and_its_time_is_not_over() {
        let permit = TokenPermit {
            nonce: U256::from(3),
            deadline: U256::from(1_000),
            signature: Signature::new(vec![27; 65]),
        };
        // allowed on the chain, the token's next nonce, when the payment is made → allowed in all
        for (on_chain, next, by, expected) in [
            (0, 3, 999, 100),
            (0, 3, 1_000, 100),
            (99, 3, 1_000, 100),
            (500, 3, 1_000, 500),
            (0, 3, 1_001, 0),
            (0, 4, 999, 0),
            (0, 2, 999, 0),
            (100, 4, 2_000, 100),
        ] {
            let leave = Leave { permit: &permit, next_nonce: U256::from(next) };
            let allowed =
                |leave| allowance_with(Amount::from(on_chain), Amount::from(100), leave, by);
            assert_eq!(allowed(Some(leave)), Amount::from(expected), "{on_chain} {next} {by}");
            assert_eq!(allowed(None), Amount::from(on_chain));
        }
    }

    #[test]
    fn a_permit_without_end_counts_always() {
        let signature = Signature::new(vec![27; 65]);
        let permit = TokenPermit { nonce: U256::MAX, deadline: U256::MAX, signature };
        let leave = Leave { permit: &permit, next_nonce: U256::MAX };
        let allowed = allowance_with(Amount::ZERO, Amount::from(1), Some(leave), i64::MAX);
        assert_eq!(allowed, Amount::from(1));
    }

    #[test]
    fn a_permits_signature_is_never_printed() {
        let permit = TokenPermit {
            nonce: U256::ZERO,
            deadline: U256::ZERO,
            signature: Signature::new(vec![0xab; 65]),
        };
        let printed = format!("{permit:?}");
        assert!(printed.contains("Signature(65 bytes)") && !printed.contains("171"), "{printed}");
    }
}
