//! How long does a payment take, and what does it cost, when nobody else pays?

use std::collections::HashSet;
use std::time::Duration;

use domain::PaymentId;
use serde_json::json;
use testkit::eventually;

use super::settle::gas;
use super::{Answer, Plan, failures, warm_up};
use crate::check::violations;
use crate::offer::offer;
use crate::order::{Mix, sign};
use crate::world::{ALL, World, between};

/// How many, one after the other.
const PAYMENTS: u64 = 15;

/// How long one may take.
const END: Duration = Duration::from_secs(60);

pub(crate) async fn run(plan: &Plan) -> Answer {
    let world = World::start(&ALL, plan, plan.signers).await;
    let mut accepted = HashSet::new();
    warm_up(&world, plan, &mut accepted).await;
    world.drain().await;
    world.receiver.forget_delays();
    let since = world.mark().await;
    let (mut calls, mut broken, mut gas_used) = (Vec::new(), Vec::new(), 0);
    for number in 0..PAYMENTS {
        let before = world.calls().await;
        let orders = sign(&world.market, 1, Mix::default(), plan.seed + number);
        let offered = offer(&world.target, &orders, &[Duration::ZERO]).await;
        for payment in &offered.payments {
            gas_used = ended(&world, *payment).await;
        }
        calls.push(between(&before, &world.calls().await).values().sum::<u64>());
        broken.extend(failures(&offered));
        accepted.extend(offered.payments);
    }
    calls.sort_unstable();
    let took = world.times(&since, "payment.settled").await;
    broken.extend(violations(&world, &accepted).await);
    let figures = json!({
        "payments": PAYMENTS,
        "rpc_calls_p50": calls.get(calls.len() / 2),
        "rpc_calls_max": calls.last(),
        "broadcast_p50_ms": world.broadcast_p50_ms(&since).await,
        "settle_p50_ms": took.p50_ms,
        "settle_p99_ms": took.p99_ms,
        "webhook_p99_ms": world.receiver.delays().map(|delays| delays.p99_ms),
        "gas_per_payment": gas_used,
    });
    world.end().await;
    Answer { figures, violations: broken }
}

/// Waits for a payment's end, and says how much gas its transaction used.
async fn ended(world: &World, payment: PaymentId) -> u64 {
    let inclusion = eventually(END, || async {
        let loaded = world.database.store.load(&[payment]).await.ok()?.pop()?;
        loaded.state.is_terminal().then_some(loaded.state.inclusion().copied())
    })
    .await;
    let Some(inclusion) = inclusion else { return 0 };
    let hash = json!([inclusion.tx_hash]);
    gas(&world.anvil.rpc("eth_getTransactionReceipt", hash).await)
}
