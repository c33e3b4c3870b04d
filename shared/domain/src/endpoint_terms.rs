//! How an endpoint wants to be told.

use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::schema;

/// The shape of a webhook's body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PayloadVersion {
    /// The first one.
    #[default]
    V2026_11_01,
}

/// In which order the events of one payment are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeliveryOrder {
    /// In none: each as soon as it can be.
    #[default]
    None,
    /// One after the other; an event that is late does not hold up the next for long.
    PerPayment,
}

/// How an endpoint wants to be told. What says nothing leaves it to us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointTerms {
    /// The shape of the bodies.
    pub payload_version: PayloadVersion,
    /// The order of a payment's events.
    pub ordering: DeliveryOrder,
    /// At most so many calls at once, from all notifiers together.
    pub max_in_flight: Option<u32>,
    /// At most so many calls a second, from all notifiers together.
    pub max_per_second: Option<u32>,
    /// Whether deliveries are signed with Ed25519 (`v1a`) besides.
    pub ed25519: bool,
}

impl EndpointTerms {
    /// The most calls at once that an endpoint may ask for.
    pub const MOST_IN_FLIGHT: u32 = 64;

    /// The most calls a second that an endpoint may set as its bound.
    pub const MOST_PER_SECOND: u32 = 1_000;
}

/// Text that names none of the known choices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a known choice")]
pub struct UnknownChoice;

macro_rules! choices {
    ($name:ident, $doc:literal: $($variant:ident = $text:literal),+) => {
        impl $name {
            /// Every choice.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name on the wire and in the ledger.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text),+
                }
            }
        }

        impl FromStr for $name {
            type Err = UnknownChoice;

            fn from_str(text: &str) -> Result<Self, UnknownChoice> {
                Self::ALL.iter().copied().find(|one| one.as_str() == text).ok_or(UnknownChoice)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                schema::one_of($doc, Self::ALL.iter().map(|one| one.as_str()))
            }
        }

        impl utoipa::ToSchema for $name {}
    };
}

choices!(PayloadVersion, "The shape of a webhook's body.": V2026_11_01 = "2026-11-01");
choices!(
    DeliveryOrder,
    "In which order the events of one payment are sent.":
    None = "none",
    PerPayment = "per_payment"
);
