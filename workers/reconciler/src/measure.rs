//! What is due, and how full the queue is, for those who watch and those who scale.

use std::time::Duration;

use domain::{ChainId, Timestamp};
use metrics::{Unit, gauge};
use queue::Stream;
use store::Backlog;
use tokio_util::sync::CancellationToken;

use crate::Reconciler;

/// How often everything is measured; scrapers come more rarely.
const INTERVAL: Duration = Duration::from_secs(5);

/// How far due payments and deliveries are counted: beyond it, "this many and more".
const MOST: i64 = 100_000;

const PAYMENTS_DUE: &str = "payments_due";
const PAYMENTS_OLDEST: &str = "payments_oldest_due_seconds";
const HOLDS: &str = "risk_holds";
const DELIVERIES_DUE: &str = "webhook_backlog";
const DELIVERIES_OLDEST: &str = "webhook_oldest_due_seconds";
const QUEUE_DEPTH: &str = "queue_depth";
pub(crate) const RINGS: &str = "reconciler_rings_total";

/// Gives the metrics of this crate their units and help texts. Call once, after the recorder is
/// installed.
pub fn describe_metrics() {
    metrics::describe_gauge!(PAYMENTS_DUE, "Payments whose due time has come, up to 100,000");
    metrics::describe_gauge!(
        PAYMENTS_OLDEST,
        Unit::Seconds,
        "For how long the first payment has been due; above some seconds, nobody rings its bell"
    );
    metrics::describe_gauge!(HOLDS, "Payments that wait for somebody to decide, up to 100,000");
    metrics::describe_gauge!(DELIVERIES_DUE, "Deliveries that wait for an attempt, up to 100,000");
    metrics::describe_gauge!(
        DELIVERIES_OLDEST,
        Unit::Seconds,
        "For how long the first delivery has been due; grows while one endpoint is slow"
    );
    metrics::describe_gauge!(
        QUEUE_DEPTH,
        "Jobs in a stream, waiting and running: the number to scale the pool by"
    );
    metrics::describe_counter!(RINGS, "Bells rung for what was due, by stream");
    crate::audit::describe();
}

/// Measures until `shutdown`.
pub(crate) async fn run(reconciler: Reconciler, chains: &[ChainId], shutdown: &CancellationToken) {
    let streams: Vec<Stream> = [Stream::Risk, Stream::Notify]
        .into_iter()
        .chain(chains.iter().map(|chain| Stream::settle(*chain)))
        .collect();
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        let now = reconciler.now();
        if let Some(backlog) = reconciler.ledger.note(reconciler.store.backlog(MOST, now).await) {
            show(&backlog, now);
        }
        for stream in &streams {
            let depth = reconciler.redis.note(reconciler.queue.depth(stream).await);
            let Some(depth) = depth else { break };
            gauge!(QUEUE_DEPTH, "stream" => stream.to_string()).set(number(depth.length));
        }
    }
}

fn show(backlog: &Backlog, now: Timestamp) {
    gauge!(PAYMENTS_DUE).set(number(backlog.payments));
    gauge!(PAYMENTS_OLDEST).set(seconds_since(backlog.oldest_payment, now));
    gauge!(HOLDS).set(number(backlog.held));
    gauge!(DELIVERIES_DUE).set(number(backlog.deliveries));
    gauge!(DELIVERIES_OLDEST).set(seconds_since(backlog.oldest_delivery, now));
}

fn number(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn seconds_since(moment: Option<Timestamp>, now: Timestamp) -> f64 {
    let ms = moment.map_or(0, |moment| now.unix_ms().saturating_sub(moment.unix_ms()));
    Duration::from_millis(u64::try_from(ms).unwrap_or_default()).as_secs_f64()
}
