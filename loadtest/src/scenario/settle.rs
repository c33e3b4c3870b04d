//! How many payments a second does the whole pipeline settle, for as long as one likes?

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::Duration;

use domain::PaymentId;
use serde_json::{Value, json};

use super::{Answer, Plan, each_us, failures, offer_at, progress, warm_up};
use crate::check::violations;
use crate::follow::{Followed, judge};
use crate::offer::Offered;
use crate::search::Search;
use crate::world::{ALL, Calls, Computed, World, between};

/// The rate to begin with, in payments a second.
const FIRST: u64 = 500;

/// How often the backlog is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// What waits to be accepted is backlog too: 99 of 100 requests must be answered within so many
/// milliseconds of when they were due.
const P99_MS: f64 = 500.0;

/// A rate that is tried for less than this can hide in the pipeline.
const MOST_BLIND: Duration = Duration::from_secs(8);

pub(crate) async fn run(plan: &Plan) -> Answer {
    let world = World::start(&ALL, plan, plan.signers).await;
    let answer = measure(&world, plan, &mut HashSet::new()).await;
    world.end().await;
    answer
}

/// The same, where these payments were accepted before.
pub(super) async fn measure(
    world: &World,
    plan: &Plan,
    accepted: &mut HashSet<PaymentId>,
) -> Answer {
    warm_up(world, plan, accepted).await;
    world.drain().await;
    let held = match plan.rate {
        Some(rate) => hold(world, plan, rate, accepted).await,
        None => highest(world, plan, accepted).await,
    };
    let mut broken = failures(&held.offered);
    broken.extend(violations(world, accepted).await);
    let (polled, told_wrong) = judge(world, &held.followed).await;
    broken.extend(told_wrong);
    let mut figures = held.figures(world).await;
    figures["status_polls"] = polled;
    Answer { figures, violations: broken }
}

/// Looks for the highest rate, and holds it for long.
async fn highest(world: &World, plan: &Plan, accepted: &mut HashSet<PaymentId>) -> Held {
    let mut search = Search::from(FIRST);
    while let Some(rate) = search.next() {
        let (offered, holds) = try_rate(world, plan, rate, plan.probe.max(MOST_BLIND)).await;
        search.note(holds);
        accepted.extend(offered.payments);
    }
    let mut held = hold(world, plan, search.held().unwrap_or(FIRST / 10), accepted).await;
    while !held.holds && held.rate > FIRST / 10 {
        held = hold(world, plan, Search::lower(held.rate), accepted).await;
    }
    held
}

/// A rate that was held, and what it took.
struct Held {
    rate: u64,
    offered: Offered,
    followed: Vec<(PaymentId, Followed)>,
    holds: bool,
    since: String,
    first_block: u64,
    calls: Calls,
    computed: Computed,
}

async fn hold(world: &World, plan: &Plan, rate: u64, accepted: &mut HashSet<PaymentId>) -> Held {
    world.receiver.forget_delays();
    let (since, before, calls) = (world.mark().await, world.computed(), world.calls().await);
    let first_block = world.anvil.block_number().await + 1;
    let (mut offered, holds) = try_rate(world, plan, rate, plan.hold).await;
    let followed = (&mut offered.followed).await.unwrap();
    accepted.extend(offered.payments.iter().copied());
    let calls = between(&calls, &world.calls().await);
    let computed = between(&before, &world.computed());
    Held { rate, offered, followed, holds, since, first_block, calls, computed }
}

