//! Nonces that must be used up, so that what comes after them can be mined.

use std::time::Duration;

use domain::StateName;
use queue::{Queue, Stream};
use runtime::Clock;
use serde_json::json;
use store::AttemptKind;
use testkit::{Anvil, Buyer, Fate, FaultyNode};

use crate::world::{DEADLINE, World, now};

#[tokio::test]
async fn a_transaction_whose_payments_have_all_expired_gives_its_nonce_to_the_next_ones() {
    let mut world = World::start().await;
    // So that what comes next waits until the nonce is free.
    world.policy.max_in_flight = 1;
    let (clock, hand) = Clock::manual(now().unix_ms());
    world.clock = clock;
    let buyer = Buyer::new();
    world.anvil.mint(buyer.address(), 300u64).await;
    let short = buyer.authorize().pay_to(world.pay_to).amount(100u64).valid_for(60).sign();
    let first = world.approve(&short).await;
    let node = FaultyNode::before(world.anvil.url()).await;
    // A node that takes everything and passes nothing on.
    node.obey(|method, _| match method {
        "eth_sendRawTransaction" => Fate::Answered(json!(domain::B256::repeat_byte(1))),
        _ => Fate::Passed,
    });
    let settlement = world.settle_at(&node.url());
    world.wait_for(StateName::Submitted, &[first.id]).await;
    let second = world.approve(&world.sign(&buyer, 200)).await;
    let queue = world.queue();
    world.ring(&queue, &[second.id]).await;
    wait_until_taken(&queue).await;

    // The first window closes, the second does not.
    hand.advance(Duration::from_secs(100));
    world.anvil.rpc("evm_increaseTime", json!([100])).await;
    world.wait_for(StateName::Expired, &[first.id]).await;
    node.behave();
    world.wait_for(StateName::Settled, &[second.id]).await;

    let transaction = world.newest_transaction().await.unwrap();
    assert_eq!(transaction.nonce, 0);
    assert_eq!(transaction.items, [first.id, second.id]);
    assert_eq!(world.anvil.nonce_of(world.signer()).await, 1);
    world.assert_ledger_is_chain(&[first.id, second.id]).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_nonce_for_which_nothing_is_stored_carries_the_payments_that_wait() {
    let world = World::start().await;
    let payment = world.approved(100).await;
    world.store().register_signer(signer_id(), Anvil::CHAIN, world.signer()).await.unwrap();
    let pool = world.store().pool();
    sqlx::raw_sql("update signers set next_nonce = 1").execute(pool).await.unwrap();
    let node = FaultyNode::before(world.anvil.url()).await;
    // The lane cannot begin before the payment waits for it.
    node.obey(|method, _| match method {
        "eth_getTransactionCount" => Fate::Refused("not yet"),
        _ => Fate::Passed,
    });
    let settlement = world.settle_at(&node.url());
    let queue = world.queue();
    world.ring(&queue, &[payment.id]).await;
    wait_until_taken(&queue).await;

    node.behave();
    world.wait_for(StateName::Settled, &[payment.id]).await;

    let transaction = world.newest_transaction().await.unwrap();
    assert_eq!((transaction.nonce, &transaction.items[..]), (0, &[payment.id][..]));
    assert_eq!(transaction.attempts[0].kind, AttemptKind::Payload);
    settlement.stop().await;
}

/// Waits until the process has taken every job, so that the payments are in its inbox.
async fn wait_until_taken(queue: &Queue) {
    let stream = Stream::settle(Anvil::CHAIN);
    testkit::eventually(DEADLINE, || async {
        let depth = queue.depth(&stream).await.ok()?;
        (depth.pending > 0 && depth.lag == 0).then_some(())
    })
    .await;
}

fn signer_id() -> domain::SignerId {
    domain::SignerId::new(runtime::new_uuid())
}
