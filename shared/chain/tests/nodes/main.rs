//! A network behind several URLs, each of them a real HTTP server that is told how to fail.

#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the test")]

mod broadcasts;
mod failover;
mod lagging;
mod metering;
mod network;
mod stage;
