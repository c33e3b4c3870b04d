//! The status API as its clients see it, over a real ledger and a real status channel.

#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the test")]

mod allowing;
mod api;
mod bad_input;
mod canceling;
mod endpoints;
mod events;
mod listing;
mod multiplexed;
mod ownership;
mod poll_tokens;
mod receipts;
mod reference;
mod remembering;
mod risk_engine;
mod running;
mod showing;
mod streaming;
mod telling;
mod waiting;
