//! Others act on the same authorizations and tokens.

use domain::{FailureCode, PaymentState, StateName};
use testkit::{Anvil, Buyer};

use crate::world::{World, ids};

#[tokio::test]
async fn a_payment_that_somebody_else_submitted_is_settled_by_their_transaction() {
    let world = World::start().await;
    let buyer = Buyer::new();
    world.anvil.mint(buyer.address(), 100u64).await;
    let signed = world.sign(&buyer, 100);
    let payment = world.approve(&signed).await;
    let call = chain::transfer(&signed.authorization, &signed.signature);
    let theirs = world.anvil.transact(call.target, &call.input).await;

    let settlement = world.settle();
    let settled = world.wait_for(StateName::Settled, &[payment.id]).await;

    assert_eq!(settled[0].state.inclusion().unwrap().tx_hash, theirs);
    world.assert_ledger_is_chain(&[payment.id]).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_payment_that_was_front_run_after_it_was_sent_is_settled_by_their_transaction() {
    let world = World::on(Anvil::builder().mined_by_hand()).await;
    let buyer = Buyer::new();
    world.anvil.mint(buyer.address(), 100u64).await;
    let signed = world.sign(&buyer, 100);
    let payment = world.approve(&signed).await;
    let settlement = world.settle();
    world.wait_for(StateName::Submitted, &[payment.id]).await;
    world.wait_for_mempool(1).await;
    // Theirs is mined first, ours is forgotten for now and mined in vain afterwards.
    world.anvil.drop_pending().await;
    let call = chain::transfer(&signed.authorization, &signed.signature);
    let theirs = world.anvil.transact(call.target, &call.input).await;
    world.anvil.set_interval(Some(std::time::Duration::from_secs(1))).await;

    let settled = world.wait_for(StateName::Settled, &[payment.id]).await;

    assert_eq!(settled[0].state.inclusion().unwrap().tx_hash, theirs);
    world.assert_ledger_is_chain(&[payment.id]).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_wallet_that_is_emptied_before_the_block_is_rejected_on_the_second_look() {
    let world = World::on(Anvil::builder().mined_by_hand()).await;
    let buyer = Buyer::new();
    world.anvil.mint(buyer.address(), 100u64).await;
    let payment = world.approve(&world.sign(&buyer, 100)).await;
    let settlement = world.settle();
    world.wait_for(StateName::Submitted, &[payment.id]).await;
    world.wait_for_mempool(1).await;
    world.anvil.drop_pending().await;
    let elsewhere =
        buyer.authorize().pay_to(domain::Address::repeat_byte(9)).amount(100u64).valid_for(600);
    let elsewhere = elsewhere.sign();
    let call = chain::transfer(&elsewhere.authorization, &elsewhere.signature);
    world.anvil.transact(call.target, &call.input).await;
    world.anvil.set_interval(Some(std::time::Duration::from_secs(1))).await;

    let rejected = world.wait_for(StateName::Rejected, &[payment.id]).await;

    assert_eq!(rejected[0].state, PaymentState::Rejected(FailureCode::InsufficientFunds));
    assert_eq!(world.anvil.transfers_to(world.pay_to).await, []);
    settlement.stop().await;
}

#[tokio::test]
async fn a_payment_that_its_payer_cancels_before_it_is_sent_is_rejected_and_may_be_signed_anew() {
    let world = World::start().await;
    let buyer = Buyer::new();
    world.anvil.mint(buyer.address(), 100u64).await;
    let signed = world.sign(&buyer, 100);
    let payment = world.approve(&signed).await;
    world.anvil.transact(Anvil::TOKEN, &buyer.cancel(&signed)).await;

    let settlement = world.settle();
    let rejected = world.wait_for(StateName::Rejected, &[payment.id]).await;

    assert_eq!(rejected[0].state, PaymentState::Rejected(FailureCode::AuthorizationUsed));
    assert!(FailureCode::AuthorizationUsed.safe_to_resign());
    assert_eq!(world.anvil.transfers_to(world.pay_to).await, []);
    settlement.stop().await;
}

#[tokio::test]
async fn a_payment_that_its_payer_cancels_after_it_is_sent_fails_and_may_be_signed_anew() {
    let world = World::on(Anvil::builder().mined_by_hand()).await;
    let buyer = Buyer::new();
    world.anvil.mint(buyer.address(), 100u64).await;
    let signed = world.sign(&buyer, 100);
    let payment = world.approve(&signed).await;
    let settlement = world.settle();
    world.wait_for(StateName::Submitted, &[payment.id]).await;
    world.wait_for_mempool(1).await;
    // The cancellation is mined first; ours is forgotten for now, and mined in vain afterwards.
    world.anvil.drop_pending().await;
    world.anvil.transact(Anvil::TOKEN, &buyer.cancel(&signed)).await;
    world.anvil.set_interval(Some(std::time::Duration::from_secs(1))).await;

    let failed = world.wait_for(StateName::Failed, &[payment.id]).await;

    assert_eq!(failed[0].state, PaymentState::Failed(FailureCode::AuthorizationUsed));
    assert_eq!(world.anvil.transfers_to(world.pay_to).await, []);
    settlement.stop().await;
}

#[tokio::test]
async fn payments_that_were_mined_while_their_token_was_paused_are_paid_afterwards() {
    let world = World::on(Anvil::builder().mined_by_hand()).await;
    let payments = ids(&world.approved_many(3).await);
    let settlement = world.settle();
    world.ring(&world.queue(), &payments).await;
    world.wait_for(StateName::Submitted, &payments).await;
    world.wait_for_mempool(1).await;
    world.anvil.drop_pending().await;
    world.anvil.pause_token().await;
    world.anvil.set_interval(Some(std::time::Duration::from_secs(1))).await;
    world.wait_for(StateName::Approved, &payments).await;

    world.anvil.unpause_token().await;

    world.wait_for(StateName::Settled, &payments).await;
    world.assert_ledger_is_chain(&payments).await;
    settlement.stop().await;
}

#[tokio::test]
async fn payments_wait_while_their_token_is_paused() {
    let world = World::start().await;
    let payments = ids(&world.approved_many(3).await);
    world.anvil.pause_token().await;
    let settlement = world.settle();
    let queue = world.queue();
    world.ring(&queue, &payments).await;
    let stream = queue::Stream::settle(Anvil::CHAIN);
    testkit::eventually(crate::world::DEADLINE, || async {
        (queue.depth(&stream).await.ok()?.length == 0).then_some(())
    })
    .await;
    for payment in &payments {
        assert_eq!(world.load(*payment).await.state.name(), StateName::Approved);
    }

    world.anvil.unpause_token().await;

    world.wait_for(StateName::Settled, &payments).await;
    world.assert_ledger_is_chain(&payments).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_nonce_that_somebody_else_used_gives_its_payments_back() {
    let mut world = World::on(Anvil::builder().mined_by_hand()).await;
    world.policy.confirmations = 2;
    let payments = ids(&world.approved_many(3).await);
    world.ring(&world.queue(), &payments).await;
    let settlement = world.settle();
    world.wait_for(StateName::Submitted, &payments).await;
    world.wait_for_mempool(1).await;
    world.anvil.drop_pending().await;
    // Somebody uses the key elsewhere.
    world.anvil.rpc("eth_sendRawTransaction", serde_json::json!([world.foreign(0).await])).await;
    world.anvil.mine(1).await;
    world.anvil.set_interval(Some(std::time::Duration::from_secs(1))).await;

    world.wait_for(StateName::Settled, &payments).await;

    world.assert_ledger_is_chain(&payments).await;
    settlement.stop().await;
}
