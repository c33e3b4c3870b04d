//! The kinds of events that sellers can be told about.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What happened to a payment, or to an endpoint; the `type` of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is named after the state that the payment came to")]
pub enum EventType {
    Accepted,
    Held,
    Approved,
    /// An approval became stale or a block was lost, and risk decides again.
    Requeued,
    Submitted,
    /// The transaction was mined without moving this payment's money.
    Returned,
    Confirmed,
    /// The block that held it is no longer canonical.
    Reorged,
    Settled,
    Rejected,
    Canceled,
    Expired,
    Failed,
    /// Nothing has arrived at an endpoint for a day, or for three.
    EndpointFailing,
    /// An endpoint is told nothing more until its owner enables it.
    EndpointDisabled,
}

/// Text that names no event type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an event type")]
pub struct UnknownEventType;

impl EventType {
    /// Every type, in the order of a payment's life; those of endpoints last.
    pub const ALL: [Self; 15] = [
        Self::Accepted,
        Self::Held,
        Self::Approved,
        Self::Requeued,
        Self::Submitted,
        Self::Returned,
        Self::Confirmed,
        Self::Reorged,
        Self::Settled,
        Self::Rejected,
        Self::Canceled,
        Self::Expired,
        Self::Failed,
        Self::EndpointFailing,
        Self::EndpointDisabled,
    ];

    /// What an endpoint hears that names no types: every end, and a reorganisation.
    pub const DEFAULT: [Self; 6] =
        [Self::Settled, Self::Rejected, Self::Canceled, Self::Expired, Self::Failed, Self::Reorged];

    /// The name on the wire and in the ledger.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "payment.accepted",
            Self::Held => "payment.held",
            Self::Approved => "payment.approved",
            Self::Requeued => "payment.requeued",
            Self::Submitted => "payment.submitted",
            Self::Returned => "payment.returned",
            Self::Confirmed => "payment.confirmed",
            Self::Reorged => "payment.reorged",
            Self::Settled => "payment.settled",
            Self::Rejected => "payment.rejected",
            Self::Canceled => "payment.canceled",
            Self::Expired => "payment.expired",
            Self::Failed => "payment.failed",
            Self::EndpointFailing => "webhook_endpoint.failing",
            Self::EndpointDisabled => "webhook_endpoint.disabled",
        }
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EventType {
    type Err = UnknownEventType;

    fn from_str(text: &str) -> Result<Self, UnknownEventType> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(UnknownEventType)
    }
}

impl Serialize for EventType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for EventType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
