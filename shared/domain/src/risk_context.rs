//! What a buyer's agent hands over with a payment, for a risk engine to judge it by.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What came with a payment for an engine. Everything in it is the agent's word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RiskContext {
    /// The agent's session with the engine.
    pub session: Option<Uuid>,
    /// What the agent told of how it came to pay, by name.
    pub trace: Option<Uuid>,
    /// Where the request stands among others.
    pub request: Option<RequestTrace>,
    /// What the agent was told to do, by reference.
    pub mandate: Option<Mandate>,
}

/// A W3C trace context, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestTrace {
    /// `traceparent`.
    pub parent: String,
    /// `tracestate`.
    pub state: Option<String>,
}

/// A mandate: where it is, and what it hashes to. It is never fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mandate {
    /// Its name where it is kept.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Its hash, base64url.
    pub sha256_b64url: String,
    /// Its media type.
    pub mime: String,
    /// Its length in bytes.
    pub size: u64,
}

impl RiskContext {
    /// Whether nothing came.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
