//! The payment API over HTTP, with a real ledger.

#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the test")]

mod accepted;
mod crowds;
mod facilitating;
mod handed_over;
mod multiplexed;
mod named;
mod outages;
mod reference;
mod refused;
mod repeated;
mod running;
mod shop;
mod sponsored;
mod strangers;
mod upto;
mod verified;
mod waited_for;
