//! Amounts of a token, in its atomic units.

use std::fmt;
use std::str::FromStr;

use alloy_primitives::U256;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The most decimal digits a `uint256` can have.
const MAX_DIGITS: usize = 78;

/// An amount in atomic units (for USDC, millionths of a dollar), as on chain: a `uint256`.
///
/// On the wire it is a decimal string, in the ledger `numeric(78,0)`; it is never a float.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(U256);

/// Text that is not a decimal `uint256`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a decimal integer between 0 and 2^256 - 1")]
pub struct InvalidAmount;

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(U256::ZERO);

    /// This many atomic units.
    pub const fn new(units: U256) -> Self {
        Self(units)
    }

    /// The number of atomic units.
    pub const fn units(self) -> U256 {
        self.0
    }

    /// The sum, or `None` where it does not fit a `uint256`.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }
}

impl From<u64> for Amount {
    fn from(units: u64) -> Self {
        Self(U256::from(units))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Amount {
    type Err = InvalidAmount;

    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        let digits = !text.is_empty()
            && text.len() <= MAX_DIGITS
            && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits {
            return Err(InvalidAmount);
        }
        U256::from_str_radix(text, 10).map(Self).map_err(|_| InvalidAmount)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_amount_reads_back_as_it_was_written(limbs: [u64; 4]) {
            let amount = Amount(U256::from_limbs(limbs));
            prop_assert_eq!(amount.to_string().parse(), Ok(amount));
        }
    }

    #[test]
    fn anything_but_plain_decimal_digits_is_refused() {
        let too_big = format!("1{}", "0".repeat(78));
        for bad in ["", " 1", "1 ", "+1", "-1", "0x10", "1e3", "1.0", "1_000", "٣", &too_big] {
            assert_eq!(bad.parse::<Amount>(), Err(InvalidAmount), "{bad:?} was taken");
        }
        let one_above_max = format!("{}6", &U256::MAX.to_string()[..77]);
        assert_eq!(one_above_max.parse::<Amount>(), Err(InvalidAmount));
    }
}
