//! The metrics of this crate.

use std::time::Duration;

use domain::Timestamp;
use metrics::{Unit, counter, histogram};

use crate::judgement::Outcome;

const ATTEMPTS: &str = "webhook_deliveries_total";
const ATTEMPT_SECONDS: &str = "webhook_attempt_seconds";
const LAG_SECONDS: &str = "webhook_delivery_seconds";

const DISABLED: &str = "webhook_endpoint_disabled_total";

/// Gives the metrics of this crate their units and help texts. Call once, after the recorder is
/// installed.
pub fn describe_metrics() {
    metrics::describe_counter!(
        ATTEMPTS,
        "Webhook calls by outcome: delivered, redirected, gone, aborted, overloaded, refused, \
         timeout, unreachable, egress_blocked"
    );
    metrics::describe_counter!(DISABLED, "Endpoints disabled because they fail or asked for it");
    metrics::describe_histogram!(ATTEMPT_SECONDS, Unit::Seconds, "How long webhook calls took");
    metrics::describe_histogram!(
        LAG_SECONDS,
        Unit::Seconds,
        "From an event to its delivery, with all attempts that it took"
    );
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
