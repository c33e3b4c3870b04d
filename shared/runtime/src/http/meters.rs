//! What is counted and measured of answers.

use std::time::Duration;

use axum::http::StatusCode;
use metrics::{counter, histogram};

use crate::problem::ProblemCode;

const REQUESTS: &str = "http_requests_total";
const FAILED: &str = "http_requests_failed_total";
const SECONDS: &str = "http_request_duration_seconds";
const WAITED: &str = "http_wait_duration_seconds";
const AUTH_FAILURES: &str = "auth_failures_total";
const SECURITY_EVENTS: &str = "security_events_total";

/// The route of requests that match none.
pub(super) const UNMATCHED: &str = "unmatched";

/// Shows what can be counted before there was a request. Routes appear with their first one, and with it
/// their failures at zero.
pub(super) fn begin() {
    let not_found = [("route", UNMATCHED), ("method", "GET"), ("status", "404")];
    counter!(REQUESTS, &not_found).increment(0);
    drop((histogram!(SECONDS, &not_found), histogram!(WAITED, &not_found)));
    counter!(FAILED, "route" => UNMATCHED, "method" => "GET").increment(0);
    counter!("http_streams_refused_total").increment(0);
    for code in ProblemCode::ALL.iter().copied().filter(|code| is_denial(*code)) {
        count_denial(code, 0);
    }
}

/// What is known of an answer.
pub(super) struct Answered<'a> {
    pub(super) route: &'a str,
    pub(super) method: &'static str,
    pub(super) status: StatusCode,
    pub(super) took: Duration,
    /// Whether it was meant to take its time.
    pub(super) waited: bool,
}

pub(super) fn answered(answered: &Answered<'_>) {
    let Answered { route, method, status, took, waited } = *answered;
    let labels = [
        metrics::Label::new("route", route.to_owned()),
        metrics::Label::new("method", method),
        metrics::Label::new("status", status.as_str().to_owned()),
    ];
    counter!(FAILED, labels[..2].iter()).increment(u64::from(status.is_server_error()));
    counter!(REQUESTS, labels.iter()).increment(1);
    let seconds = if waited { WAITED } else { SECONDS };
    histogram!(seconds, labels.iter()).record(took);
}

/// Counts a problem, if somebody asked for what is not theirs.
pub(super) fn denied(code: ProblemCode) {
    if is_denial(code) {
        count_denial(code, 1);
    }
}

fn count_denial(code: ProblemCode, times: u64) {
    if code.status() == StatusCode::UNAUTHORIZED {
        counter!(AUTH_FAILURES, "reason" => code.as_str()).increment(times);
    }
    counter!(SECURITY_EVENTS, "kind" => code.as_str()).increment(times);
}

fn is_denial(code: ProblemCode) -> bool {
    match code.status() {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => true,
        _ => code == ProblemCode::AuthorizationAlreadySubmitted,
    }
}
