//! The HTTP layer over real sockets.
#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the test")]

mod answers;
mod connections;
mod frontage;
mod observed;
mod operations;
mod server;
mod streams;
