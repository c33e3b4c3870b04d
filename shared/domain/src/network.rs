//! EVM networks by chain id, written as CAIP-2.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An EVM chain, by its EIP-155 id; written `eip155:<id>` (CAIP-2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainId(u64);

/// Text that is not `eip155:<decimal id>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an EVM network of the form eip155:<id>")]
pub struct InvalidNetwork;

impl ChainId {
    /// The largest id we take: the ledger stores it as a signed 64-bit number.
    pub const MAX: u64 = 9_223_372_036_854_775_807;

    /// The chain of this id, unless it is 0 or above [`ChainId::MAX`].
    pub const fn new(id: u64) -> Option<Self> {
        if id == 0 || id > Self::MAX { None } else { Some(Self(id)) }
    }

    /// The EIP-155 id.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The id as the ledger stores it.
    pub fn as_i64(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "eip155:{}", self.0)
    }
}

impl fmt::Debug for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ChainId {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let digits = text.strip_prefix("eip155:").ok_or(InvalidNetwork)?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
        if !plain {
            return Err(InvalidNetwork);
        }
        digits.parse().ok().and_then(Self::new).ok_or(InvalidNetwork)
    }
}

impl Serialize for ChainId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ChainId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_reads_back_as_it_was_written() {
        assert_eq!("eip155:8453".parse::<ChainId>().unwrap().to_string(), "eip155:8453");
    }

    #[test]
    fn other_namespaces_and_odd_numbers_are_refused() {
        for bad in [
            "",
            "8453",
            "eip155:",
            "eip155:0",
            "eip155:01",
            "eip155:+1",
            "eip155:1 ",
            "solana:1",
            "EIP155:1",
            "eip155:18446744073709551616",
            "eip155:9223372036854775808",
        ] {
            assert_eq!(bad.parse::<ChainId>(), Err(InvalidNetwork), "{bad:?} was taken");
        }
    }
}
