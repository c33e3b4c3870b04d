//! What an engine is asked about.

use domain::{Payment, RiskContext};

/// A payment, and what came with it for the engine.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The payment. Its signature is never shown to an engine: whoever has it can move the money.
    pub payment: &'a Payment,
    /// The version of x402 that it was submitted in, where that is known.
    pub x402_version: Option<u32>,
    /// What is paid for, where that is known.
    pub resource: Option<&'a str>,
    /// What the agent handed over.
    pub context: &'a RiskContext,
}
