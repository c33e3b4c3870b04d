//! What the queue counts.

use std::sync::Arc;

use metrics::{Counter, Histogram, Unit};

use crate::stream::Stream;

const JOBS: &str = "queue_jobs_total";
const JOB_SECONDS: &str = "queue_job_seconds";
const RINGS: &str = "queue_rings_total";
const STATUSES: &str = "queue_status_changes_total";
const REDIS_ERRORS: &str = "queue_redis_errors_total";

/// Gives the metrics of this crate their units and help texts. Call once, after the recorder is
/// installed.
pub fn describe_metrics() {
    metrics::describe_counter!(
        JOBS,
        "Jobs that ended, by stream and outcome: done, error (the handler failed), panic, dead \
         (delivered too often), undecodable"
    );
    metrics::describe_histogram!(JOB_SECONDS, Unit::Seconds, "How long handlers ran, by stream");
    metrics::describe_counter!(
        RINGS,
        "Rings, by stream and outcome: sent, dropped (the buffer was full), failed (Redis did not \
         take them in time); the reconciler makes up for the last two"
    );
    metrics::describe_counter!(
        STATUSES,
        "Status changes published, by outcome: sent, dropped, failed; readers check again by \
         themselves"
    );
    metrics::describe_counter!(
        REDIS_ERRORS,
        "Redis commands that failed, by operation; all are tried again or counted as lost"
    );
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
