//! What do rules cost, and an engine that takes its time?

use std::collections::HashSet;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::post;
use domain::PaymentId;
use serde_json::{Value, json};
use testkit::Anvil;
use tokio::net::TcpListener;

use super::{Answer, Plan, failures, offer_at, progress, warm_up};
use crate::check::violations;
use crate::world::{ALL, World, between};

/// Times that each is measured, in turn.
const ROUNDS: usize = 3;

/// Payments a second, while they come: more than can be settled.
const RATE: u64 = 8_000;
const TIME: Duration = Duration::from_secs(3);

/// Payments a second that are settled beside everything else, and for how long they come: what waits
/// for an engine must not pile up.
const STEADY: u64 = 500;
const STEADY_TIME: Duration = Duration::from_secs(20);

/// So much of what is settled without rules must be settled with them.
const LEAST: f64 = 0.90;

/// How long the engine takes.
const ENGINE: Duration = Duration::from_millis(50);

/// Without rules, with rules, without, with; with rules and all payments one seller's; steadily without;
/// then the same payments with an engine beside.
pub(crate) async fn run(plan: &Plan) -> Answer {
    let (mut plain, mut ruled, mut asked) = (Vec::new(), Vec::new(), Vec::new());
    let mut lone = Vec::new();
    let mut broken = Vec::new();
    let mut world = World::start(&ALL, plan, plan.signers).await;
    let mut accepted = HashSet::new();
    warm_up(&world, plan, &mut accepted).await;
    for _ in 0..ROUNDS {
        rule(&world, &json!({})).await;
        plain.push(round(&world, plan, &mut accepted, &mut broken).await);
        rule(&world, &rules()).await;
        ruled.push(round(&world, plan, &mut accepted, &mut broken).await);
    }
    // All of a seller's payments wait for one row of its budget.
    let others = world.market.pay_to.split_off(1);
    for _ in 0..ROUNDS {
        lone.push(round(&world, plan, &mut accepted, &mut broken).await);
    }
    world.market.pay_to.extend(others);
    let plainly = steadily(&world, plan, &mut accepted, &mut broken).await;
    broken.extend(violations(&world, &accepted).await);
    world.end().await;

    let plan = Plan { engine: Some(engine().await), ..plan.clone() };
    let world = World::start(&ALL, &plan, plan.signers).await;
    let mut accepted = HashSet::new();
    warm_up(&world, &plan, &mut accepted).await;
    for _ in 0..ROUNDS {
        asked.push(round(&world, &plan, &mut accepted, &mut broken).await);
    }
    let asking = steadily(&world, &plan, &mut accepted, &mut broken).await;
    broken.extend(violations(&world, &accepted).await);
    world.end().await;
    let mut figures = figures(&[&plain, &ruled, &lone, &asked]);
    let rate = plan.rate.unwrap_or(STEADY);
    figures["at_a_steady_rate"] =
        json!({ "rate_per_s": rate, "plain": plainly, "engine_50_ms": asking });
    Answer { figures, violations: broken }
}

/// How long payments take that come as fast as they are settled.
async fn steadily(
    world: &World,
    plan: &Plan,
    accepted: &mut HashSet<PaymentId>,
    broken: &mut Vec<String>,
) -> Value {
    rule(world, &json!({})).await;
    world.drain().await;
    let since = world.mark().await;
    let offered = offer_at(world, plan, plan.rate.unwrap_or(STEADY), STEADY_TIME).await;
    let waiting = world.backlog().await;
    world.drain().await;
    accepted.extend(offered.payments.iter().copied());
    broken.extend(failures(&offered));
    let took = world.times(&since, "payment.settled").await;
    json!({ "settle_p50_ms": took.p50_ms, "settle_p99_ms": took.p99_ms, "backlog_at_the_end": waiting })
}

/// What one burst came to.
struct Round {
    settled_per_s: f64,
    /// Milliseconds of computing that risk and the ledger took.
    risk_ms: u64,
    postgres_ms: u64,
}

#[expect(clippy::float_arithmetic, reason = "figures for people; no amount is among them")]
async fn round(
    world: &World,
    plan: &Plan,
    accepted: &mut HashSet<PaymentId>,
    broken: &mut Vec<String>,
) -> Round {
    world.drain().await;
    let (before, began) = (world.computed(), Instant::now());
    let rate = plan.rate.unwrap_or(RATE);
    let offered = offer_at(world, plan, rate, TIME).await;
    world.drain().await;
    let took = began.elapsed().as_secs_f64();
    let computed = between(&before, &world.computed());
    accepted.extend(offered.payments.iter().copied());
    broken.extend(failures(&offered));
    progress(rate, &offered, true);
    Round {
        settled_per_s: offered.payments.len() as f64 / took,
        risk_ms: computed.get("risk").copied().unwrap_or_default(),
        postgres_ms: computed.get("postgres").copied().unwrap_or_default(),
    }
}

#[expect(clippy::float_arithmetic, reason = "figures for people; no amount is among them")]
fn figures([plain, ruled, lone, asked]: &[&[Round]; 4]) -> Value {
    let median = |rounds: &[Round]| {
        let mut rates: Vec<f64> = rounds.iter().map(|round| round.settled_per_s).collect();
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    let told = |rounds: &[Round]| -> Vec<Value> {
        let each = |round: &Round| {
            json!({
                "settled_per_s": round.settled_per_s,
                "risk_ms": round.risk_ms,
                "postgres_ms": round.postgres_ms,
            })
        };
        rounds.iter().map(each).collect()
    };
    let ratio = median(ruled) / median(plain);
    json!({
        "settled_per_s": {
            "plain": median(plain), "rules": median(ruled), "rules_one_seller": median(lone),
            "engine_50_ms": median(asked),
        },
        "ratio_rules": ratio,
        "ratio_rules_one_seller": median(lone) / median(plain),
        "ratio_engine": median(asked) / median(plain),
        "target_ratio": LEAST,
        "target_met": ratio >= LEAST,
        "rounds": {
            "plain": told(plain), "rules": told(ruled), "rules_one_seller": told(lone),
            "engine": told(asked),
        },
    })
}

/// Every rule that there is, none of which is broken.
fn rules() -> Value {
    let limit = |per: &str| {
        json!({
            "network": Anvil::CHAIN, "asset": Anvil::TOKEN, "per": per,
            "max_per_payment": "1000000", "daily": "100000000000", "monthly": "1000000000000",
            "approve_above": "900000",
        })
    };
    json!({
        "hosts": {"deny": ["*.blocked.example", "bad.example"]},
        "payers": {"deny": ["0x8500000000000000000000000000000000000085"]},
        "networks": {"allow": [Anvil::CHAIN]},
        "limits": [limit("account"), limit("payer")],
        "velocity": [
            {"payments": 1_000_000, "window_seconds": 60},
            {"payments": 2_000_000, "window_seconds": 3_600},
        ],
    })
}

/// Writes this policy for every seller.
async fn rule(world: &World, policy: &Value) {
    for key in &world.target.keys {
        world.put("risk/policy", key, policy).await;
    }
}

/// An engine that takes its time and finds nothing; its URL.
async fn engine() -> String {
    let allow = || async {
        tokio::time::sleep(ENGINE).await;
        axum::Json(json!({"risk_score": 0.1, "factors": [], "evidence_id": "e"}))
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/risk/evaluate", post(allow));
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}
