//! What the two HTTP services show.

use super::metric::Metric;
use crate::role::Role;

const BOTH: &[Role] = &[Role::Ingress, Role::Results];
const INGRESS: &[Role] = &[Role::Ingress];
const RESULTS: &[Role] = &[Role::Results];

pub(super) const METRICS: &[Metric] = &[
    Metric::counter(
        "http_requests_total",
        BOTH,
        "Requests answered, by route (as it is written in the API, never a path), \
         method and status",
    )
    .by(&["route", "method", "status"]),
    Metric::counter(
        "http_requests_failed_total",
        BOTH,
        "Requests answered with a status of 500 to 599; what clients do wrong is a \
         result, not a failure",
    )
    .by(&["route", "method"]),
    Metric::histogram(
        "http_request_duration_seconds",
        BOTH,
        "How long requests took until their answer began, without those that wait on \
         purpose",
    )
    .by(&["route", "method", "status"]),
    Metric::histogram(
        "http_wait_duration_seconds",
        BOTH,
        "How long requests waited that wait on purpose: long polls, and settlements \
         that are waited for",
    )
    .by(&["route", "method", "status"]),
    Metric::counter(
        "http_streams_refused_total",
        BOTH,
        "Requests of HTTP/2 refused untouched, because the process works on as many as \
         it may",
    ),
    Metric::counter(
        "auth_failures_total",
        BOTH,
        "Requests without a credential that is good, by the problem's code",
    )
    .by(&["reason"]),
    Metric::counter(
        "security_events_total",
        BOTH,
        "Requests denied: no credential, not enough rights, too many, somebody else's; \
         by the problem's code",
    )
    .by(&["kind"]),
    Metric::counter(
        "submissions_total",
        INGRESS,
        "Submissions to POST /v1/payments, by outcome: accepted, replayed, existing, or \
         the problem's code",
    )
    .by(&["outcome"]),
    Metric::gauge("submissions_in_flight", INGRESS, "Submissions being worked on"),
    Metric::gauge("pipeline_backlog", INGRESS, "Payments in the streams of risk and settlement"),
    Metric::counter(
        "payment_requests_total",
        INGRESS,
        "Requests to take, settle or verify a payment",
    ),
    Metric::counter(
        "payment_verifications_total",
        INGRESS,
        "Payments checked at the door, by result: valid or invalid; once for each \
         request to take, settle or verify one",
    )
    .by(&["result"]),
    Metric::counter(
        "x402_total_payments",
        INGRESS,
        "Payments taken: each counts once, when it is committed",
    ),
    Metric::counter("cache_hits_total", RESULTS, "Look-ups that a cache answered").by(&["cache"]),
    Metric::counter(
        "cache_misses_total",
        RESULTS,
        "Look-ups that a cache could not answer and could have: of payments that are \
         over",
    )
    .by(&["cache"]),
    Metric::gauge("long_poll_waiters", RESULTS, "Clients that wait for a payment to change"),
    Metric::counter(
        "long_polls_total",
        RESULTS,
        "Waits for a payment to change, by outcome: changed, time_up, stopping, shed \
         (no place was free)",
    )
    .by(&["outcome"]),
    Metric::gauge("sse_clients", RESULTS, "Clients that follow a stream of events"),
];
