//! Do endpoints that hang make those wait that answer?

use std::collections::HashSet;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use domain::PaymentId;
use serde_json::{Value, json};

use super::webhooks::{RATE, ROLES, SELLERS, TOLD, ms, untold, warm_up};
use super::{Answer, Plan};
use crate::ledger::until;
use crate::till::{Beat, Due, Till, together, traffic};
use crate::world::World;

/// So many hang at a time: one of a hundred. Each round has others.
const HANGING: usize = SELLERS / 100;

/// Times that both halves are measured, one after the other.
const ROUNDS: usize = 3;

/// So many times as much is told to each of them as to each other.
const MORE: u64 = 10;

/// How much worse the others may fare.
const RATIO: f64 = 1.20;

/// How long those that have hung may take to be told everything: a pause of their breaker, and the
/// second attempts.
const RECOVERED: Duration = Duration::from_secs(300);

/// What the figures are of.
const MEASURED: &str = "from settled in the ledger, by the load generator, to received, by those who always answer; \
                        medians of the rounds";

/// In each round the same is told twice to all: once all answer, once two hang; every other round begins with the latter.
pub(crate) async fn run(plan: &Plan) -> Answer {
    let world = World::start(&ROLES, plan, 0).await;
    let answer = measure(&world, plan).await;
    world.end().await;
    answer
}

async fn measure(world: &World, plan: &Plan) -> Answer {
    let till = Till::open(world, SELLERS).await;
    let number = |listener: usize| till.listeners[listener].number;
    // Whoever ever hangs is left out of the figures of all rounds.
    world.receiver.count_apart((0..ROUNDS * HANGING).map(number).collect());
    let mut ids = warm_up(&till, plan).await;
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let victims: Vec<usize> = (round * HANGING..(round + 1) * HANGING).collect();
        let due = halves(&till, plan, &victims);
        let hanging = victims.iter().map(|it| number(*it)).collect();
        // What else changes from half to half is not to favour one of the two.
        rounds.push(if round % 2 == 0 {
            let alone = half(&till, &due, &mut ids).await;
            (alone, half_beside(&till, &due, hanging, &mut ids).await)
        } else {
            let beside = half_beside(&till, &due, hanging, &mut ids).await;
            (half(&till, &due, &mut ids).await, beside)
        });
    }
    let figures = figures(world, plan, &rounds).await;
    Answer { figures, violations: untold(world, &ids).await }
}

/// What is told in each half of a round.
fn halves(till: &Till<'_>, plan: &Plan, victims: &[usize]) -> Vec<Due> {
    let rate = plan.rate.unwrap_or(RATE);
    let others: Vec<usize> = till.all().into_iter().filter(|it| !victims.contains(it)).collect();
    let more = rate * MORE * victims.len() as u64 / others.len() as u64;
    together(
        traffic(plan.arrivals, rate, plan.hold, &others, plan.seed),
        traffic(plan.arrivals, more, plan.hold, victims, plan.seed + 1),
    )
}

/// The same beside some who hang; comes back when those have been told as well.
async fn half_beside(
    till: &Till<'_>,
    due: &[Due],
    hanging: HashSet<usize>,
    ids: &mut Vec<PaymentId>,
) -> Value {
    till.world.receiver.hang(hanging);
    let figures = half(till, due, ids).await;
    till.world.receiver.hang(HashSet::new());
    till.told(ids.len(), RECOVERED).await;
    figures
}

/// How long ends took to those who always answer.
async fn half(till: &Till<'_>, due: &[Due], ids: &mut Vec<PaymentId>) -> Value {
    let receiver = &till.world.receiver;
    let counts = |due: &&Due| due.listener() >= ROUNDS * HANGING;
    let expected = due.iter().filter(counts).count() as u64;
    let sales = till.accept(due).await;
    receiver.forget_delays();
    let settled = till.settle(sales, Beat::EVEN, &AtomicBool::new(false)).await;
    ids.extend(settled.payments);
    until(TOLD, async || receiver.tallies().0.events >= expected).await;
    let mut figures = receiver.tallies().0.figures();
    figures["settled_late_ms"] = json!(ms(settled.latest));
    figures
}

#[expect(clippy::float_arithmetic, reason = "figures for people; no amount is among them")]
async fn figures(world: &World, plan: &Plan, rounds: &[(Value, Value)]) -> Value {
    let p99 = |half: &Value| half["p99_ms"].as_f64().unwrap_or(f64::NAN);
    let alone = median(rounds.iter().map(|(alone, _)| p99(alone)));
    let beside = median(rounds.iter().map(|(_, beside)| p99(beside)));
    let each = rounds.iter().map(|(alone, beside)| {
        json!({ "all_answer": alone, "two_hang": beside, "ratio": p99(beside) / p99(alone) })
    });
    json!({
        "measured": MEASURED,
        "endpoints": SELLERS,
        "hanging": HANGING,
        "their_traffic": MORE,
        "rate_per_s": plan.rate.unwrap_or(RATE),
        "seconds_each": plan.hold.as_secs(),
        "p99_ms": { "all_answer": alone, "two_hang": beside },
        "ratio": beside / alone,
        "target_ratio": RATIO,
        "target_met": beside / alone < RATIO,
        "rounds": each.collect::<Vec<_>>(),
        "webhooks": world.receiver.counts(),
        "attempts": world.attempts().await,
        "memory_mib": world.most_memory_mib(),
    })
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        assert_eq!(median([30.0, 10.0, 20.0].into_iter()).to_bits(), 20.0f64.to_bits());
        assert!(median(std::iter::empty()).is_nan());
    }
}
