//! What the queue counts.

use std::sync::Arc;

use metrics::{Counter, Histogram};

use crate::stream::Stream;

const JOBS: &str = "queue_jobs_total";
const JOB_SECONDS: &str = "queue_job_seconds";
const RINGS: &str = "queue_rings_total";
const STATUSES: &str = "queue_status_changes_total";
const REDIS_ERRORS: &str = "queue_redis_errors_total";

/// The commands whose failures are counted, by what they do.
const OPERATIONS: [&str; 14] = [
    "ack",
    "client_id",
    "dead_entries",
    "depth",
    "gate_enter",
    "ping",
    "publish",
    "push",
    "rate_limit",
    "read",
    "reclaim",
    "ring",
    "subscribe",
    "waiting_for",
];

/// Shows what can be counted before anything has happened, for these streams. Call once, after the
/// recorder is installed.
pub fn begin_metrics<'a>(streams: impl IntoIterator<Item = &'a Stream>) {
    for stream in streams {
        Sending::ALL.into_iter().for_each(|sending| rings(stream, sending, 0));
    }
    Sending::ALL.into_iter().for_each(|sending| status_changes(sending, 0));
    for operation in OPERATIONS {
        metrics::counter!(REDIS_ERRORS, "operation" => operation).increment(0);
    }
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Error,
    Panic,
    Dead,
    Undecodable,
}

/// The meters of one stream's worker.
#[derive(Clone)]
pub(crate) struct JobMeters(Arc<Handles>);

struct Handles {
    done: Counter,
    error: Counter,
    panic: Counter,
    dead: Counter,
    undecodable: Counter,
    seconds: Histogram,
}

impl JobMeters {
    pub(crate) fn new(stream: &Stream) -> Self {
        let label = stream.to_string();
        let outcome = |outcome: &'static str| metrics::counter!(JOBS, "stream" => label.clone(), "outcome" => outcome);
        Self(Arc::new(Handles {
            done: outcome("done"),
            error: outcome("error"),
            panic: outcome("panic"),
            dead: outcome("dead"),
            undecodable: outcome("undecodable"),
            seconds: metrics::histogram!(JOB_SECONDS, "stream" => label.clone()),
        }))
    }

    pub(crate) fn ended(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Done => &self.0.done,
            Outcome::Error => &self.0.error,
            Outcome::Panic => &self.0.panic,
            Outcome::Dead => &self.0.dead,
            Outcome::Undecodable => &self.0.undecodable,
        };
        counter.increment(1);
    }

    pub(crate) fn ran(&self, seconds: std::time::Duration) {
        self.0.seconds.record(seconds);
    }
}

impl std::fmt::Debug for JobMeters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JobMeters")
    }
}

/// How a message that nobody waits for fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sending {
    Sent,
    Dropped,
    Failed,
}

impl Sending {
    const ALL: [Self; 3] = [Self::Sent, Self::Dropped, Self::Failed];

    fn label(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Dropped => "dropped",
            Self::Failed => "failed",
        }
    }
}

pub(crate) fn rings(stream: &Stream, sending: Sending, count: usize) {
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    metrics::counter!(RINGS, "stream" => stream.to_string(), "outcome" => sending.label())
        .increment(count);
}

pub(crate) fn status_changes(sending: Sending, count: usize) {
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    metrics::counter!(STATUSES, "outcome" => sending.label()).increment(count);
}

pub(crate) fn redis_error(operation: &'static str) {
    metrics::counter!(REDIS_ERRORS, "operation" => operation).increment(1);
}
