//! What the regular audit counts and measures.

use std::time::Duration;

use domain::{ChainId, Timestamp};
use metrics::{counter, gauge};

use super::Difference;

const DIFFERENCES: &str = "audit_differences";
const LAST_SUCCESS: &str = "audit_last_success_timestamp_seconds";
const RUNS: &str = "audit_runs_total";

/// How an audit can end.
const OUTCOMES: [&str; 4] = ["equal", "different", "unfinished", "taken_over"];

/// Shows every series of a network before anything was found, so that the first find is a rise.
pub(super) fn show_nothing_found(chain: ChainId) {
    for kind in Difference::KINDS {
        counter!(DIFFERENCES, "network" => chain.to_string(), "kind" => kind).increment(0);
    }
    gauge!(LAST_SUCCESS, "network" => chain.to_string()).increment(0);
    for outcome in OUTCOMES {
        counter!(RUNS, "network" => chain.to_string(), "outcome" => outcome).increment(0);
    }
}

pub(super) fn difference(chain: ChainId, kind: &'static str) {
    counter!(DIFFERENCES, "network" => chain.to_string(), "kind" => kind).increment(1);
}

pub(super) fn run(chain: ChainId, outcome: &'static str) {
    counter!(RUNS, "network" => chain.to_string(), "outcome" => outcome).increment(1);
}

pub(super) fn last_success(chain: ChainId, at: Timestamp) {
    let since_epoch = Duration::from_millis(u64::try_from(at.unix_ms()).unwrap_or_default());
    gauge!(LAST_SUCCESS, "network" => chain.to_string()).set(since_epoch.as_secs_f64());
}
