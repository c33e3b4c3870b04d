//! What risk, the notifier and the reconciler show.

use super::metric::Metric;
use crate::role::Role;

const RISK: &[Role] = &[Role::Risk];
const NOTIFIER: &[Role] = &[Role::Notifier];
const RECONCILER: &[Role] = &[Role::Reconciler];

pub(super) const METRICS: &[Metric] = &[
    Metric::counter(
        "risk_decisions_total",
        RISK,
        "Payments that risk has moved, by decision and reason",
    )
    .by(&["decision", "reason"]),
    Metric::histogram("risk_evaluation_seconds", RISK, "Time to decide a batch of payments"),
    Metric::counter(
        "payer_exposure_rejections_total",
        RISK,
        "Looks at payments that have to wait because other open payments of their \
         payers want what these have",
    ),
    Metric::counter(
        "risk_engine_requests_total",
        RISK,
        "Questions for the risk engine, by outcome: allow, review, deny, or why there \
         was no decision",
    )
    .by(&["outcome"])
    .sometimes(),
    Metric::histogram(
        "risk_engine_seconds",
        RISK,
        "How long the risk engine took to answer, or was waited for",
    )
    .sometimes(),
    Metric::counter(
        "risk_receipts_total",
        RISK,
        "Attempts to tell the risk engine how a payment ended, by outcome",
    )
    .by(&["outcome"])
    .sometimes(),
    Metric::gauge(
        "risk_receipts_pending",
        RISK,
        "Payments whose end the risk engine is still to be told",
    )
    .sometimes(),
    Metric::counter(
        "webhook_deliveries_total",
        NOTIFIER,
        "Webhook calls by outcome: delivered, redirected, gone, aborted, overloaded, \
         refused, timeout, unreachable, egress_blocked",
    )
    .by(&["outcome"]),
    Metric::histogram("webhook_attempt_seconds", NOTIFIER, "How long webhook calls took"),
    Metric::histogram(
        "webhook_delivery_seconds",
        NOTIFIER,
        "From an event to its delivery, with all attempts that it took",
    ),
    Metric::counter(
        "webhook_endpoint_disabled_total",
        NOTIFIER,
        "Endpoints disabled because they fail or asked for it",
    ),
    Metric::gauge("payments_due", RECONCILER, "Payments whose due time has come, up to 100,000"),
    Metric::gauge(
        "payments_oldest_due_seconds",
        RECONCILER,
        "For how long the first payment has been due; above some seconds, nobody rings \
         its bell",
    ),
    Metric::gauge(
        "payments_oldest_submitted_seconds",
        RECONCILER,
        "For how long the payment has been submitted that has been so for longest, with \
         no block holding it",
    ),
    Metric::gauge(
        "risk_holds",
        RECONCILER,
        "Payments that wait for somebody to decide, up to 100,000",
    ),
    Metric::gauge(
        "webhook_backlog",
        RECONCILER,
        "Deliveries that wait for an attempt, up to 100,000",
    ),
    Metric::gauge(
        "webhook_oldest_due_seconds",
        RECONCILER,
        "For how long the first delivery has been due; grows while one endpoint is slow",
    ),
    Metric::gauge("queue_depth", RECONCILER, "Jobs in a stream, waiting and running")
        .by(&["stream"]),
    Metric::gauge(
        "queue_lag",
        RECONCILER,
        "Jobs in a stream that no worker has taken yet: the number to scale the pool by",
    )
    .by(&["stream"]),
    Metric::gauge("queue_pending", RECONCILER, "Jobs in a stream that workers have in hand")
        .by(&["stream"]),
    Metric::gauge(
        "queue_dead_entries",
        RECONCILER,
        "Jobs that were given up, kept for somebody to look at",
    )
    .by(&["stream"]),
    Metric::gauge(
        "queue_oldest_seconds",
        RECONCILER,
        "For how long the first job of a stream has waited that no worker has taken",
    )
    .by(&["stream"]),
    Metric::counter("reconciler_rings_total", RECONCILER, "Bells rung for what was due, by stream")
        .by(&["stream"]),
    Metric::counter(
        "audit_differences",
        RECONCILER,
        "Differences between ledger and chain, by kind, each time one is met: any is an \
         alarm",
    )
    .by(&["network", "kind"]),
    Metric::gauge(
        "audit_last_success_timestamp_seconds",
        RECONCILER,
        "When ledger and chain were last compared to the end, whatever came of it",
    )
    .by(&["network"]),
    Metric::counter(
        "audit_runs_total",
        RECONCILER,
        "Comparisons of ledger and chain, by how they ended: equal, different, \
         unfinished, taken_over",
    )
    .by(&["network", "outcome"]),
];
