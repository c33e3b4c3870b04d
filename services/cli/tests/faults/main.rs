//! The crash suite: real processes, killed and starved at every point; then ledger and chain are
//! compared. See `docs/faults.md`.

#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the run")]

mod args;
mod audit;
mod crash;
mod load;
mod outage;
mod process;
mod report;
mod role;
mod scenario;
mod storm;
mod suite;
mod world;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use crate::args::Args;
use crate::report::say;

fn main() -> ExitCode {
    let args = Args::parse();
    let seed = args.seed.unwrap_or_else(|| u64::from_be_bytes(runtime::random_bytes()) >> 16);
    let logs = folder().join("logs");
    // Those of the last run that went wrong.
    std::fs::remove_dir_all(&logs).ok();
    std::fs::create_dir_all(&logs).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let report = match args.storm_minutes() {
        Some(minutes) => {
            say(&format!("seed {seed}: {minutes} minutes of faults"));
            runtime.block_on(storm::run(&args, seed, minutes, &logs))
        }
        None => runtime.block_on(suite::run(&args, seed, &logs)),
    };
    report.print();
    report.write(&folder().join("report.json"), seed);
    if report.is_clean() {
        return ExitCode::SUCCESS;
    }
    say(&format!("the processes' logs are in {}", logs.display()));
    ExitCode::FAILURE
}

/// Where the report and the logs go.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("faults")
}
