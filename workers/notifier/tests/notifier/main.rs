//! The notifier against a real ledger, a real Redis and receivers good and bad.
#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the test")]

mod crashes;
mod deliveries;
mod interoperability;
mod isolation;
mod node;
mod receiver;
mod retries;
mod scene;
mod terms;
