//! What is due, and how full the queue is, for those who watch and those who scale.

use std::time::Duration;

use domain::{ChainId, Timestamp};
use metrics::gauge;
use queue::{Depth, Stream};
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
const SUBMITTED_OLDEST: &str = "payments_oldest_submitted_seconds";
pub(crate) const RINGS: &str = "reconciler_rings_total";

/// Shows every series of the payments', the deliveries' and the streams' before the first look.
fn begin(streams: &[Stream]) {
    for name in
        [PAYMENTS_DUE, PAYMENTS_OLDEST, SUBMITTED_OLDEST, HOLDS, DELIVERIES_DUE, DELIVERIES_OLDEST]
    {
        gauge!(name).set(0);
    }
    for stream in streams {
        metrics::counter!(RINGS, "stream" => stream.to_string()).increment(0);
        show_stream(stream, &Depth { length: 0, pending: 0, lag: 0, dead: 0 }, Duration::ZERO);
    }
}

/// Measures until `shutdown`.
pub(crate) async fn run(reconciler: Reconciler, chains: &[ChainId], shutdown: &CancellationToken) {
    let streams: Vec<Stream> = [Stream::Risk, Stream::Notify]
        .into_iter()
        .chain(chains.iter().map(|chain| Stream::settle(*chain)))
        .collect();
    begin(&streams);
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        let now = reconciler.now();
        if let Some(backlog) = reconciler.ledger.note(reconciler.store.backlog(MOST, now).await) {
            show(&backlog, now);
        }
        for stream in &streams {
            if measure(&reconciler, stream).await.is_none() {
                break;
            }
        }
    }
}

/// One look at a stream; `None` when Redis is away.
async fn measure(reconciler: &Reconciler, stream: &Stream) -> Option<()> {
    let Reconciler { queue, redis, .. } = reconciler;
    let depth = redis.note(queue.depth(stream).await)?;
    let oldest = redis.note(queue.waiting_for(stream).await)?;
    show_stream(stream, &depth, oldest.unwrap_or_default());
    Some(())
}

fn show_stream(stream: &Stream, depth: &Depth, oldest: Duration) {
    for (name, count) in [
        ("queue_depth", depth.length),
        ("queue_pending", depth.pending),
        ("queue_lag", depth.lag),
        ("queue_dead_entries", depth.dead),
    ] {
        gauge!(name, "stream" => stream.to_string()).set(number(count));
    }
    gauge!("queue_oldest_seconds", "stream" => stream.to_string()).set(oldest.as_secs_f64());
}

fn show(backlog: &Backlog, now: Timestamp) {
    gauge!(PAYMENTS_DUE).set(number(backlog.payments));
    gauge!(PAYMENTS_OLDEST).set(seconds_since(backlog.oldest_payment, now));
    gauge!(SUBMITTED_OLDEST).set(seconds_since(backlog.oldest_submitted, now));
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
