//! Settlement on a real chain, a real ledger and a real queue.

#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the test")]

mod chain_faults;
mod chaos;
mod crashes;
mod gaps;
mod interference;
mod node_faults;
mod nodes;
mod permit2;
mod rounds;
mod signers;
mod token_permits;
mod upto;
mod wallets;
mod world;
