//! What does a facilitator's caller wait for? Payments verified one after the other over connections that stay
//! open, and a thousand settled at the same time.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use domain::PaymentId;
use futures::future::join_all;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Plan, each_us, warm_up};
use crate::check::violations;
use crate::connection::Connections;
use crate::latency::Latencies;
use crate::order::{Mix, Order, sign};
use crate::world::{ALL, World, between};

/// Callers who verify, each over a connection of its own and with the next payment once it has an answer.
const CALLERS: usize = 64;

/// Payments that are signed for every second of verifying: more than can be verified.
const SIGNED_PER_S: u64 = 10_000;

/// Verifications that there should be in a second.
const VERIFIED_PER_S: f64 = 5_000.0;

/// Payments that are settled at once.
const SETTLED: u64 = 1_000;

/// From the first request on, all of them should be in so many blocks.
const BLOCKS: u64 = 3;

/// How long an answer may take before the request counts as unanswered: longer than a settlement is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn run(plan: &Plan) -> Answer {
    let world = World::start(&ALL, plan, plan.signers).await;
    let mut accepted = HashSet::new();
    warm_up(&world, plan, &mut accepted).await;
    world.drain().await;
    let (verify, mut broken) = verify(&world, plan).await;
    let settled = settle(&world, plan).await;
    accepted.extend(settled.payments.iter().copied());
    broken.extend(settled.broken());
    let settle = settled.figures(&world).await;
    world.drain().await;
    broken.extend(violations(&world, &accepted).await);
    let figures = json!({
        "verify": verify,
        "settle": settle,
        "memory_mib": world.most_memory_mib(),
    });
    world.end().await;
    Answer { figures, violations: broken }
}

/// What is read of an answer of either operation.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Told {
    is_valid: bool,
    invalid_reason: Option<String>,
    success: bool,
    error_reason: Option<String>,
    transaction: String,
    extra: Value,
}

impl Told {
    fn payment(&self) -> Option<PaymentId> {
        self.extra["quittance"]["payment_id"].as_str()?.parse().ok()
    }
}

/// Where requests go, and as whose.
struct Door {
    connections: Connections,
    keys: Vec<String>,
}

impl Door {
    fn of(world: &World, connections: usize) -> Self {
        let keys = world.target.keys.iter().map(|key| format!("Bearer {key}")).collect();
        Self { connections: Connections::to(world.target.ingress, connections), keys }
    }

    /// The answer to this order, or what came instead of one.
    async fn post(&self, path: &str, order: &Order) -> Result<Told, String> {
        let request = Request::post(path)
            .header("host", "ingress")
            .header("authorization", &self.keys[order.seller])
            .header("content-type", "application/json")
            .body(Full::new(order.body.clone()))
            .unwrap();
        let answer = tokio::time::timeout(PATIENCE, self.connections.send(request)).await;
        let (status, body): (StatusCode, Bytes) =
            answer.ok().and_then(Result::ok).ok_or_else(|| "no answer".to_owned())?;
        match serde_json::from_slice(&body) {
            Ok(told) if status == StatusCode::OK => Ok(told),
            Ok(_) | Err(_) => Err(format!("status {}", status.as_u16())),
        }
    }
}

/// How often something else was answered than should be, by what that was.
type Others = BTreeMap<String, u64>;

/// What one caller's verifications came to.
struct Verified {
    latencies: Vec<Duration>,
    others: Others,
}

