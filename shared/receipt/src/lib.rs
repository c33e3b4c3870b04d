//! What is signed with Ed25519: receipts of settled payments, and webhooks for those who ask for it.
//!
//! A receipt is a JWS in its compact form (RFC 7515), signed with Ed25519 (RFC 8037) by a key of
//! the installation. Nothing here performs I/O, reads a clock or draws randomness.

#![deny(missing_docs, clippy::wildcard_enum_match_arm)]
#![cfg_attr(
    not(test),
    deny(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::indexing_slicing)
)]

mod endpoint_key;
mod jws;
mod key;
mod key_document;
mod statement;

pub use endpoint_key::{endpoint_key, public_key_text};
pub use jws::{MAX_BYTES, Part, Receipt, Refused};
pub use key::{InvalidKeyId, KeyId, PublicKey, SigningKey};
pub use key_document::{KeyDocument, MAX_DOCUMENT_BYTES, UnreadableDocument};
pub use statement::{Statement, Transaction, VERSION};
