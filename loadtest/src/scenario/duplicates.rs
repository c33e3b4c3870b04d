//! Is a payment that is posted five times at once taken once, and paid once?

use std::collections::HashSet;
use std::time::Duration;

use serde_json::json;

use super::{Answer, Plan, failures, warm_up};
use crate::check::violations;
use crate::offer::offer;
use crate::order::{Mix, repeat, sign};
use crate::schedule::schedule;
use crate::world::{ALL, World};

/// How often each is posted.
const TIMES: usize = 5;

/// How many different ones, and how many of them a second.
const PAYMENTS: usize = 2_000;
const RATE: u64 = 400;

pub(crate) async fn run(plan: &Plan) -> Answer {
    let world = World::start(&ALL, plan, plan.signers).await;
    let mut accepted = HashSet::new();
    warm_up(&world, plan, &mut accepted).await;
    let signed = sign(&world.market, PAYMENTS, Mix::default(), plan.seed);
    let orders = repeat(signed, TIMES);
    let each: Vec<Duration> = schedule(plan.arrivals, RATE, PAYMENTS, plan.seed);
    let times: Vec<Duration> =
        each.into_iter().flat_map(|due| std::iter::repeat_n(due, TIMES)).collect();
    let offered = offer(&world.target, &orders, &times).await;
    accepted.extend(offered.payments.iter().copied());
    world.drain().await;
    let mut broken = failures(&offered);
    if offered.payments.len() != PAYMENTS {
        let taken = offered.payments.len();
        broken.push(format!("{PAYMENTS} different payments were taken as {taken}"));
    }
    broken.extend(violations(&world, &accepted).await);
    let figures = json!({
        "posted": orders.len(),
        "accepted": offered.payments.len(),
        "p99_ms": offered.latency.p99_ms,
        "requests": offered.counts,
    });
    world.end().await;
    Answer { figures, violations: broken }
}
