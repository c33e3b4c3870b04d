//! Many ask for news of their payments and wait: what does that cost, and how soon are they told?

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::{Payment, PaymentId};
use http_body_util::Full;
use hyper::{Request, StatusCode};
use nix::sys::signal::Signal;
use runtime::Clock;
use serde_json::json;
use testkit::eventually;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::{Answer, Plan, failures, offer_at, warm_up};
use crate::check::violations;
use crate::connection::{Connections, Trunks};
use crate::follow::{Status, question, told};
use crate::latency::Latencies;
use crate::world::{ALL, Computed, World, between};

/// Payments a second, and for how long: each is waited for.
const RATE: u64 = 2_000;
const TIME: Duration = Duration::from_secs(5);

/// How many of them change in a second.
const CHANGES: u32 = 500;

/// Connections over which a proxy brings all who wait.
const TRUNKS: usize = 20;

/// What is promised where a proxy brings them: less than 200 MB, and almost all are told within a tenth of a second.
const MOST_MEMORY_MIB: u64 = 190;
const LONGEST_P99_MS: f64 = 100.0;

/// Connections over which payments are taken back.
const AT_ONCE: usize = 64;

/// How long what they cost while nothing happens is measured.
const QUIET: Duration = Duration::from_secs(5);

/// How long all may take to wait.
const SETTING_OUT: Duration = Duration::from_secs(20);

/// The version of a payment that is accepted and nothing more.
const ACCEPTED: u32 = 1;

/// How those who wait reach the status API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Each over a connection of its own.
    Alone,
    /// All together over a proxy's few, by HTTP/2.
    ByProxy,
}

/// Risk sleeps, so that nothing happens but that sellers take their payments back.
pub(crate) async fn run(plan: &Plan, way: Way) -> Answer {
    let world = World::start(&ALL, plan, plan.signers).await;
    let mut accepted = HashSet::new();
    warm_up(&world, plan, &mut accepted).await;
    world.drain().await;
    world.signal("risk", Signal::SIGSTOP);
    let offered = offer_at(&world, plan, plan.rate.unwrap_or(RATE), TIME).await;
    accepted.extend(offered.payments.iter().copied());
    let mut broken = failures(&offered);
    let waited_for = owned(&world, &offered.payments).await;
    let mut polls = ask_for_each(&world, &waited_for, way).await;
    let all_wait = async || {
        let waiting = world.metric("results", "long_poll_waiters").await;
        (waiting >= waited_for.len() as u64).then_some(waiting)
    };
    let waiting = eventually(SETTING_OUT, all_wait).await;
    let before = world.computed();
    tokio::time::sleep(QUIET).await;
    let quiet = between(&before, &world.computed());
    let memory_while_waiting = world.most_memory_mib();
    let before = world.computed();
    broken.extend(cancel_all(&world, &waited_for).await);
    let (mut told_after, mut untold) = (Latencies::new(), 0u64);
    while let Some(answer) = polls.join_next().await {
        match answer.unwrap() {
            Some((status, at)) if status.version > ACCEPTED => told_after.record(status.age(at)),
            _ => untold += 1,
        }
    }
    let spent = between(&before, &world.computed());
    if untold > 0 {
        broken.push(format!("{untold} who waited were told of no change"));
    }
    if way == Way::ByProxy {
        let memory = memory_while_waiting.get("results").copied().unwrap_or_default();
        broken.extend(unkept(memory, told_after.percentiles().p99_ms));
    }
    world.signal("risk", Signal::SIGCONT);
    world.drain().await;
    broken.extend(violations(&world, &accepted).await);
    let figures = json!({
        "waiting": waiting,
        "told_after": told_after.percentiles(),
        "changes_per_s": CHANGES,
        "cpu_us_per_change": spent.iter().map(|(who, ms)| (*who, ms * 1_000 / waiting.max(1))).collect::<Computed>(),
        "cpu_ms_per_s_while_waiting": quiet.iter().map(|(who, ms)| (*who, ms / QUIET.as_secs())).collect::<Computed>(),
        "memory_mib_while_waiting": memory_while_waiting.get("results"),
        "memory_mib": world.most_memory_mib(),
    });
    world.end().await;
    Answer { figures, violations: broken }
}

/// A payment and the authority to ask for it.
type Owned = (PaymentId, String);

async fn owned(world: &World, payments: &[PaymentId]) -> Vec<Owned> {
    let bearer = |payment: &Payment| {
        let sellers = &mut world.market.pay_to.iter();
        let seller = sellers.position(|it| *it == payment.authorization.pay_to);
        format!("Bearer {}", world.target.keys[seller.unwrap()])
    };
    world.load(payments).await.iter().map(|payment| (payment.id, bearer(payment))).collect()
}

/// What was promised to those whom a proxy brings, and not kept.
fn unkept(memory_mib: u64, p99_ms: f64) -> Vec<String> {
    let memory = (memory_mib > MOST_MEMORY_MIB)
        .then(|| format!("results needs {memory_mib} MiB, and may need {MOST_MEMORY_MIB}"));
    let late = (p99_ms > LONGEST_P99_MS)
        .then(|| format!("p99 is told after {p99_ms:.0} ms, and should be by {LONGEST_P99_MS:.0}"));
    memory.into_iter().chain(late).collect()
}

/// A poll for news of each.
async fn ask_for_each(
    world: &World,
    payments: &[Owned],
    way: Way,
) -> JoinSet<Option<(Status, i64)>> {
    let own = Arc::new(Connections::to(results(world), payments.len()));
    let trunks = match way {
        Way::Alone => None,
        Way::ByProxy => Some(Arc::new(Trunks::to(results(world), TRUNKS).await.unwrap())),
    };
    let mut polls = JoinSet::new();
    for (payment, bearer) in payments.iter().cloned() {
        let (own, trunks) = (Arc::clone(&own), trunks.clone());
        polls.spawn(async move {
            let question = question(&bearer, payment, ACCEPTED);
            let status = match trunks {
                Some(trunks) => told(trunks.send(question)).await?,
                None => told(own.send(question)).await?,
            };
            Some((status, Clock::system().now_unix_ms()))
        });
    }
    polls
}

/// Takes one after the other back, at even times; says what went wrong.
async fn cancel_all(world: &World, payments: &[Owned]) -> Vec<String> {
    let connections = Arc::new(Connections::to(results(world), AT_ONCE));
    let mut requests = JoinSet::new();
    let mut due = tokio::time::interval(Duration::from_secs(1) / CHANGES);
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for (payment, bearer) in payments {
        due.tick().await;
        let request = Request::post(format!("/v1/payments/{payment}/cancel"))
            .header("host", "results")
            .header("authorization", bearer)
            .body(Full::new(Bytes::new()))
            .unwrap();
        let connections = Arc::clone(&connections);
        requests.spawn(async move { connections.send(request).await });
    }
    let answers = requests.join_all().await;
    let failed = answers.iter().filter(|it| !matches!(it, Ok((StatusCode::OK, _)))).count();
    Vec::from_iter((failed > 0).then(|| format!("{failed} payments could not be taken back")))
}

fn results(world: &World) -> SocketAddr {
    world.target.results.expect("every role runs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_that_is_not_kept_is_told_with_its_figure() {
        assert_eq!(unkept(190, 100.0), Vec::<String>::new());
        assert_eq!(unkept(191, 100.0), ["results needs 191 MiB, and may need 190"]);
        assert_eq!(unkept(1, 100.4), ["p99 is told after 100 ms, and should be by 100"]);
        assert_eq!(unkept(500, 156.0).len(), 2);
    }
}