async fn verify(world: &World, plan: &Plan) -> (Value, Vec<String>) {
    let count = usize::try_from(SIGNED_PER_S.saturating_mul(plan.hold.as_secs())).unwrap();
    let orders =
        tokio::task::block_in_place(|| sign(&world.market, count, Mix::default(), plan.seed));
    let (orders, next) = (Arc::new(orders), Arc::new(AtomicUsize::new(0)));
    let door = Arc::new(Door::of(world, CALLERS));
    let nodes = world.node_times("ingress", "eth_call").await;
    let (computed, began) = (world.computed(), Instant::now());
    let until = began + plan.hold;
    let callers = (0..CALLERS).map(|_| {
        let (door, orders, next) = (Arc::clone(&door), Arc::clone(&orders), Arc::clone(&next));
        tokio::spawn(async move { verify_some(&door, &orders, &next, until).await })
    });
    let callers = join_all(callers.collect::<Vec<_>>()).await;
    let (took, computed) = (began.elapsed(), between(&computed, &world.computed()));
    let nodes = world.node_times("ingress", "eth_call").await.since(nodes);
    let (mut latencies, mut others, mut answered) = (Latencies::new(), Others::new(), 0_usize);
    for caller in callers {
        let Verified { latencies: times, others: unexpected } = caller.unwrap();
        answered += times.len();
        times.into_iter().for_each(|time| latencies.record(time));
        unexpected.into_iter().for_each(|(what, n)| *others.entry(what).or_default() += n);
    }
    let mut broken: Vec<String> =
        others.iter().map(|(what, n)| format!("{n} payments were verified as {what}")).collect();
    if answered == 0 {
        broken.push("nothing was verified".to_owned());
    }
    let per_s = per_second(answered, took);
    let percentiles = latencies.percentiles();
    let figures = json!({
        "connections": CALLERS,
        "verified": answered,
        "ran_out_of_payments": next.load(Ordering::Relaxed) >= orders.len(),
        "verified_per_s": per_s,
        "target_per_s": VERIFIED_PER_S,
        "target_met": per_s >= VERIFIED_PER_S,
        "p50_ms": percentiles.p50_ms,
        "p99_ms": percentiles.p99_ms,
        "others": others,
        "node": {
            "calls": nodes.calls,
            "mean_ms": nodes.mean_ms(),
            "payments_per_call": nodes.share_of(answered),
        },
        "cpu_us_per_verification": each_us(&computed, answered),
    });
    (figures, broken)
}

/// Verifies the next payment that nobody has verified, again and again.
async fn verify_some(
    door: &Door,
    orders: &[Order],
    next: &AtomicUsize,
    until: Instant,
) -> Verified {
    let mut verified = Verified { latencies: Vec::new(), others: Others::new() };
    while Instant::now() < until {
        let Some(order) = orders.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
        let sent = Instant::now();
        let answer = door.post("/verify", order).await;
        verified.latencies.push(sent.elapsed());
        let other = match answer {
            Ok(Told { is_valid: true, .. }) => continue,
            Ok(told) => told.invalid_reason.unwrap_or_else(|| "nothing known".to_owned()),
            Err(other) => other,
        };
        *verified.others.entry(other).or_default() += 1;
    }
    verified
}

/// What became of payments that were to be settled at once.
struct Settled {
    asked: usize,
    payments: Vec<PaymentId>,
    transactions: BTreeSet<String>,
    succeeded: usize,
    /// Answers without success, by their reason.
    others: Others,
    latencies: Latencies,
    /// The newest block when the first was sent.
    before: u64,
}

async fn settle(world: &World, plan: &Plan) -> Settled {
    let count = usize::try_from(plan.rate.unwrap_or(SETTLED)).unwrap();
    let seed = plan.seed.wrapping_add(1);
    let orders = tokio::task::block_in_place(|| sign(&world.market, count, Mix::default(), seed));
    let door = Arc::new(Door::of(world, count.max(1)));
    let before = world.anvil.block_number().await;
    let requests = orders.into_iter().map(|order| {
        let door = Arc::clone(&door);
        tokio::spawn(async move {
            let sent = Instant::now();
            (door.post("/settle", &order).await, sent.elapsed())
        })
    });
    let answers = join_all(requests.collect::<Vec<_>>()).await;
    let mut settled = Settled {
        asked: count,
        payments: Vec::new(),
        transactions: BTreeSet::new(),
        succeeded: 0,
        others: Others::new(),
        latencies: Latencies::new(),
        before,
    };
    answers.into_iter().for_each(|answer| settled.note(answer.unwrap()));
    settled
}

