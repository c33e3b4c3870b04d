//! The ledger on a real PostgreSQL server, with everything that happens to it at the same instant.

#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the test")]

mod advance;
mod announcements;
mod audits;
mod budgets;
mod constraints;
mod consulting;
mod crowd;
mod deciding;
mod deliveries;
mod due;
mod endpoints;
mod failing;
mod feed;
mod follow_up;
mod intake;
mod ledger;
mod listing;
mod migrations;
mod model;
mod notes;
mod order;
mod plans;
mod receipts;
mod recoveries;
mod risk_contexts;
mod risk_sessions;
mod rounds;
mod sessions;
mod settling;
mod signers;
mod signing_keys;
mod spending;
mod timeline;
mod token_permits;
mod walks;
