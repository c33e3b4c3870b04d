//! What to do about a transaction that blocks leave lying.

use crate::policy::Policy;

/// How urgently a transaction wants something done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urge {
    /// It is on its way.
    Wait,
    /// The node may have lost it: a restart or a reorganisation empties its pool.
    SendAgain,
    /// It has waited long enough, or its payments have not long to live.
    Replace,
}

/// How urgent a transaction is whose newest bytes have `waited` so many blocks, when the first of
/// its payments to expire has `left` seconds, or nothing rests on what it carries.
///
/// One block went by while the bytes were on their way, so that the next is the first they could
/// be in.
pub(crate) fn urge(waited: u64, left: Option<i64>, is_vacant: bool, policy: &Policy) -> Urge {
    let is_late = left.is_some_and(|left| left <= policy.replacement_secs());
    // Sent again, what nothing rests on would only cost.
    let is_urgent = is_late || is_vacant;
    if waited > policy.bump_after_blocks.saturating_add(1) || (is_urgent && waited > 1) {
        Urge::Replace
    } else if waited > 1 {
        Urge::SendAgain
    } else {
        Urge::Wait
    }
}

/// What is known about a transaction that is to be replaced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stuck {
    /// Its nonce.
    pub(crate) nonce: u64,
    /// The nonce that the chain's newest block expects of the signer.
    pub(crate) chain_next: u64,
    /// For how many blocks the chain has expected a later one; 0 while it does not.
    pub(crate) spent_for: u64,
    /// Whether any payment rests on it.
    pub(crate) carries: bool,
    /// Whether its newest bytes only use the nonce up.
    pub(crate) is_filled: bool,
    /// Whether its newest offer is below what blocks charge now.
    pub(crate) is_priced_out: bool,
}

/// What to do about a transaction that is stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Push {
    /// Offer more for the same work.
    Raise,
    /// Nothing rests on it: put other payments into its nonce, or nothing.
    Refill,
    /// Another nonce keeps it from being mined; more money would not help.
    SendAgain,
    /// The chain has used the nonce, and our receipt may be late.
    Wait,
    /// A transaction that is none of ours has used the nonce for good.
    GiveUp,
}

/// Decides what to do about a stuck transaction. `patience` is for how many blocks the nonce must
/// have been used before a missing receipt proves anything.
pub(crate) fn push(stuck: &Stuck, patience: u64) -> Push {
    if stuck.chain_next > stuck.nonce {
        if stuck.spent_for >= patience { Push::GiveUp } else { Push::Wait }
    } else if !stuck.carries && !stuck.is_filled {
        Push::Refill
    } else if stuck.chain_next == stuck.nonce || stuck.is_priced_out {
        Push::Raise
    } else {
        Push::SendAgain
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::policy;

    #[test]
    fn what_waits_is_sent_again_and_then_replaced_sooner_when_its_payments_expire() {
        // Replaced after two blocks of a second: what has five seconds left has no time to lose.
        let policy = policy(50);
        for (waited, left, expected) in [
            (0, Some(600), Urge::Wait),
            (1, Some(600), Urge::Wait),
            (2, Some(600), Urge::SendAgain),
            (3, Some(600), Urge::SendAgain),
            (4, Some(600), Urge::Replace),
            (4, None, Urge::Replace),
            (3, None, Urge::SendAgain),
            (2, Some(policy.replacement_secs() + 1), Urge::SendAgain),
            (2, Some(policy.replacement_secs()), Urge::Replace),
            (2, Some(-5), Urge::Replace),
            // Its first block has not come: nothing says that it is not in it.
            (1, Some(1), Urge::Wait),
        ] {
            let urge = urge(waited, left, false, &policy);
            assert_eq!(urge, expected, "{waited} blocks, {left:?} s");
        }
        assert_eq!(urge(2, None, true, &policy), Urge::Replace);
        assert_eq!(urge(1, None, true, &policy), Urge::Wait);
    }

    #[test]
    fn only_what_money_can_move_is_offered_more() {
        let head = Stuck {
            nonce: 5,
            chain_next: 5,
            spent_for: 0,
            carries: true,
            is_filled: false,
            is_priced_out: false,
        };
        let behind = Stuck { chain_next: 4, ..head };
        let used = Stuck { chain_next: 6, ..head };
        for (stuck, expected) in [
            (head, Push::Raise),
            (Stuck { is_filled: true, ..head }, Push::Raise),
            (Stuck { is_filled: true, carries: false, ..head }, Push::Raise),
            (Stuck { carries: false, ..head }, Push::Refill),
            (behind, Push::SendAgain),
            (Stuck { is_priced_out: true, ..behind }, Push::Raise),
            (Stuck { carries: false, ..behind }, Push::Refill),
            (used, Push::Wait),
            (Stuck { spent_for: 2, ..used }, Push::Wait),
            (Stuck { spent_for: 3, ..used }, Push::GiveUp),
            (Stuck { spent_for: 3, carries: false, ..used }, Push::GiveUp),
        ] {
            assert_eq!(push(&stuck, 3), expected, "{stuck:?}");
        }
    }
}