impl Settled {
    fn note(&mut self, (answer, after): (Result<Told, String>, Duration)) {
        self.latencies.record(after);
        let told = match answer {
            Ok(told) => told,
            Err(other) => return *self.others.entry(other).or_default() += 1,
        };
        self.payments.extend(told.payment());
        if told.success {
            self.succeeded += 1;
            self.transactions.insert(told.transaction);
        } else {
            let reason = told.error_reason.unwrap_or_else(|| "nothing known".to_owned());
            *self.others.entry(reason).or_default() += 1;
        }
    }

    fn broken(&self) -> Vec<String> {
        let others = self.others.iter();
        let mut broken: Vec<String> =
            others.map(|(what, n)| format!("{n} payments were settled as {what}")).collect();
        let distinct: HashSet<PaymentId> = self.payments.iter().copied().collect();
        if distinct.len() != self.asked {
            broken.push(format!("{} settlements are {} payments", self.asked, distinct.len()));
        }
        broken
    }

    async fn figures(&self, world: &World) -> Value {
        let blocks: BTreeSet<u64> = join_all(self.transactions.iter().map(|hash| async move {
            let receipt = world.anvil.rpc("eth_getTransactionReceipt", json!([hash])).await;
            number(&receipt["blockNumber"])
        }))
        .await
        .into_iter()
        .collect();
        let took = blocks.last().map(|last| last.saturating_sub(self.before));
        let met = self.succeeded == self.asked && took.is_some_and(|blocks| blocks <= BLOCKS);
        let percentiles = self.latencies.percentiles();
        json!({
            "asked": self.asked,
            "succeeded": self.succeeded,
            "others": self.others,
            "blocks_to_the_last": took,
            "target_blocks": BLOCKS,
            "target_met": met,
            "transactions": self.transactions.len(),
            "p50_ms": percentiles.p50_ms,
            "p99_ms": percentiles.p99_ms,
            "max_ms": percentiles.max_ms,
        })
    }
}

fn number(hex: &Value) -> u64 {
    let digits = hex.as_str().unwrap_or_default().trim_start_matches("0x");
    u64::from_str_radix(digits, 16).unwrap_or_default()
}

#[expect(clippy::float_arithmetic, reason = "figures for people; no amount is among them")]
fn per_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(answer: Value) -> Result<Told, String> {
        Ok(serde_json::from_value(answer).unwrap())
    }

    fn settled(answers: impl IntoIterator<Item = Result<Told, String>>) -> Settled {
        let mut settled = Settled {
            asked: 2,
            payments: Vec::new(),
            transactions: BTreeSet::new(),
            succeeded: 0,
            others: Others::new(),
            latencies: Latencies::new(),
            before: 0,
        };
        answers.into_iter().for_each(|answer| settled.note((answer, Duration::from_millis(1))));
        settled
    }

    fn paid(payment: PaymentId) -> Result<Told, String> {
        let extra = json!({"quittance": {"payment_id": payment}});
        told(json!({"success": true, "transaction": "0x01", "extra": extra}))
    }

    #[test]
    fn what_is_not_settled_is_counted_by_what_was_answered_and_breaks_a_promise() {
        let pending = told(json!({"success": false, "errorReason": "settlement_pending"}));
        let settled = settled([paid(PaymentId::new(runtime::new_uuid())), pending]);
        assert_eq!((settled.succeeded, settled.transactions.len()), (1, 1));
        assert_eq!(settled.others, Others::from([("settlement_pending".to_owned(), 1)]));
        assert_eq!(
            settled.broken(),
            ["1 payments were settled as settlement_pending", "2 settlements are 1 payments"]
        );
    }

    #[test]
    fn two_answers_for_one_payment_are_no_two_settlements() {
        let one = PaymentId::new(runtime::new_uuid());
        let other = PaymentId::new(runtime::new_uuid());
        assert_eq!(settled([paid(one), paid(other)]).broken(), Vec::<String>::new());
        assert_eq!(settled([paid(one), paid(one)]).broken(), ["2 settlements are 1 payments"]);
    }
}
