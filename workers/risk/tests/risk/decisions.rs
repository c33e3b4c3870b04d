//! What becomes of payments whose payers are key pairs.

use std::time::Duration;

use domain::{Address, FailureCode, PaymentState, StateName};
use queue::Stream;
use runtime::Clock;
use testkit::{Anvil, Buyer};

use crate::world::{DEADLINE, World};

#[tokio::test]
async fn a_payment_that_the_chain_can_pay_is_approved_and_settlement_is_rung() {
    let world = World::start().await;
    let payment = world.accepted(&world.rich_buyer().await.authorize().sign()).await;
    let _risk = world.judge();
    world.ring(&[payment.id]).await;

    let approved = world.wait_for(StateName::Approved, payment.id).await;

    assert!(
        matches!(approved.state, PaymentState::Approved { until } if until > approved.updated_at)
    );
    let queue = world.queue();
    testkit::eventually(DEADLINE, || async {
        let depth = queue.depth(&Stream::settle(Anvil::CHAIN)).await.ok()?;
        (depth.length == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn each_payment_of_a_batch_is_judged_by_itself() {
    let world = World::start().await;
    let rich = world.rich_buyer().await;
    let good = world.accepted(&rich.authorize().amount(10_000u64).sign()).await;
    let dear = world.accepted(&rich.authorize().amount(10_001u64).sign()).await;
    let empty = world.accepted(&Buyer::new().authorize().sign()).await;
    world.ring(&[good.id, dear.id, empty.id]).await;

    let _risk = world.judge();

    world.wait_for(StateName::Approved, good.id).await;
    for poor in [dear, empty] {
        let rejected = world.wait_for(StateName::Rejected, poor.id).await;
        assert_eq!(rejected.state, PaymentState::Rejected(FailureCode::InsufficientFunds));
        let evidence = world.evidence(&rejected).await;
        assert_eq!(evidence.len(), 1);
        assert_eq!(
            (&*evidence[0].decision, &*evidence[0].reasons),
            ("deny", &["insufficient_funds".to_owned()][..])
        );
        assert!(evidence[0].balance < rejected.authorization.amount);
    }
}

#[tokio::test]
async fn a_payment_that_was_made_already_is_confirmed_with_the_transaction_that_made_it() {
    let world = World::start().await;
    let signed = world.rich_buyer().await.authorize().sign();
    let payment = world.accepted(&signed).await;
    let call = chain::transfer(&signed.authorization, &signed.signature);
    let theirs = world.anvil.transact(call.target, &call.input).await;
    let _risk = world.judge();

    let confirmed = world.wait_for(StateName::Confirmed, payment.id).await;

    assert_eq!(confirmed.state.inclusion().unwrap().tx_hash, theirs);
}

#[tokio::test]
async fn an_authorization_that_paid_somebody_else_is_rejected_and_safe_to_sign_again() {
    let world = World::start().await;
    let buyer = world.rich_buyer().await;
    let nonce = domain::B256::repeat_byte(7);
    let elsewhere = buyer.authorize().pay_to(Address::repeat_byte(9)).nonce(nonce).sign();
    let call = chain::transfer(&elsewhere.authorization, &elsewhere.signature);
    world.anvil.transact(call.target, &call.input).await;
    let payment = world.accepted(&buyer.authorize().nonce(nonce).sign()).await;
    let _risk = world.judge();

    let rejected = world.wait_for(StateName::Rejected, payment.id).await;

    assert_eq!(rejected.state, PaymentState::Rejected(FailureCode::AuthorizationUsed));
    assert!(rejected.state.failure().unwrap().safe_to_resign());
}

#[tokio::test]
async fn nobody_is_told_to_sign_again_because_a_use_is_older_than_what_is_searched() {
    let mut world = World::start().await;
    world.lookback = 2;
    let (clock, hand) = Clock::manual(Clock::system().now_unix_ms());
    world.clock = clock;
    // It has paid this very seller, long ago.
    let signed = world.rich_buyer().await.authorize().valid_for(60).sign();
    let call = chain::transfer(&signed.authorization, &signed.signature);
    world.anvil.transact(call.target, &call.input).await;
    world.anvil.mine(10).await;
    let payment = world.accepted(&signed).await;
    let _risk = world.judge();
    world.ring(&[payment.id]).await;
    world.quiet().await;
    assert_eq!(world.load(payment.id).await.state, PaymentState::Accepted);

    hand.advance(Duration::from_secs(100));
    world.anvil.rpc("evm_increaseTime", serde_json::json!([100])).await;
    world.anvil.mine(1).await;

    let rejected = world.wait_for(StateName::Rejected, payment.id).await;
    assert!(!rejected.state.failure().unwrap().safe_to_resign());
}

#[tokio::test]
async fn nothing_is_decided_from_a_use_that_may_still_be_undone() {
    let mut world = World::start().await;
    world.confirmations = 3;
    let buyer = world.rich_buyer().await;
    let nonce = domain::B256::repeat_byte(7);
    let elsewhere = buyer.authorize().pay_to(Address::repeat_byte(9)).nonce(nonce).sign();
    let call = chain::transfer(&elsewhere.authorization, &elsewhere.signature);
    world.anvil.transact(call.target, &call.input).await;
    let payment = world.accepted(&buyer.authorize().nonce(nonce).sign()).await;
    let _risk = world.judge();
    world.ring(&[payment.id]).await;
    world.quiet().await;
    assert_eq!(world.load(payment.id).await.state, PaymentState::Accepted);

    world.anvil.mine(2).await;

    world.wait_for(StateName::Rejected, payment.id).await;
}

#[tokio::test]
async fn nothing_is_approved_while_the_node_does_not_answer() {
    let mut world = World::start().await;
    let payment = world.accepted(&world.rich_buyer().await.authorize().sign()).await;
    world.anvil.kill().await;
    let _risk = world.judge();
    world.ring(&[payment.id]).await;
    world.quiet().await;
    assert_eq!(world.load(payment.id).await.state, PaymentState::Accepted);

    world.anvil.start_again().await;

    world.wait_for(StateName::Approved, payment.id).await;
}

#[tokio::test]
async fn a_payment_that_rings_many_times_is_decided_once() {
    let world = World::start().await;
    let payment = world.accepted(&world.rich_buyer().await.authorize().sign()).await;
    world.ring(&[payment.id; 50]).await;
    let _processes = [world.judge(), world.judge()];

    world.wait_for(StateName::Approved, payment.id).await;
    world.quiet().await;

    assert_eq!(world.load(payment.id).await.version, 2);
}

#[tokio::test]
async fn two_payments_that_do_not_fit_together_are_not_both_approved() {
    let world = World::start().await;
    let buyer = world.rich_buyer().await;
    let mut payments = Vec::new();
    for _ in 0..2 {
        payments.push(world.accepted(&buyer.authorize().amount(6_000u64).sign()).await.id);
    }
    let _processes = [world.judge(), world.judge()];
    world.ring(&payments).await;
    world.quiet().await;
    let mut states = Vec::new();
    for payment in &payments {
        states.push(world.load(*payment).await.state.name());
    }
    states.sort_by_key(|state| *state != StateName::Approved);
    assert_eq!(states, [StateName::Approved, StateName::Accepted]);
}

#[tokio::test]
async fn a_payment_above_the_bound_waits_for_somebody_and_goes_on_when_they_approve() {
    let world = World::start().await;
    let (store, account) = (&world.database.store, world.seller.account);
    let policy = serde_json::json!({"limits": [{
        "network": Anvil::CHAIN, "asset": Anvil::TOKEN, "per": "account", "approve_above": "5000",
    }]});
    let policy: domain::Policy = serde_json::from_value(policy).unwrap();
    let by = world.seller.another_key(store, &[domain::Scope::Ops]).await.key_id;
    let now = domain::Timestamp::from_unix_ms(world.clock.now_unix_ms());
    let new = store::NewPolicy { account, policy: &policy, seen: None, by };
    store.write_policy(new, now).await.unwrap();
    let signed = world.rich_buyer().await.authorize().amount(6_000u64).sign();
    let payment = world.accepted(&signed).await.id;
    let _risk = world.judge();
    world.wait_for(StateName::Held, payment).await;

    let reason = "they are known".to_owned();
    let decision = store::HoldDecision { payment, approved: true, reason, by };
    store.decide_hold(&decision, now).await.unwrap();

    world.wait_for(StateName::Approved, payment).await;
}
