//! Every bound of settlement on one network, in one place.

use std::time::Duration;

use chain::PAYMENT_GAS;
use domain::U256;

/// The bounds of settlement on one network.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// The most payments in one transaction.
    pub max_batch: usize,
    /// The most signers that one process works with. Those that take no new work, because they are
    /// paused or have no money for gas, come on top.
    pub max_lanes: usize,
    /// The most unmined transactions of one signer; nodes limit them per account.
    pub max_in_flight: usize,
    /// How long a signer stays with a process that gives no sign of life.
    pub lease: Duration,
    /// A transaction that is not mined after so many blocks is replaced by a better paid one.
    pub bump_after_blocks: u64,
    /// The validity, in seconds, that must be left when a payment is first broadcast.
    pub min_remaining_secs: i64,
    /// The blocks, its own included, after which a payment counts as settled.
    pub confirmations: u64,
    /// Wei per gas that is never exceeded.
    pub max_fee_per_gas: u128,
    /// How often the network has a new block.
    pub block_time: Duration,
    /// How often a working signer's money for gas is looked at.
    pub gas_look_every: Duration,
    /// Wei below which a signer's money for gas is running low.
    pub gas_warn_wei: U256,
    /// Wei below which a signer takes no new work.
    pub gas_pause_wei: U256,
}

impl Policy {
    /// Gas that a batch may use besides its items.
    const BATCH_GAS: u64 = 60_000;
    /// Gas that one item of a batch may use: USDC's proxy, a new balance and a new nonce, with
    /// room. What is not used costs nothing.
    const ITEM_GAS: u64 = 120_000;
    /// The shortest and the longest time between two looks at the chain.
    const POLL_BOUNDS: (Duration, Duration) =
        (Duration::from_millis(50), Duration::from_millis(1_000));

    /// The most gas that one transaction may ask for (EIP-7825); what asks for more is never mined.
    const MOST_GAS: u64 = 1 << 24;

    /// Long enough for slow networks: nobody waits longer for company.
    const MOST_PACE: Duration = Duration::from_secs(1);

    /// How often a payment may be mined without being paid before it is refused: a wallet that
    /// says yes to every question and no to every block would otherwise spend our gas for ever.
    pub(crate) const MOST_UNPAID: u32 = 3;

    /// The most payments in one transaction, by count and by gas.
    pub fn most_items(&self) -> usize {
        let by_gas = (Self::MOST_GAS - Self::BATCH_GAS) / Self::ITEM_GAS;
        self.max_batch.min(usize::try_from(by_gas).unwrap_or(usize::MAX))
    }

    /// The least time between the beginnings of two rounds that are not full: an eighth of a
    /// block, so that payments that come one after the other share a transaction and its calls,
    /// and are hardly ever late for a block.
    pub fn pace(&self) -> Duration {
        (self.block_time / 8).min(Self::MOST_PACE)
    }

    /// The gas limit of a batch.
    pub fn batch_gas(items: usize) -> u64 {
        let items = u64::try_from(items).unwrap_or(u64::MAX);
        Self::ITEM_GAS.saturating_mul(items).saturating_add(Self::BATCH_GAS)
    }

    /// The gas limit of a call that was estimated: a quarter more, because the chain moves on.
    /// `None` when that is more than one payment is worth.
    pub fn single_gas(estimate: u64) -> Option<u64> {
        let limit = estimate.saturating_add(estimate / 4);
        (limit <= PAYMENT_GAS).then_some(limit)
    }

    /// How many seconds before the end of a payment's window the transaction that carries it is
    /// replaced without further waiting: as long as the replacement may take in its turn.
    pub(crate) fn replacement_secs(&self) -> i64 {
        let blocks = u32::try_from(self.bump_after_blocks).unwrap_or(u32::MAX).saturating_add(2);
        let time = self.block_time.saturating_mul(blocks);
        i64::try_from(time.as_millis().div_ceil(1_000)).unwrap_or(i64::MAX)
    }

    /// For how many blocks the chain must have used a nonce before a missing receipt proves that
    /// somebody else used it: so many more than final ones that a node which lags has it as well.
    pub(crate) const fn patience(&self) -> u64 {
        self.confirmations.saturating_add(self.bump_after_blocks)
    }

    /// How often to look for a new block while something is open.
    pub fn poll_interval(&self) -> Duration {
        let (least, most) = Self::POLL_BOUNDS;
        (self.block_time / 5).clamp(least, most)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn policy(max_batch: usize) -> Policy {
        Policy {
            max_batch,
            max_lanes: 1,
            max_in_flight: 4,
            lease: Duration::from_secs(15),
            bump_after_blocks: 2,
            min_remaining_secs: 6,
            confirmations: 1,
            max_fee_per_gas: 1_000,
            block_time: Duration::from_secs(1),
            gas_look_every: Duration::from_secs(30),
            gas_warn_wei: U256::ZERO,
            gas_pause_wei: U256::ZERO,
        }
    }

    #[test]
    fn no_batch_asks_for_more_gas_than_a_transaction_may() {
        assert_eq!(policy(50).most_items(), 50);
        assert!(Policy::batch_gas(policy(200).most_items()) <= Policy::MOST_GAS);
    }

    #[test]
    fn a_payment_alone_is_given_room_and_no_more_than_it_is_worth() {
        assert_eq!(Policy::single_gas(80_000), Some(100_000));
        assert_eq!(Policy::single_gas(800_000), Some(1_000_000));
        assert_eq!(Policy::single_gas(800_004), None);
        assert_eq!(Policy::single_gas(u64::MAX), None);
    }
}
