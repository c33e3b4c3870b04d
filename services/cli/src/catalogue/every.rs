//! What processes of several roles show: themselves, the ledger, the queue, nodes.

use super::metric::Metric;
use crate::role::Role::{Ingress, Notifier, Reconciler, Results, Risk, Settlement};

const EVERY: &[crate::role::Role] = &[Ingress, Results, Risk, Settlement, Notifier, Reconciler];

/// Those that work off a stream.
const POOLS: &[crate::role::Role] = &[Risk, Settlement, Notifier];

/// Those that ask nodes.
const ASKERS: &[crate::role::Role] = &[Ingress, Risk, Settlement, Reconciler];

/// Those that do several things in one statement.
const COALESCERS: &[crate::role::Role] = &[Ingress, Results, Risk, Notifier];

pub(super) const METRICS: &[Metric] = &[
    Metric::gauge("quittance_build_info", EVERY, "Always 1; the label tells the version")
        .by(&["version"]),
    Metric::counter(
        "process_cpu_seconds_total",
        EVERY,
        "Time of processors that the process has used, in seconds",
    ),
    Metric::gauge("process_cpu_limit_cores", EVERY, "Processors that the process may use at once"),
    Metric::gauge(
        "process_resident_memory_bytes",
        EVERY,
        "Memory that the process holds, in bytes",
    ),
    Metric::gauge(
        "process_memory_limit_bytes",
        EVERY,
        "Memory that the process may hold: its control group's limit, or the machine's \
         memory",
    ),
    Metric::gauge("process_open_fds", EVERY, "Files and connections that are open"),
    Metric::gauge("process_max_fds", EVERY, "Files and connections that may be open at once"),
    Metric::gauge(
        "process_start_time_seconds",
        EVERY,
        "When the process was started, in seconds since the Unix epoch; changes with \
         each restart",
    ),
    Metric::gauge(
        "db_pool_connections",
        EVERY,
        "Connections to PostgreSQL, by state: idle or used",
    )
    .by(&["state"]),
    Metric::gauge(
        "db_pool_max_connections",
        EVERY,
        "Connections to PostgreSQL that the process may have",
    ),
    Metric::counter(
        "queue_rings_total",
        EVERY,
        "Rings, by stream and outcome: sent, dropped (the buffer was full), failed \
         (Redis did not take them in time); the reconciler makes up for the last two",
    )
    .by(&["stream", "outcome"]),
    Metric::counter(
        "queue_status_changes_total",
        EVERY,
        "Status changes published, by outcome: sent, dropped, failed; readers check \
         again by themselves",
    )
    .by(&["outcome"]),
    Metric::counter(
        "queue_redis_errors_total",
        EVERY,
        "Redis commands that failed, by operation; all are tried again or counted as \
         lost",
    )
    .by(&["operation"]),
    Metric::counter(
        "queue_jobs_total",
        POOLS,
        "Jobs that ended, by stream and outcome: done, error (the handler failed), \
         panic, dead (delivered too often), undecodable",
    )
    .by(&["stream", "outcome"]),
    Metric::histogram("queue_job_seconds", POOLS, "How long handlers ran, by stream")
        .by(&["stream"]),
    Metric::counter("rpc_requests_total", ASKERS, "Requests to nodes, by URL and method")
        .by(&["network", "url_name", "method"]),
    Metric::counter("rpc_errors_total", ASKERS, "Requests to nodes without an answer to act on")
        .by(&["network", "url_name", "method"]),
    Metric::histogram(
        "rpc_request_duration_seconds",
        ASKERS,
        "How long nodes took to answer, or were waited for",
    )
    .by(&["network", "url_name", "method"]),
    Metric::gauge(
        "breaker_state",
        ASKERS,
        "1 while a dependency is left alone, 0.5 while it is probed, 0 while it is used",
    )
    .by(&["network", "dependency"]),
    Metric::histogram(
        "coalesce_batch_size",
        COALESCERS,
        "What one statement or call did for so many at once, by what it does",
    )
    .by(&["name"]),
    Metric::counter(
        "coalesce_overloaded_total",
        COALESCERS,
        "Requests that were refused because too many waited for their turn",
    )
    .by(&["name"]),
];
