//! From approved payments to money moved.

use std::collections::HashSet;

use domain::{Event, FailureCode, PaymentState, StateName};
use store::{Change, PauseScope};
use testkit::{Anvil, Buyer};

use crate::world::{World, ids, now};

#[tokio::test]
async fn approved_payments_go_into_one_transaction_and_are_settled() {
    let world = World::start().await;
    let payments = ids(&world.approved_many(20).await);
    world.ring(&world.queue(), &payments).await;

    let settlement = world.settle();
    let settled = world.wait_for(StateName::Settled, &payments).await;

    world.assert_ledger_is_chain(&payments).await;
    let transactions: HashSet<_> =
        settled.iter().map(|payment| payment.state.inclusion().unwrap().tx_hash).collect();
    assert!(transactions.len() <= 3, "20 payments took {} transactions", transactions.len());
    settlement.stop().await;
}

#[tokio::test]
async fn a_lone_payment_goes_straight_to_the_token() {
    let world = World::start().await;
    let payment = world.approved(100).await;
    let settlement = world.settle();

    let settled = world.wait_for(StateName::Settled, &[payment.id]).await;

    let hash = settled[0].state.inclusion().unwrap().tx_hash;
    let sent = world.anvil.rpc("eth_getTransactionByHash", serde_json::json!([hash])).await;
    let token = Anvil::TOKEN.to_string().to_lowercase();
    assert_eq!(sent["to"].as_str(), Some(token.as_str()));
    assert_eq!(
        world.states(payment.id).await,
        ["accepted", "approved", "submitted", "confirmed", "settled"]
    );
    settlement.stop().await;
}

#[tokio::test]
async fn one_bad_payment_leaves_the_batch_and_the_others_are_settled() {
    let world = World::start().await;
    let good = ids(&world.approved_many(5).await);
    let broke = world.approve(&world.sign(&Buyer::new(), 100)).await;
    let mut all = good.clone();
    all.push(broke.id);
    world.ring(&world.queue(), &all).await;

    let settlement = world.settle();
    world.wait_for(StateName::Settled, &good).await;
    let rejected = world.wait_for(StateName::Rejected, &[broke.id]).await;

    assert_eq!(rejected[0].state, PaymentState::Rejected(FailureCode::InsufficientFunds));
    world.assert_ledger_is_chain(&all).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_payment_that_rings_many_times_is_paid_once() {
    let world = World::start().await;
    let payments = ids(&world.approved_many(3).await);
    let queue = world.queue();
    for _ in 0..20 {
        world.ring(&queue, &payments).await;
    }

    let settlement = world.settle();
    world.wait_for(StateName::Settled, &payments).await;

    world.assert_ledger_is_chain(&payments).await;
    settlement.stop().await;
}

#[tokio::test]
async fn two_processes_with_two_signers_share_the_work_and_pay_each_payment_once() {
    let mut world = World::start().await;
    world.add_signer().await;
    world.policy.max_lanes = 1;
    world.policy.max_batch = 5;
    let payments = ids(&world.approved_many(30).await);
    let processes = [world.settle(), world.settle()];

    world.wait_for(StateName::Settled, &payments).await;

    world.assert_ledger_is_chain(&payments).await;
    for process in processes {
        process.stop().await;
    }
}

#[tokio::test]
async fn a_stale_approval_goes_back_to_risk_and_is_not_settled() {
    let world = World::start().await;
    let payment = world.seller.accept(world.store(), &world.sign(&Buyer::new(), 100)).await;
    let change =
        Change { payment: payment.clone(), event: Event::Approved { until: now() }, carrier: None };
    world.store().advance(vec![change], now()).await.unwrap();
    let settlement = world.settle();

    world.wait_for(StateName::Accepted, &[payment.id]).await;

    assert_eq!(world.states(payment.id).await, ["accepted", "approved", "accepted"]);
    settlement.stop().await;
}

#[tokio::test]
async fn nothing_is_sent_while_the_network_is_paused() {
    let world = World::start().await;
    let paused = world.approved(100).await;
    let pause = PauseScope::Network(Anvil::CHAIN);
    world.store().set_paused(pause, true, "maintenance", now()).await.unwrap();
    let settlement = world.settle();
    let queue = world.queue();
    world.ring(&queue, &[paused.id]).await;
    // Its job is done with once the stream is empty again.
    let stream = queue::Stream::settle(Anvil::CHAIN);
    testkit::eventually(crate::world::DEADLINE, || async {
        let depth = queue.depth(&stream).await.ok()?;
        (depth.length == 0).then_some(())
    })
    .await;
    assert_eq!(world.load(paused.id).await.state.name(), StateName::Approved);

    world.store().set_paused(pause, false, "over", now()).await.unwrap();

    world.wait_for(StateName::Settled, &[paused.id]).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_payment_whose_window_closes_unused_expires() {
    let world = World::start().await;
    let buyer = Buyer::new();
    world.anvil.mint(buyer.address(), 100).await;
    let signed = buyer.authorize().pay_to(world.pay_to).amount(100u64).valid_for(3).sign();
    let payment = world.approve(&signed).await;
    let settlement = world.settle();

    world.wait_for(StateName::Expired, &[payment.id]).await;

    assert_eq!(world.anvil.transfers_to(world.pay_to).await, []);
    settlement.stop().await;
}
