//! Many ask for news of their payments and wait: what does that cost, and how soon are they told?

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use domain::PaymentId;
use nix::sys::signal::Signal;
use runtime::Clock;
use serde_json::json;
use testkit::eventually;
use tokio::task::JoinSet;

use super::{Answer, Plan, failures, offer_at, warm_up};
use crate::check::violations;
use crate::connection::Connections;
use crate::follow::{Status, poll};
use crate::latency::Latencies;
use crate::world::{ALL, World, between};

/// Payments a second, and for how long: each is waited for.
const RATE: u64 = 2_000;
const TIME: Duration = Duration::from_secs(5);

/// How long what they cost while nothing happens is measured.
const QUIET: Duration = Duration::from_secs(10);

/// How long all may take to wait.
const SETTING_OUT: Duration = Duration::from_secs(20);

/// The version of a payment that is accepted and nothing more.
const ACCEPTED: u32 = 1;

/// Risk sleeps until all wait, and then approves as fast as it can.
pub(crate) async fn run(plan: &Plan) -> Answer {
    let world = World::start(&ALL, plan, plan.signers).await;
    let mut accepted = HashSet::new();
    warm_up(&world, plan, &mut accepted).await;
    world.drain().await;
    world.signal("risk", Signal::SIGSTOP);
    let offered = offer_at(&world, plan, RATE, TIME).await;
    let mut polls = ask_for_each(&world, &offered.payments).await;
    let all_wait = async || {
        let waiting = world.metric("results", "long_polls_waiting").await;
        (waiting >= offered.payments.len() as u64).then_some(waiting)
    };
    let waiting = eventually(SETTING_OUT, all_wait).await;
    let before = world.computed();
    tokio::time::sleep(QUIET).await;
    let quiet = between(&before, &world.computed());
    world.signal("risk", Signal::SIGCONT);
    let (mut told_after, mut untold) = (Latencies::new(), 0u64);
    while let Some(answer) = polls.join_next().await {
        match answer.unwrap() {
            Some((status, at)) if status.version > ACCEPTED => told_after.record(status.age(at)),
            _ => untold += 1,
        }
    }
    accepted.extend(offered.payments.iter().copied());
    let mut broken = failures(&offered);
    if untold > 0 {
        broken.push(format!("{untold} who waited were told of no change"));
    }
    broken.extend(violations(&world, &accepted).await);
    let figures = json!({
        "waiting": waiting,
        "told_after": told_after.percentiles(),
        "cpu_ms_per_s_while_waiting": quiet.get("results").map(|ms| ms / QUIET.as_secs()),
        "memory_mib": world.most_memory_mib(),
    });
    world.end().await;
    Answer { figures, violations: broken }
}

/// A poll for news of each, with a connection of its own.
async fn ask_for_each(world: &World, payments: &[PaymentId]) -> JoinSet<Option<(Status, i64)>> {
    let results = world.target.results.expect("every role runs");
    let connections = Arc::new(Connections::to(results, payments.len()));
    let mut polls = JoinSet::new();
    for payment in world.load(payments).await {
        let seller = world.market.pay_to.iter().position(|it| *it == payment.authorization.pay_to);
        let bearer = format!("Bearer {}", world.target.keys[seller.unwrap()]);
        let connections = Arc::clone(&connections);
        polls.spawn(async move {
            let status = poll(&connections, &bearer, payment.id, ACCEPTED).await?;
            Some((status, Clock::system().now_unix_ms()))
        });
    }
    polls
}
