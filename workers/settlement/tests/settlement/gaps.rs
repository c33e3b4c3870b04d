//! Nonces that must be used up, so that what comes after them can be mined.

use std::time::Duration;

use domain::{Payment, StateName};
use queue::{Queue, Stream};
use runtime::{Clock, ClockHand};
use serde_json::{Value, json};
use store::AttemptKind;
use testkit::{Anvil, Buyer, Fate, FaultyNode};

use crate::node_faults::{asked_often, counted};
use crate::world::{DEADLINE, Running, World, now};

/// A lane whose only room is taken by a payment that no block ever holds, and one that waits.
struct Crowded {
    world: World,
    hand: ClockHand,
    node: FaultyNode,
    settlement: Running,
    first: Payment,
    second: Payment,
}

impl Crowded {
    /// With payments that are valid for so many seconds.
    async fn open(first_secs: i64, second_secs: i64) -> Self {
        let mut world = World::start().await;
        world.policy.max_in_flight = 1;
        let (clock, hand) = Clock::manual(now().unix_ms());
        world.clock = clock;
        let buyer = Buyer::new();
        world.anvil.mint(buyer.address(), 300u64).await;
        let sign = |amount: u64, secs| {
            buyer.authorize().pay_to(world.pay_to).amount(amount).valid_for(secs).sign()
        };
        let first = world.approve(&sign(100, first_secs)).await;
        let node = FaultyNode::before(world.anvil.url()).await;
        node.obey(takes_and_forgets);
        let settlement = world.settle_at(&node.url());
        world.wait_for(StateName::Submitted, &[first.id]).await;
        let second = world.approve(&sign(200, second_secs)).await;
        let queue = world.queue();
        world.ring(&queue, &[second.id]).await;
        wait_until_taken(&queue).await;
        Self { world, hand, node, settlement, first, second }
    }
}

/// Moves the time of processes and of the chain.
async fn pass(world: &World, hand: &ClockHand, seconds: u64) {
    hand.advance(Duration::from_secs(seconds));
    world.anvil.rpc("evm_increaseTime", json!([seconds])).await;
}

#[tokio::test]
async fn a_transaction_whose_payments_have_all_expired_gives_its_nonce_to_the_next_ones() {
    let Crowded { world, hand, node, settlement, first, second } = Crowded::open(60, 600).await;

    // The first window closes, the second does not.
    pass(&world, &hand, 100).await;
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

#[tokio::test]
async fn a_nonce_that_the_payments_that_wait_cannot_take_is_used_up_with_nothing() {
    let Crowded { world, hand, node, settlement, first, second } = Crowded::open(60, 600).await;

    // What is tried now cannot be told to succeed.
    node.obey(|method, _| match method {
        "eth_estimateGas" => Fate::Refused("try later"),
        _ => Fate::Passed,
    });
    pass(&world, &hand, 100).await;
    wait_until_used(&world, 1).await;

    let filled = world.newest_transaction().await.unwrap();
    assert_eq!((filled.nonce, &filled.items[..]), (0, &[first.id][..]));
    assert_eq!(filled.attempts.last().unwrap().kind, AttemptKind::Filler);
    node.behave();
    world.wait_for(StateName::Settled, &[second.id]).await;
    assert_eq!(world.load(first.id).await.state.name(), StateName::Expired);
    world.assert_ledger_is_chain(&[first.id, second.id]).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_nonce_that_the_chain_takes_back_from_a_stranger_is_used_up_again() {
    let mut world = World::on(Anvil::builder().mined_by_hand()).await;
    world.policy.confirmations = 10;
    let payment = world.approved(100).await;
    let foreign = world.foreign(0).await;
    world.anvil.rpc("eth_sendRawTransaction", json!([foreign])).await;
    world.anvil.mine(1).await;
    let settlement = world.settle();
    world.wait_for(StateName::Submitted, &[payment.id]).await;
    world.wait_for_mempool(1).await;
    world.anvil.mine(1).await;
    world.wait_for(StateName::Confirmed, &[payment.id]).await;

    // Both blocks are lost, and nobody has the stranger's bytes any more.
    world.anvil.reorg(2).await;
    world.anvil.set_interval(Some(Duration::from_secs(1))).await;
    wait_until_used(&world, 2).await;

    world.anvil.mine(10).await;
    world.wait_for(StateName::Settled, &[payment.id]).await;
    world.assert_ledger_is_chain(&[payment.id]).await;
    settlement.stop().await;
}

#[tokio::test]
async fn nothing_is_signed_by_the_word_of_a_node_that_is_far_from_what_blocks_hold() {
    let world = World::start().await;
    let payment = world.approved(100).await;
    let node = FaultyNode::before(world.anvil.url()).await;
    let (asked, rule) = counted("eth_getTransactionCount", |method, params| match method {
        "eth_getTransactionCount" if params[1] == "pending" => Fate::Answered(json!("0x1388")),
        _ => Fate::Passed,
    });
    node.obey(rule);
    let settlement = world.settle_at(&node.url());
    world.ring(&world.queue(), &[payment.id]).await;

    asked_often(&asked, 6).await;
    assert!(world.newest_transaction().await.is_none());

    node.behave();
    world.wait_for(StateName::Settled, &[payment.id]).await;
    assert_eq!(world.newest_transaction().await.unwrap().nonce, 0);
    settlement.stop().await;
}

#[tokio::test]
async fn a_payment_that_waits_for_room_until_its_window_closes_expires_meanwhile() {
    let Crowded { world, hand, node, settlement, first, second } = Crowded::open(600, 60).await;

    pass(&world, &hand, 100).await;
    world.wait_for(StateName::Expired, &[second.id]).await;

    assert_eq!(world.load(first.id).await.state.name(), StateName::Submitted);
    node.behave();
    world.wait_for(StateName::Settled, &[first.id]).await;
    world.assert_ledger_is_chain(&[first.id, second.id]).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_transaction_whose_payments_have_not_long_to_live_is_replaced_before_its_time() {
    let mut world = World::on(Anvil::builder().mined_by_hand()).await;
    // By blocks alone it would be replaced after 250 seconds.
    world.policy.bump_after_blocks = 1_000;
    let node = FaultyNode::before(world.anvil.url()).await;
    node.obey(takes_and_forgets);
    let buyer = Buyer::new();
    world.anvil.mint(buyer.address(), 100u64).await;
    let short = buyer.authorize().pay_to(world.pay_to).amount(100u64).valid_for(200).sign();
    let payment = world.approve(&short).await;
    let settlement = world.settle_at(&node.url());
    world.wait_for(StateName::Submitted, &[payment.id]).await;

    world.anvil.mine(2).await;
    testkit::eventually(DEADLINE, || async {
        (world.newest_transaction().await?.attempts.len() > 1).then_some(())
    })
    .await;

    node.behave();
    world.anvil.set_interval(Some(Duration::from_secs(1))).await;
    world.wait_for(StateName::Settled, &[payment.id]).await;
    world.assert_ledger_is_chain(&[payment.id]).await;
    settlement.stop().await;
}

/// A node that takes everything and passes nothing on.
fn takes_and_forgets(method: &str, _: &mut Value) -> Fate {
    match method {
        "eth_sendRawTransaction" => Fate::Answered(json!(domain::B256::repeat_byte(1))),
        _ => Fate::Passed,
    }
}

/// Waits until blocks hold so many transactions of the signer.
async fn wait_until_used(world: &World, nonces: u64) {
    testkit::eventually(DEADLINE, || async {
        (world.anvil.nonce_of(world.signer()).await >= nonces).then_some(())
    })
    .await;
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
