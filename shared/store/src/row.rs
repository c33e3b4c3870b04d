//! From the ledger's types to the domain's, and back.

use domain::{Address, B256, ChainId, Timestamp};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::StoreError;

/// Clocks of those who make ids and those who say when something happened may differ by so much, in
/// milliseconds.
pub(crate) const SLACK_MS: i64 = 3_600_000;

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

/// The lowest id that anything can have that was made at this time, or a little earlier.
pub(crate) fn first_id(at: Timestamp) -> Uuid {
    id_at(at.unix_ms().saturating_sub(SLACK_MS))
}

/// An id above any that was made by this time, or a little later.
pub(crate) fn last_id(at: Timestamp) -> Uuid {
    id_at(at.unix_ms().saturating_add(SLACK_MS))
}

/// The lowest time-ordered id of this millisecond (RFC 9562, version 7).
fn id_at(ms: i64) -> Uuid {
    let ms = u128::try_from(ms.max(0)).unwrap_or_default();
    Uuid::from_u128(ms.checked_shl(80).unwrap_or(u128::MAX))
}
