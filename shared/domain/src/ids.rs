//! Identifiers: a readable prefix and 128 time-ordered bits.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::schema;

/// Crockford's base 32, lower case: no i, l, o or u, so that an id can be read aloud.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// 26 characters of five bits hold the 128 bits of a UUID.
const ENCODED_LEN: usize = 26;

/// Text that is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form {prefix}_…")]
pub struct InvalidId {
    /// The prefix that was expected.
    pub prefix: &'static str,
}

fn encode(value: u128) -> String {
    let digit = |shift: u32| {
        let index = usize::try_from((value >> shift) & 31).unwrap_or_default();
        char::from(ALPHABET.get(index).copied().unwrap_or(b'0'))
    };
    (0..26u32).rev().map(|place| digit(place.saturating_mul(5))).collect()
}

fn decode(text: &str) -> Option<u128> {
    if text.len() != ENCODED_LEN {
        return None;
    }
    text.bytes().try_fold(0u128, |value, byte| {
        let digit = ALPHABET.iter().position(|&letter| letter == byte)?;
        value.checked_mul(32)?.checked_add(u128::try_from(digit).ok()?)
    })
}

macro_rules! ids {
    ($($(#[doc = $doc:literal])* $name:ident = $prefix:literal;)*) => {$(
        $(#[doc = $doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// What every id of this kind begins with, before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// Names something by these bits; time-ordered ones keep indexes compact.
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The bits, as the ledger stores them.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), encode(self.0.as_u128()))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix(concat!($prefix, "_"))
                    .and_then(decode)
                    .map(|value| Self(Uuid::from_u128(value)))
                    .ok_or(InvalidId { prefix: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                schema::text(
                    concat!($($doc,)* " Ids sort by the time they were made."),
                    format!(concat!("^", $prefix, "_{}$"), schema::ID_DIGITS),
                    &format!(concat!($prefix, "_{}"), schema::SOME_ID),
                )
            }
        }

        impl utoipa::ToSchema for $name {}

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// One payment: one authorization, for ever.
    PaymentId = "pay";
    /// A seller.
    AccountId = "acct";
    /// One API key of an account.
    ApiKeyId = "key";
    /// One change of one payment; the `webhook-id` that receivers de-duplicate by.
    EventId = "evt";
    /// A seller's webhook endpoint.
    EndpointId = "we";
    /// One event on its way to one endpoint.
    DeliveryId = "whd";
    /// One nonce of one signer, with all attempts to have it mined.
    TransactionId = "txn";
    /// Work that goes on behind an answer.
    JobId = "job";
    /// A signing address on one network.
    SignerId = "sgn";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_it_was_written() {
        for bits in [0, 1, u128::MAX, 0x0193_4c2a_7b1e_7000_8000_0123_4567_89ab] {
            let id = PaymentId::new(Uuid::from_u128(bits));
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn ids_sort_by_time_in_text_as_in_bits() {
        let (earlier, later) = (Uuid::from_u128(7 << 80), Uuid::from_u128(8 << 80));
        assert!(PaymentId::new(earlier).to_string() < PaymentId::new(later).to_string());
    }

    #[test]
    fn text_that_is_not_an_id_is_refused() {
        let good = PaymentId::new(Uuid::from_u128(5)).to_string();
        let too_big = format!("pay_8{}", "0".repeat(25));
        for bad in ["", "pay_", "pay_é", &good.to_uppercase(), &good[4..], &too_big] {
            assert!(bad.parse::<PaymentId>().is_err(), "{bad:?} was taken");
        }
        assert!(good.parse::<AccountId>().is_err());
    }
}
