//! Other people's servers and buyers of x402, unchanged, settle through the whole pipeline; and so do
//! the sellers of `docs/examples`.

#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the test")]

mod codes;
mod examples;
mod packages;
mod permit2;
#[path = "../stories/pipeline.rs"]
#[expect(dead_code, reason = "the stories use the rest")]
mod pipeline;
#[path = "../stories/process.rs"]
#[expect(dead_code, reason = "the stories use the rest")]
mod process;
mod program;
mod python;
mod sponsoring;
mod stock;
mod upto;
mod version1;
mod version2;
