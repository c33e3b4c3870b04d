//! What becomes of far more payments than can be settled, when they come at once?

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Answer, Plan, failures, offer_at, warm_up};
use crate::check::violations;
use crate::follow::judge;
use crate::world::{ALL, World};

/// Payments a second, and for how long.
const RATE: u64 = 10_000;
const TIME: Duration = Duration::from_secs(2);

pub(crate) async fn run(plan: &Plan) -> Answer {
    let world = World::start(&ALL, plan, plan.signers).await;
    let mut accepted = HashSet::new();
    warm_up(&world, plan, &mut accepted).await;
    world.drain().await;
    let since = world.mark().await;
    let offered = offer_at(&world, plan, RATE, TIME).await;
    accepted.extend(offered.payments.iter().copied());
    let answered = Instant::now();
    world.drain().await;
    let drained = answered.elapsed();
    let mut broken = failures(&offered);
    broken.extend(violations(&world, &accepted).await);
    let (polled, told_wrong) = judge(&world, &offered.followed.await.unwrap()).await;
    broken.extend(told_wrong);
    let took = world.times(&since, "payment.settled").await;
    let figures = json!({
        "accepted": offered.payments.len(),
        "accept_p99_ms": offered.latency.p99_ms,
        "offered_in_s": offered.took.as_secs_f64(),
        "drain_s": drained.as_secs_f64(),
        "settle_p50_ms": took.p50_ms,
        "settle_p99_ms": took.p99_ms,
        "requests": offered.counts,
        "status_polls": polled,
        "course": world.course(&since).await,
        "curves": { "accept": offered.curve, "settle": world.settle_curve(&since).await },
        "memory_mib": world.most_memory_mib(),
    });
    world.end().await;
    Answer { figures, violations: broken }
}
