//! What an engine is asked about.

use domain::Payment;
use uuid::Uuid;

/// A payment, and what came with it for the engine.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The payment. Its signature is never shown to an engine: whoever has it can move the money.
    pub payment: &'a Payment,
    /// The version of x402 that it was submitted in, where that is known.
    pub x402_version: Option<u32>,
    /// What is paid for, where that is known.
    pub resource: Option<&'a str>,
    /// The agent's session with the engine.
    pub session: Option<Uuid>,
    /// What the agent told of how it came to pay.
    pub trace: Option<Uuid>,
    /// Where the request stands among others.
    pub trace_context: Option<TraceContext<'a>>,
    /// What the agent was told to do, by reference.
    pub mandate: Option<&'a Mandate>,
}

/// A W3C trace context, as it came.
#[derive(Clone, Copy, Debug)]
pub struct TraceContext<'a> {
    /// `traceparent`.
    pub tp: &'a str,
    /// `tracestate`.
    pub ts: Option<&'a str>,
}

/// A mandate: where it is, and what it hashes to. It is never fetched.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
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