impl Held {
    #[expect(clippy::float_arithmetic, reason = "figures for people; no amount is among them")]
    async fn figures(&self, world: &World) -> Value {
        let settled = world.in_state(&self.since, "settled").await;
        let mined = mined(world, self.first_block).await;
        let each = |total: u64| total as f64 / settled.max(1) as f64;
        let took = world.times(&self.since, "payment.settled").await;
        json!({
            "rate_per_s": self.rate,
            "holds": self.holds,
            "settle_p50_ms": took.p50_ms,
            "settle_p99_ms": took.p99_ms,
            "submitted": world.times(&self.since, "payment.submitted").await,
            "accept_p99_ms": self.offered.latency.p99_ms,
            "webhook_p99_ms": world.receiver.delays().map(|delays| delays.p99_ms),
            "webhooks": world.receiver.counts(),
            "settled": settled,
            "requests": self.offered.counts,
            "rpc_calls_per_payment": each(self.calls.values().sum()),
            "rpc_calls": self.calls,
            "gas_per_payment": each(mined.gas),
            "payments_per_transaction": settled as f64 / mined.transactions.max(1) as f64,
            "failed_transactions": mined.failed,
            "cpu_us_per_payment": each_us(&self.computed, self.offered.payments.len()),
            "seeded": world.seeded,
            "course": world.course(&self.since).await,
            "curves": { "accept": self.offered.curve, "settle": world.settle_curve(&self.since).await },
            "memory_mib": world.most_memory_mib(),
        })
    }
}

/// Offers at this rate, and says whether the backlog stayed what it was: then waits until it is
/// gone.
async fn try_rate(world: &World, plan: &Plan, rate: u64, time: Duration) -> (Offered, bool) {
    let backlog = Mutex::new(Vec::new());
    let looking = async {
        loop {
            tokio::time::sleep(LOOK).await;
            let now = world.backlog().await;
            backlog.lock().unwrap().push(now);
        }
    };
    let offered = tokio::select! {
        offered = offer_at(world, plan, rate, time) => offered,
        () = looking => unreachable!("looking ends with the offering"),
    };
    world.drain().await;
    let holds = offered.counts.failed() == 0
        && offered.latency.p99_ms < P99_MS
        && stays(&backlog.into_inner().unwrap(), rate);
    progress(rate, &offered, holds);
    (offered, holds)
}

/// Whether a backlog that was looked at again and again did not grow: its last third is not
/// larger than the third before it by more than what comes within a quarter of a second, and not
/// larger than what comes within three seconds.
fn stays(backlog: &[u64], rate: u64) -> bool {
    let third = backlog.len() / 3;
    let mean = |part: &[u64]| part.iter().sum::<u64>() / (part.len() as u64).max(1);
    let (before, last) = (&backlog[third..third * 2], &backlog[third * 2..]);
    mean(last) <= mean(before) + rate / 4 && mean(last) <= rate * 3
}

struct Mined {
    transactions: u64,
    failed: u64,
    gas: u64,
}

/// Our transactions from this block on.
async fn mined(world: &World, from: u64) -> Mined {
    let mut mined = Mined { transactions: 0, failed: 0, gas: 0 };
    for number in from..=world.anvil.block_number().await {
        let block = json!([format!("{number:#x}")]);
        let receipts = world.anvil.rpc("eth_getBlockReceipts", block).await;
        for receipt in receipts.as_array().into_iter().flatten() {
            let sender = receipt["from"].as_str().and_then(|from| from.parse().ok());
            if !sender.is_some_and(|sender| world.signers.contains(&sender)) {
                continue;
            }
            mined.transactions += 1;
            mined.failed += u64::from(receipt["status"] != "0x1");
            mined.gas += gas(receipt);
        }
    }
    mined
}

pub(super) fn gas(receipt: &Value) -> u64 {
    let digits = receipt["gasUsed"].as_str().unwrap_or_default().trim_start_matches("0x");
    u64::from_str_radix(digits, 16).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_stays_when_it_does_not_grow_any_more() {
        for (backlog, expected) in [
            (&[100, 500, 900, 900, 900, 900, 900, 900, 900][..], true),
            (&[900, 900, 900, 1_000, 1_000, 1_000, 1_200, 1_200, 1_200], true),
            (&[900, 900, 900, 1_000, 1_000, 1_000, 1_300, 1_300, 1_300], false),
            (&[0, 500, 1_000, 1_500, 2_000, 2_500, 3_000, 3_500, 4_000], false),
            (&[0, 1_500, 3_000, 3_500, 3_500, 3_500, 3_500, 3_500, 3_500], false),
            (&[], true),
        ] {
            assert_eq!(stays(backlog, 1_000), expected, "{backlog:?}");
        }
    }
}
