//! From the ledger's types to the domain's, and back.

use domain::{Address, B256, ChainId, Timestamp};
use time::OffsetDateTime;

use crate::StoreError;

pub(crate) fn unreadable(what: &str) -> StoreError {
    StoreError::Unreadable(what.to_owned())
}

pub(crate) fn address(bytes: &[u8]) -> Result<Address, StoreError> {
    Address::try_from(bytes).map_err(|_| unreadable("address"))
}

pub(crate) fn hash(bytes: &[u8]) -> Result<B256, StoreError> {
    B256::try_from(bytes).map_err(|_| unreadable("32-byte value"))
}

pub(crate) fn chain(id: i64) -> Result<ChainId, StoreError> {
    u64::try_from(id).ok().and_then(ChainId::new).ok_or_else(|| unreadable("chain id"))
}

pub(crate) fn unsigned(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| unreadable("number below zero"))
}

/// A height, nonce or index as the ledger stores it; none of them comes near the bound.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn count(number: i32) -> Result<u32, StoreError> {
    u32::try_from(number).map_err(|_| unreadable("count below zero"))
}

pub(crate) fn parse<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| unreadable(what))
}

pub(crate) fn moment(at: OffsetDateTime) -> Timestamp {
    Timestamp::from(at)
}
