//! How many payments a second does one ingress take, durably, with hardly anybody waiting?

use std::collections::HashSet;

use domain::PaymentId;
use serde_json::json;

use super::{Answer, Plan, each_us, failures, offer_at, progress, warm_up};
use crate::offer::Offered;
use crate::search::Search;
use crate::world::{World, between};

/// 99 of 100 requests must be answered within so many milliseconds of when they were due.
const P99_MS: f64 = 100.0;

/// The rate to begin with, in payments a second.
const FIRST: u64 = 1_000;

/// Nobody but ingress, PostgreSQL and Redis is there: what is accepted waits.
pub(crate) async fn run(plan: &Plan) -> Answer {
    let world = World::start(&["ingress"], plan, 0).await;
    let answer = measure(&world, plan).await;
    world.end().await;
    answer
}

/// The same, where others have paid before.
pub(super) async fn measure(world: &World, plan: &Plan) -> Answer {
    let before = world.stored().await;
    let mut accepted = HashSet::new();
    warm_up(world, plan, &mut accepted).await;
    let mut rate = match plan.rate {
        Some(rate) => rate,
        None => highest(world, plan, &mut accepted).await,
    };
    let (offered, computed) = loop {
        let before = world.computed();
        let offered = offer_at(world, plan, rate, plan.hold).await;
        let computed = between(&before, &world.computed());
        accepted.extend(offered.payments.iter().copied());
        progress(rate, &offered, holds(&offered));
        if holds(&offered) || plan.rate.is_some() || rate <= FIRST / 10 {
            break (offered, computed);
        }
        rate = Search::lower(rate);
    };
    let at_half = offer_at(world, plan, rate / 2, plan.hold).await;
    accepted.extend(at_half.payments.iter().copied());
    let mut violations = failures(&offered);
    violations.extend(failures(&at_half));
    let stored = world.stored().await - before;
    // Requests that were tried beyond the limit may have been taken without an answer.
    if stored < accepted.len() as u64 {
        violations.push(format!("{stored} payments are stored, {} were accepted", accepted.len()));
    }
    let figures = json!({
        "rate_per_s": rate,
        "p50_ms": offered.latency.p50_ms,
        "p99_ms": offered.latency.p99_ms,
        "p999_ms": offered.latency.p999_ms,
        "requests": offered.counts,
        "at_half": { "rate_per_s": rate / 2, "latency": at_half.latency },
        "cpu_us_per_payment": each_us(&computed, offered.payments.len()),
        "curves": { "accept": offered.curve },
        "memory_mib": world.most_memory_mib(),
        "stored": stored,
    });
    Answer { figures, violations }
}

/// The highest rate that holds for a short time.
async fn highest(world: &World, plan: &Plan, accepted: &mut HashSet<PaymentId>) -> u64 {
    let mut search = Search::from(FIRST);
    while let Some(rate) = search.next() {
        let offered = offer_at(world, plan, rate, plan.probe).await;
        search.note(holds(&offered));
        progress(rate, &offered, holds(&offered));
        accepted.extend(offered.payments);
    }
    search.held().unwrap_or_default()
}

fn holds(offered: &Offered) -> bool {
    offered.counts.failed() == 0 && offered.latency.p99_ms < P99_MS
}
