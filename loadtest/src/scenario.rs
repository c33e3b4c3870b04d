//! The questions that a run answers, each on servers of its own.

pub(crate) mod accept;
pub(crate) mod burst;
pub(crate) mod duplicates;
pub(crate) mod facade;
pub(crate) mod full_ledger;
pub(crate) mod idle;
pub(crate) mod isolation;
pub(crate) mod lone;
pub(crate) mod recover;
pub(crate) mod risk;
pub(crate) mod scale;
pub(crate) mod settle;
pub(crate) mod waiting;
pub(crate) mod webhooks;

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use domain::PaymentId;
use serde_json::{Value, json};

use crate::offer::{Offered, offer};
use crate::order::{Mix, sign};
use crate::schedule::{Arrivals, schedule};
use crate::world::{Computed, World};

/// How to run them.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) arrivals: Arrivals,
    /// How long a rate is tried while the highest is looked for.
    pub(crate) probe: Duration,
    /// How long the highest is held.
    pub(crate) hold: Duration,
    /// The rate to settle or tell at, where the highest is not looked for.
    pub(crate) rate: Option<u64>,
    pub(crate) mix: Mix,
    pub(crate) signers: u64,
    /// Processes of each worker.
    pub(crate) workers: usize,
    /// Payments that the ledger holds from before.
    pub(crate) stored: u64,
    pub(crate) seed: u64,
    /// Where a risk engine is that answers with scores, if there is one.
    pub(crate) engine: Option<String>,
    /// Where the roles' logs go.
    pub(crate) logs: PathBuf,
}

/// What a scenario found out.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) figures: Value,
    pub(crate) violations: Vec<String>,
}

/// Signs and offers so much.
async fn offer_at(world: &World, plan: &Plan, rate: u64, time: Duration) -> Offered {
    let count = usize::try_from(rate.saturating_mul(time.as_secs())).unwrap();
    let orders = tokio::task::block_in_place(|| sign(&world.market, count, plan.mix, plan.seed));
    let times = schedule(plan.arrivals, rate, count, plan.seed);
    offer(&world.target, &orders, &times).await
}

/// Before anything is measured: connections, caches, prepared statements and the first blocks.
async fn warm_up(world: &World, plan: &Plan, accepted: &mut HashSet<PaymentId>) {
    let offered = offer_at(world, plan, 200, Duration::from_secs(2)).await;
    accepted.extend(offered.payments);
}

/// Microseconds of computing for each payment, by role and in total.
fn each_us(computed: &Computed, payments: usize) -> Value {
    let each = |ms: u64| ms.saturating_mul(1_000).checked_div(payments as u64).unwrap_or_default();
    let mut costs: Computed = computed.iter().map(|(role, ms)| (*role, each(*ms))).collect();
    costs.insert("total", each(computed.values().sum()));
    json!(costs)
}

/// Says what became of a rate, on the way to the highest.
#[expect(clippy::print_stderr, reason = "a run of minutes says where it is")]
fn progress(rate: u64, offered: &Offered, holds: bool) {
    let verdict = if holds { "holds" } else { "does not hold" };
    eprintln!("  {rate}/s {verdict}, answered within {:.0} ms (p99)", offered.latency.p99_ms);
}

/// What went wrong while payments were offered.
fn failures(offered: &Offered) -> Vec<String> {
    let unexpected = offered.counts.unexpected.iter();
    let mut failures: Vec<String> =
        unexpected.map(|(answer, times)| format!("{times} times {answer}")).collect();
    if offered.counts.unanswered > 0 {
        failures.push(format!("{} requests were not answered", offered.counts.unanswered));
    }
    failures
}
