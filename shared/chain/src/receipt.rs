//! What a mined transaction did.

use alloy_primitives::{Address, B256, Bytes, U64, U128};
use serde::Deserialize;

/// One log of a mined transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// The contract that wrote it.
    pub address: Address,
    /// Its topics; the first is the event's signature.
    pub topics: Vec<B256>,
    /// Its data.
    pub data: Bytes,
    /// Where it stands among the block's logs.
    pub index: u64,
}

/// A mined transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The transaction.
    pub tx_hash: B256,
    /// The block's height.
    pub block_number: u64,
    /// The block's hash.
    pub block_hash: B256,
    /// Whether the outer call succeeded; that proves nothing about an item.
    pub success: bool,
    /// The gas it used.
    pub gas_used: u64,
    /// Wei per gas that was paid.
    pub gas_price: u128,
    /// Its logs, in order.
    pub logs: Vec<LogEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawReceipt {
    transaction_hash: B256,
    block_number: U64,
    block_hash: B256,
    status: U64,
    gas_used: U64,
    effective_gas_price: Option<U128>,
    logs: Vec<RawLog>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawLog {
    pub(crate) address: Address,
    pub(crate) topics: Vec<B256>,
    pub(crate) data: Bytes,
    pub(crate) log_index: U64,
    pub(crate) transaction_hash: Option<B256>,
    pub(crate) block_number: Option<U64>,
    #[serde(default)]
    pub(crate) removed: bool,
}

impl From<RawLog> for LogEntry {
    fn from(raw: RawLog) -> Self {
        Self { address: raw.address, topics: raw.topics, data: raw.data, index: raw.log_index.to() }
    }
}

impl From<RawReceipt> for Receipt {
    fn from(raw: RawReceipt) -> Self {
        Self {
            tx_hash: raw.transaction_hash,
            block_number: raw.block_number.to(),
            block_hash: raw.block_hash,
            success: raw.status == U64::from(1),
            gas_used: raw.gas_used.to(),
            gas_price: raw.effective_gas_price.map_or(0, |price| price.to()),
            logs: raw.logs.into_iter().map(LogEntry::from).collect(),
        }
    }
}
