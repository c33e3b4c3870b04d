//! The reconciler against a real ledger and a real Redis.
#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the test")]

mod audit;
mod deliveries;
mod housekeeping;
mod lookout;
mod outages;
mod payments;
mod scene;
