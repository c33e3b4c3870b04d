//! Blocks, as far as settlement looks at them.

use alloy_primitives::{B256, U64, U256};
use serde::Deserialize;

/// Which block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockTag {
    /// The node's newest.
    Latest,
    /// The newest that the network calls safe.
    Safe,
    /// The newest that the network calls finalized.
    Finalized,
    /// At this height.
    Number(u64),
}

impl BlockTag {
    pub(crate) fn param(self) -> String {
        match self {
            Self::Latest => "latest".to_owned(),
            Self::Safe => "safe".to_owned(),
            Self::Finalized => "finalized".to_owned(),
            Self::Number(number) => format!("{number:#x}"),
        }
    }
}

/// One block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its height.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// The hash of the block before it.
    pub parent: B256,
    /// Unix seconds.
    pub timestamp: i64,
    /// Wei per gas that it burned.
    pub base_fee: u128,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawHead {
    number: U64,
    hash: B256,
    parent_hash: B256,
    timestamp: U64,
    base_fee_per_gas: Option<U256>,
}

impl From<RawHead> for Head {
    fn from(raw: RawHead) -> Self {
        Self {
            number: raw.number.to(),
            hash: raw.hash,
            parent: raw.parent_hash,
            timestamp: i64::try_from(raw.timestamp.to::<u64>()).unwrap_or(i64::MAX),
            base_fee: raw.base_fee_per_gas.map_or(0, |fee| fee.saturating_to()),
        }
    }
}
