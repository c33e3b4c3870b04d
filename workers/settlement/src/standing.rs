//! Whether a lane takes new work, decided without asking anybody.

use domain::U256;

/// What keeps a lane from new work, if anything does. Whatever it says, what the lane has sent is
/// followed, sent again and replaced until it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// An operator has taken the signer out of use.
    pub(crate) paused: bool,
    /// What is known about its money for gas.
    pub(crate) gas: Gas,
}

/// What is known about a signer's money for gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gas {
    /// Nothing yet: it works until something is.
    Unknown,
    Enough,
    /// It works, and somebody should send money.
    Low,
    /// Below what is kept for what was sent already: no new work.
    Short,
    /// A node would not take a transaction for want of money: no new work.
    Refused {
        /// The least that it has had since, in wei; `None` when nobody has looked yet.
        had: Option<U256>,
    },
}

/// The balances, in wei, below which something is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thresholds {
    pub(crate) warn: U256,
    pub(crate) pause: U256,
}

impl Standing {
    pub(crate) const fn works(&self) -> bool {
        !self.paused && !self.gas.is_out()
    }
}

impl Gas {
    /// Whether new work has to wait for money.
    pub(crate) const fn is_out(self) -> bool {
        match self {
            Self::Unknown | Self::Enough | Self::Low => false,
            Self::Short | Self::Refused { .. } => true,
        }
    }

    /// Whether it makes no sense to offer more for what was sent.
    pub(crate) const fn is_refused(self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// What a look at the balance makes of it. Where a node refused, only more money than there
    /// was since says something new, as nobody else knows what the node wants; unless nothing
    /// `waits` for the money any more.
    pub(crate) fn after_look(self, balance: U256, thresholds: Thresholds, waits: bool) -> Self {
        match self {
            Self::Refused { had: None } if waits => Self::Refused { had: Some(balance) },
            Self::Refused { had: Some(had) } if waits && balance <= had => {
                Self::Refused { had: Some(balance) }
            }
            _ if balance < thresholds.pause => Self::Short,
            _ if balance < thresholds.warn => Self::Low,
            _ => Self::Enough,
        }
    }

    /// What it is after a node refused a transaction for want of money.
    pub(crate) const fn after_refusal(self) -> Self {
        match self {
            Self::Refused { .. } => self,
            Self::Unknown | Self::Enough | Self::Low | Self::Short => Self::Refused { had: None },
        }
    }

    /// What it is after a node took a transaction: if one had refused, the next look decides.
    pub(crate) const fn after_acceptance(self) -> Self {
        match self {
            Self::Refused { .. } => Self::Refused { had: Some(U256::ZERO) },
            Self::Unknown | Self::Enough | Self::Low | Self::Short => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLDS: Thresholds = Thresholds {
        warn: U256::from_limbs([100, 0, 0, 0]),
        pause: U256::from_limbs([10, 0, 0, 0]),
    };

    fn refused(had: u64) -> Gas {
        Gas::Refused { had: Some(U256::from(had)) }
    }

    #[test]
    fn a_look_at_the_balance_says_whether_there_is_work() {
        let never = Gas::Refused { had: None };
        for (before, balance, waits, after) in [
            (Gas::Unknown, 100, false, Gas::Enough),
            (Gas::Unknown, 99, false, Gas::Low),
            (Gas::Enough, 10, true, Gas::Low),
            (Gas::Enough, 9, true, Gas::Short),
            (Gas::Low, 0, false, Gas::Short),
            (Gas::Short, 9, false, Gas::Short),
            (Gas::Short, 10, false, Gas::Low),
            (Gas::Short, 100, true, Gas::Enough),
            // The first look after a refusal is what later ones are compared with.
            (never, 500, true, refused(500)),
            (refused(500), 500, true, refused(500)),
            (refused(500), 400, true, refused(400)),
            (refused(400), 401, true, Gas::Enough),
            (refused(4), 5, true, Gas::Short),
            // Nothing is left that a node could refuse.
            (never, 500, false, Gas::Enough),
            (refused(500), 50, false, Gas::Low),
        ] {
            let seen = before.after_look(U256::from(balance), THRESHOLDS, waits);
            assert_eq!(seen, after, "{before:?}, {balance}, {waits}");
        }
    }

    #[test]
    fn a_refusal_stands_until_a_look_says_otherwise() {
        assert_eq!(Gas::Enough.after_refusal(), Gas::Refused { had: None });
        assert_eq!(refused(5).after_refusal(), refused(5));
        assert_eq!(refused(5).after_acceptance(), refused(0));
        assert_eq!(Gas::Short.after_acceptance(), Gas::Short);
        assert_eq!(refused(0).after_look(U256::from(5), THRESHOLDS, true), Gas::Short);
    }

    #[test]
    fn a_lane_works_unless_it_is_paused_or_out_of_gas() {
        for (paused, gas, works) in [
            (false, Gas::Unknown, true),
            (false, Gas::Enough, true),
            (false, Gas::Low, true),
            (false, Gas::Short, false),
            (false, refused(5), false),
            (true, Gas::Enough, false),
            (true, Gas::Short, false),
        ] {
            assert_eq!(Standing { paused, gas }.works(), works, "{paused}, {gas:?}");
        }
    }
}
