//! The metrics of this crate.

use std::time::Duration;

use domain::Timestamp;
use metrics::{counter, histogram};

use crate::judgement::Outcome;

const ATTEMPTS: &str = "webhook_deliveries_total";
const ATTEMPT_SECONDS: &str = "webhook_attempt_seconds";
const LAG_SECONDS: &str = "webhook_delivery_seconds";

const DISABLED: &str = "webhook_endpoint_disabled_total";

/// Shows what can be counted before anything has happened. Call once, after the recorder is installed.
pub fn begin_metrics() {
    for outcome in Outcome::ALL {
        counter!(ATTEMPTS, "outcome" => outcome.as_str()).increment(0);
    }
    counter!(DISABLED).increment(0);
    drop((histogram!(ATTEMPT_SECONDS), histogram!(LAG_SECONDS)));
}

/// A call came to this.
pub(crate) fn attempted(outcome: Outcome, took: Duration) {
    counter!(ATTEMPTS, "outcome" => outcome.as_str()).increment(1);
    histogram!(ATTEMPT_SECONDS).record(took);
}

/// An endpoint is told nothing more.
pub(crate) fn disabled() {
    counter!(DISABLED).increment(1);
}

/// What happened at `event` has arrived at `now`.
pub(crate) fn delivered(event: Timestamp, now: Timestamp) {
    let ms = now.unix_ms().saturating_sub(event.unix_ms());
    histogram!(LAG_SECONDS).record(Duration::from_millis(u64::try_from(ms).unwrap_or_default()));
}
