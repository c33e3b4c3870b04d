//! The x402 protocol as a facilitator speaks it: pure types and checks, versions 1 and 2.
//!
//! Nothing here performs I/O or reads a clock. [`check()`] takes a settle request as it came and
//! gives back either an authorization that its payer signed, as far as that can be known without
//! asking the chain, or a [`Refusal`] that names the wrong field.

#![deny(
    missing_docs,
    clippy::wildcard_enum_match_arm,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing
)]

mod assets;
mod check;
mod eip2612;
mod eip712;
mod erc6492;
mod form;
mod given;
mod header;
mod method;
mod network;
mod part;
mod permit2;
mod reason;
mod refusal;
mod resource;
mod signature;
mod terms;
mod transfer;
mod upto;
mod version;
mod wallets;

pub use assets::{Asset, Assets};
pub use check::{Checked, Limits, Rules, SettleRequest, check, check_for};
pub use eip712::TokenDomain;
pub use eip2612::EIP2612_GAS_SPONSORING;
pub use erc6492::{MalformedWrap, WrappedSignature};
pub use header::is_same_payment;
pub use method::Methods;
pub use network::{from_v1_name, v1_name};
pub use reason::{Reason, UnknownReason};
pub use refusal::{Refusal, RefusalKind};
pub use resource::resource_host;
pub use signature::{PayerSignature, SignatureFault};
pub use upto::Upto;
pub use version::Version;
pub use wallets::Wallets;
