//! The queue against a real Redis. Every test starts a server of its own.
#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the test")]

mod bell;
mod child;
mod cluster;
mod delivery;
mod failure;
mod gates;
mod metering;
mod outage;
mod rate_limits;
mod recovery;
mod redis_server;
mod stage;
mod status;
mod stopping;
mod turnstiles;
