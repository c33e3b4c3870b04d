//! Risk on a real chain, a real ledger and a real queue: nothing is approved without proof.

#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the test")]

mod decisions;
mod doubts;
mod engines;
mod receipts;
mod rules;
mod token_permits;
mod wallets;
mod world;
