//! The whole pipeline as its users run it: real processes, killed and started again.

#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the test")]

mod api_keys;
mod audit;
mod authorization;
mod dashboards;
mod denials;
mod facilitator;
mod logs;
mod metrics;
mod outages;
mod payments;
mod pipeline;
mod process;
mod prometheus;
mod receipts;
mod risk_engine;
mod rules;
mod signers;
mod signing_keys;
mod tenants;
