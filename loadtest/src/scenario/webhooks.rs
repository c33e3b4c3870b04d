//! How soon is an end told that is in the ledger, when many sellers listen?

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use domain::PaymentId;
use serde_json::{Value, json};

use super::{Answer, Plan, each_us};
use crate::check;
use crate::till::{Beat, Settled, Till, traffic};
use crate::world::{Computed, World, between};

/// Sellers, each with an endpoint.
pub(super) const SELLERS: usize = 200;

/// Payments settled in a second.
pub(super) const RATE: u64 = 1_000;

/// 99 of 100 ends should be told within so many milliseconds.
const P99_MS: f64 = 250.0;

/// How long the last of them may take.
pub(super) const TOLD: Duration = Duration::from_secs(60);

/// Who is needed besides the load generator: it settles, and nobody else does.
pub(super) const ROLES: [&str; 4] = ["ingress", "results", "notifier", "reconciler"];

/// Payments come to their end at even times, then a second's all at once.
pub(crate) async fn run(plan: &Plan) -> Answer {
    let world = World::start(&ROLES, plan, 0).await;
    let answer = measure(&world, plan).await;
    world.end().await;
    answer
}

async fn measure(world: &World, plan: &Plan) -> Answer {
    let rate = plan.rate.unwrap_or(RATE);
    let till = Till::open(world, SELLERS).await;
    let mut ids = warm_up(&till, plan).await;
    let evenly = hold(&till, plan, Beat::EVEN, &mut ids).await;
    let in_blocks = hold(&till, plan, Beat::BLOCK, &mut ids).await;
    let figures = json!({
        "measured": "from settled in the ledger, by the load generator, to received: no chain, no settlement",
        "endpoints": SELLERS,
        "rate_per_s": rate,
        "events": ids.len(),
        "evenly": evenly,
        "in_blocks": in_blocks,
        "target_p99_ms": P99_MS,
        "target_met": evenly["p99_ms"].as_f64().map(|p99| p99 <= P99_MS),
        "webhooks": world.receiver.counts(),
        "attempts": world.attempts().await,
        "memory_mib": world.most_memory_mib(),
    });
    Answer { figures, violations: untold(world, &ids).await }
}

/// Connections, caches and prepared statements; everything that follows is measured.
pub(super) async fn warm_up(till: &Till<'_>, plan: &Plan) -> Vec<PaymentId> {
    let due = traffic(plan.arrivals, 400, Duration::from_secs(3), &till.all(), plan.seed);
    let sales = till.accept(&due).await;
    let settled = till.settle(sales, Beat::EVEN, &AtomicBool::new(false)).await;
    till.told(settled.payments.len(), TOLD).await;
    settled.payments
}

async fn hold(till: &Till<'_>, plan: &Plan, beat: Beat, ids: &mut Vec<PaymentId>) -> Value {
    let rate = plan.rate.unwrap_or(RATE);
    let due = traffic(plan.arrivals, rate, plan.hold, &till.all(), plan.seed);
    let sales = till.accept(&due).await;
    let world = till.world;
    world.receiver.forget_delays();
    let before = world.computed();
    let settled = till.settle(sales, beat, &AtomicBool::new(false)).await;
    ids.extend(&settled.payments);
    till.told(ids.len(), TOLD).await;
    figures(world, &settled, &between(&before, &world.computed()))
}

fn figures(world: &World, settled: &Settled, computed: &Computed) -> Value {
    let (told, _) = world.receiver.tallies();
    let mut figures = told.figures();
    figures["settled"] = json!(settled.payments.len());
    figures["settled_late_ms"] = json!(ms(settled.latest));
    figures["cpu_us_per_event"] = each_us(computed, settled.payments.len());
    figures
}

/// Whole milliseconds.
pub(super) fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What was not told, or not as it is.
pub(super) async fn untold(world: &World, ids: &[PaymentId]) -> Vec<String> {
    let ids = Vec::from_iter(BTreeSet::from_iter(ids.iter().copied()));
    check::webhooks(world, &world.load(&ids).await).await
}
