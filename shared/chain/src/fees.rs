//! What to offer for gas.

use alloy_primitives::U128;

use crate::{ChainError, Node};

/// What a transaction offers for its gas (EIP-1559), in wei.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fees {
    /// The most it pays per gas, in all.
    pub max_fee: u128,
    /// The most of that for the block's producer.
    pub priority: u128,
}

impl Fees {
    /// What the market asks, with room for the base fee to double, and never above `cap`; `None`
    /// when even the base fee is above it: then nothing should be sent.
    pub fn quote(base_fee: u128, priority: u128, cap: u128) -> Option<Self> {
        if base_fee > cap {
            return None;
        }
        let max_fee = base_fee.saturating_mul(2).saturating_add(priority).min(cap);
        Some(Self { max_fee, priority: priority.min(max_fee) })
    }

    /// Enough above the `replaced` offer for nodes to take the replacement (one eighth, where
    /// they ask for a tenth), at least what the market asks; `None` when that is above `cap`.
    pub fn bump(replaced: Self, market: Self, cap: u128) -> Option<Self> {
        let raise = |fee: u128| fee.saturating_add(fee / 8).saturating_add(1);
        let max_fee = raise(replaced.max_fee).max(market.max_fee);
        let priority = raise(replaced.priority).max(market.priority);
        (max_fee <= cap).then_some(Self { max_fee, priority: priority.min(max_fee) })
    }
}

impl Node {
    /// What blocks' producers ask for at present, in wei per gas.
    ///
    /// # Errors
    /// [`ChainError`] when the node did not say.
    pub async fn priority_fee(&self) -> Result<u128, ChainError> {
        let priority: U128 = self.ask("eth_maxPriorityFeePerGas", ()).await?;
        Ok(priority.to())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_leaves_room_for_the_base_fee_to_double_up_to_the_cap() {
        assert_eq!(Fees::quote(100, 5, 1_000), Some(Fees { max_fee: 205, priority: 5 }));
        assert_eq!(Fees::quote(100, 5, 150), Some(Fees { max_fee: 150, priority: 5 }));
        assert_eq!(Fees::quote(100, 500, 150), Some(Fees { max_fee: 150, priority: 150 }));
        assert_eq!(Fees::quote(151, 5, 150), None);
        assert_eq!(Fees::quote(0, 0, 0), Some(Fees { max_fee: 0, priority: 0 }));
    }

    #[test]
    fn a_replacement_offers_an_eighth_more_or_the_market() {
        let old = Fees { max_fee: 80, priority: 8 };
        let low = Fees { max_fee: 10, priority: 1 };
        let high = Fees { max_fee: 500, priority: 50 };
        assert_eq!(Fees::bump(old, low, 1_000), Some(Fees { max_fee: 91, priority: 10 }));
        assert_eq!(Fees::bump(old, high, 1_000), Some(high));
        assert_eq!(Fees::bump(old, high, 400), None);
    }
}
