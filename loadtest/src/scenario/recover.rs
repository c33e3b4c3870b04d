//! Does an endpoint that is told again what it missed make anybody wait?

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use domain::PaymentId;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::webhooks::{ROLES, SELLERS, TOLD, ms, untold, warm_up};
use super::{Answer, Plan};
use crate::ledger::until;
use crate::till::{Beat, Till, now, traffic};
use crate::world::World;

/// What the endpoint missed.
const MISSED: u64 = 100_000;

/// Payments settled in a second meanwhile.
const RATE: u64 = 300;

/// How long that goes on at most.
const LONGEST: Duration = Duration::from_secs(300);

/// How long the recovery may take altogether.
const RECOVERED: Duration = Duration::from_secs(900);

/// Who missed it.
const RECOVERING: usize = 0;

/// What was missed is over, and all attempts at it are used up; what is under way to be recorded is left alone.
const GIVE_UP: &str = "update webhook_deliveries
    set state = 'exhausted', attempts = 12, due_at = null, finished_at = now()
    where state = 'pending' and lease_until is null";

/// Live events alone, beside the recovery, and alone again.
pub(crate) async fn run(plan: &Plan) -> Answer {
    let world = World::start(&ROLES, plan, 0).await;
    let answer = measure(&world, plan).await;
    world.end().await;
    answer
}

async fn measure(world: &World, plan: &Plan) -> Answer {
    let till = Till::open(world, SELLERS).await;
    world.receiver.count_apart(HashSet::from([till.listeners[RECOVERING].number]));
    let mut ids = warm_up(&till, plan).await;
    let since = now();
    let missed = miss(&till, plan).await;
    let before = alone(&till, plan, &mut ids).await;
    let during = beside(&till, plan, &mut ids, since).await;
    // What was missed has been told meanwhile; if not, the check says so.
    ids.extend(missed);
    let after = alone(&till, plan, &mut ids).await;
    let figures = json!({
        "measured": "from settled in the ledger, by the load generator, to received; live events alone",
        "endpoints": SELLERS,
        "rate_per_s": rate(plan),
        "missed": MISSED,
        "recovery": during.recovery,
        "live_p99_ms": [before["others"]["p99_ms"], during.live["others"]["p99_ms"], after["others"]["p99_ms"]],
        "ratio": ratio(&before, &during.live, &after),
        "before": before,
        "during": during.live,
        "after": after,
        "webhooks": world.receiver.counts(),
        "attempts": world.attempts().await,
        "memory_mib": world.most_memory_mib(),
    });
    Answer { figures, violations: untold(world, &ids).await }
}

fn rate(plan: &Plan) -> u64 {
    plan.rate.unwrap_or(RATE)
}

/// Payments of one seller that nobody was there to tell of.
async fn miss(till: &Till<'_>, plan: &Plan) -> Vec<PaymentId> {
    let time = Duration::from_secs(100);
    let due = traffic(plan.arrivals, MISSED / time.as_secs(), time, &[RECOVERING], plan.seed);
    for role in ["notifier", "reconciler"] {
        till.world.signal(role, Signal::SIGSTOP);
    }
    let missed = till.settle_silently(till.accept(&due).await).await;
    till.world.execute(GIVE_UP).await;
    for role in ["notifier", "reconciler"] {
        till.world.signal(role, Signal::SIGCONT);
    }
    missed.payments
}

/// Live events while nothing else happens.
async fn alone(till: &Till<'_>, plan: &Plan, ids: &mut Vec<PaymentId>) -> Value {
    let due = traffic(plan.arrivals, rate(plan), plan.hold, &till.all(), plan.seed);
    let sales = till.accept(&due).await;
    till.world.receiver.forget_delays();
    let settled = till.settle(sales, Beat::EVEN, &AtomicBool::new(false)).await;
    let expected = settled.payments.len() as u64;
    ids.extend(settled.payments);
    live_told(till, expected).await;
    live(till, settled.latest)
}

/// Live events beside a recovery.
struct During {
    live: Value,
    recovery: Value,
}

async fn beside(
    till: &Till<'_>,
    plan: &Plan,
    ids: &mut Vec<PaymentId>,
    since: domain::Timestamp,
) -> During {
    let due = traffic(plan.arrivals, rate(plan), LONGEST, &till.all(), plan.seed);
    let sales = till.accept(&due).await;
    let receiver = &till.world.receiver;
    receiver.forget_delays();
    let listener = &till.listeners[RECOVERING];
    let path = format!("webhook_endpoints/{}/recover", listener.endpoint);
    let began = Instant::now();
    let job = till.world.post(&path, &listener.seller, json!({ "since": since })).await;
    let is_over = AtomicBool::new(false);
    let recovery = async {
        until(RECOVERED, async || receiver.old_events() >= MISSED).await;
        is_over.store(true, Ordering::Relaxed);
        began.elapsed()
    };
    let settling = till.settle(sales, Beat::EVEN, &is_over);
    let (took, settled) = tokio::join!(recovery, settling);
    let expected = settled.payments.len() as u64;
    ids.extend(settled.payments);
    live_told(till, expected).await;
    let job =
        till.world.get(&format!("jobs/{}", job["id"].as_str().unwrap()), &listener.seller).await;
    let recovery = json!({
        "took_s": took.as_secs_f64(),
        "told": receiver.old_events(),
        "per_s": per_second(receiver.old_events(), took),
        "live_events_beside": expected,
        "recovered": job["recovered"],
    });
    During { live: live(till, settled.latest), recovery }
}

/// Waits until so many live events were told.
async fn live_told(till: &Till<'_>, expected: u64) {
    let told = || {
        let (others, own) = till.world.receiver.tallies();
        others.events + own.events
    };
    until(TOLD, async || told() >= expected).await;
}

/// How long live events took, to the endpoint that recovers and to the others.
fn live(till: &Till<'_>, latest: Duration) -> Value {
    let (others, own) = till.world.receiver.tallies();
    json!({
        "others": others.figures(),
        "recovering": own.figures(),
        "settled_late_ms": ms(latest),
    })
}

#[expect(clippy::float_arithmetic, reason = "figures for people; no amount is among them")]
fn per_second(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

/// The p99 beside the recovery, as a part of the mean of the p99 before and after it.
#[expect(clippy::float_arithmetic, reason = "figures for people; no amount is among them")]
fn ratio(before: &Value, during: &Value, after: &Value) -> Option<f64> {
    let p99 = |phase: &Value| phase["others"]["p99_ms"].as_f64();
    Some(p99(during)? * 2.0 / (p99(before)? + p99(after)?))
}
