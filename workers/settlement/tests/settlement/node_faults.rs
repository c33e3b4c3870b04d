//! The node lags, forgets and refuses: what it does not know proves nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use domain::{PaymentId, StateName};
use serde_json::{Value, json};
use testkit::{Anvil, Buyer, Fate, FaultyNode};

use crate::world::{DEADLINE, World, ids};

/// A node behind the same URL that has no block above this height.
pub(crate) fn lags_at(height: u64) -> impl FnMut(&str, &mut Value) -> Fate + Send + 'static {
    let newest = format!("{height:#x}");
    let above = move |param: &Value| {
        let digits = param.as_str().and_then(|text| text.strip_prefix("0x"));
        digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).is_some_and(|n| n > height)
    };
    move |method, params| match method {
        "eth_getTransactionReceipt" => Fate::Answered(Value::Null),
        "eth_getBlockByNumber" | "eth_getBlockReceipts" if above(&params[0]) => {
            Fate::Answered(Value::Null)
        }
        "eth_getBlockByNumber" if params[0] == "latest" => {
            params[0] = json!(newest);
            Fate::Passed
        }
        "eth_call" if params[1] == "latest" => {
            params[1] = json!(newest);
            Fate::Passed
        }
        _ => Fate::Passed,
    }
}

/// Counts how often this method was asked for while the rule held.
pub(crate) fn counted(
    method: &'static str,
    mut rule: impl FnMut(&str, &mut Value) -> Fate + Send + 'static,
) -> (Arc<AtomicUsize>, impl FnMut(&str, &mut Value) -> Fate + Send + 'static) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let rule = move |asked_for: &str, params: &mut Value| {
        if asked_for == method {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        rule(asked_for, params)
    };
    (asked, rule)
}

pub(crate) async fn asked_often(asked: &AtomicUsize, often: usize) {
    testkit::eventually(DEADLINE, || async {
        (asked.load(Ordering::Relaxed) >= often).then_some(())
    })
    .await;
}

/// Rings once, and waits until the bell is dealt with.
pub(crate) async fn dealt_with(world: &World, payment: PaymentId) {
    let queue = world.queue();
    world.ring(&queue, &[payment]).await;
    testkit::eventually(DEADLINE, || async {
        let depth = queue.depth(&queue::Stream::settle(Anvil::CHAIN)).await.ok()?;
        (depth.length == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_node_that_lags_for_a_moment_undoes_nothing() {
    let mut world = World::on(Anvil::builder().mined_by_hand()).await;
    world.policy.confirmations = 3;
    let proxy = FaultyNode::before(world.anvil.url()).await;
    let payment = world.approved(100).await;
    let settlement = world.settle_at(&proxy.url());
    world.wait_for(StateName::Submitted, &[payment.id]).await;
    world.wait_for_mempool(1).await;
    world.anvil.mine(1).await;
    world.wait_for(StateName::Confirmed, &[payment.id]).await;

    let (asked, rule) =
        counted("eth_getBlockByNumber", lags_at(world.anvil.block_number().await - 1));
    proxy.obey(rule);
    asked_often(&asked, 10).await;
    proxy.behave();
    world.anvil.mine(2).await;

    world.wait_for(StateName::Settled, &[payment.id]).await;
    assert_eq!(
        world.states(payment.id).await,
        ["accepted", "approved", "submitted", "confirmed", "settled"]
    );
    settlement.stop().await;
}

#[tokio::test]
async fn a_node_without_block_receipts_is_asked_for_each_transaction() {
    let world = World::on(Anvil::builder().mined_by_hand()).await;
    let proxy = FaultyNode::before(world.anvil.url()).await;
    proxy.obey(|method, _| match method {
        "eth_getBlockReceipts" => Fate::Refused("the method does not exist"),
        _ => Fate::Passed,
    });
    let settlement = world.settle_at(&proxy.url());

    for _ in 0..2 {
        let payment = world.approved(100).await;
        world.wait_for(StateName::Submitted, &[payment.id]).await;
        world.wait_for_mempool(1).await;
        world.anvil.mine(1).await;
        world.wait_for(StateName::Settled, &[payment.id]).await;
    }

    settlement.stop().await;
}

#[tokio::test]
async fn a_block_whose_receipts_come_late_is_not_passed_over() {
    let world = World::on(Anvil::builder().mined_by_hand()).await;
    let proxy = FaultyNode::before(world.anvil.url()).await;
    let settlement = world.settle_at(&proxy.url());
    let payment = world.approved(100).await;
    world.wait_for(StateName::Submitted, &[payment.id]).await;
    world.wait_for_mempool(1).await;
    let (asked, rule) = counted("eth_getBlockByNumber", |method, _| match method {
        "eth_getBlockReceipts" | "eth_getTransactionReceipt" => Fate::Answered(Value::Null),
        _ => Fate::Passed,
    });
    proxy.obey(rule);
    world.anvil.mine(1).await;
    asked_often(&asked, 10).await;

    proxy.behave();

    // No further block comes, so that only another look can find it.
    world.wait_for(StateName::Settled, &[payment.id]).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_block_that_cannot_be_checked_is_recorded_and_settles_nobody() {
    let world = World::on(Anvil::builder().mined_by_hand()).await;
    let proxy = FaultyNode::before(world.anvil.url()).await;
    let payment = world.approved(100).await;
    let settlement = world.settle_at(&proxy.url());
    world.wait_for(StateName::Submitted, &[payment.id]).await;
    world.wait_for_mempool(1).await;
    proxy.obey(|method, params| match method {
        "eth_getBlockByNumber" if params[0] != "latest" => Fate::Refused("try later"),
        _ => Fate::Passed,
    });

    // The block that holds it is not the newest, and has to be asked for.
    world.anvil.mine(2).await;
    world.wait_for(StateName::Confirmed, &[payment.id]).await;

    proxy.behave();
    world.wait_for(StateName::Settled, &[payment.id]).await;
    world.assert_ledger_is_chain(&[payment.id]).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_payment_that_cannot_be_read_does_not_hold_up_the_others() {
    let world = World::on(Anvil::builder().mined_by_hand()).await;
    let proxy = FaultyNode::before(world.anvil.url()).await;
    proxy.obey(|method, _| match method {
        "eth_getLogs" => Fate::Refused("query exceeds the range of blocks that is served"),
        _ => Fate::Passed,
    });
    let buyer = Buyer::new();
    world.anvil.mint(buyer.address(), 100u64).await;
    let signed = world.sign(&buyer, 100);
    let front_run = world.approve(&signed).await;
    let settlement = world.settle_at(&proxy.url());
    world.wait_for(StateName::Submitted, &[front_run.id]).await;
    world.wait_for_mempool(1).await;
    world.anvil.drop_pending().await;
    let call = chain::transfer(&signed.authorization, &signed.signature);
    let theirs = world.anvil.transact(call.target, &call.input).await;

    let others = ids(&world.approved_many(2).await);
    world.anvil.set_interval(Some(Duration::from_secs(1))).await;
    world.wait_for(StateName::Settled, &others).await;

    assert_eq!(world.load(front_run.id).await.state.name(), StateName::Submitted);
    proxy.behave();
    let settled = world.wait_for(StateName::Settled, &[front_run.id]).await;
    assert_eq!(settled[0].state.inclusion().unwrap().tx_hash, theirs);
    settlement.stop().await;
}

#[tokio::test]
async fn an_approved_payment_that_cannot_be_traced_does_not_hold_up_its_round() {
    let world = World::start().await;
    let proxy = FaultyNode::before(world.anvil.url()).await;
    proxy.obey(|method, _| match method {
        "eth_getLogs" => Fate::Refused("query exceeds the range of blocks that is served"),
        _ => Fate::Passed,
    });
    let buyer = Buyer::new();
    world.anvil.mint(buyer.address(), 100u64).await;
    let signed = world.sign(&buyer, 100);
    let used = world.approve(&signed).await;
    let call = chain::transfer(&signed.authorization, &signed.signature);
    world.anvil.transact(call.target, &call.input).await;
    let others = ids(&world.approved_many(3).await);
    let mut together = others.clone();
    together.push(used.id);
    world.ring(&world.queue(), &together).await;

    let settlement = world.settle_at(&proxy.url());
    dealt_with(&world, used.id).await;

    for other in &others {
        assert_ne!(world.load(*other).await.state.name(), StateName::Approved);
    }
    proxy.behave();
    world.wait_for(StateName::Settled, &together).await;
    world.assert_ledger_is_chain(&together).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_used_authorization_whose_log_is_not_found_is_not_refused() {
    let world = World::start().await;
    let proxy = FaultyNode::before(world.anvil.url()).await;
    proxy.obey(|method, _| match method {
        "eth_getLogs" => Fate::Answered(json!([])),
        _ => Fate::Passed,
    });
    let buyer = Buyer::new();
    world.anvil.mint(buyer.address(), 100u64).await;
    let signed = world.sign(&buyer, 100);
    let payment = world.approve(&signed).await;
    let call = chain::transfer(&signed.authorization, &signed.signature);
    world.anvil.transact(call.target, &call.input).await;
    let settlement = world.settle_at(&proxy.url());

    dealt_with(&world, payment.id).await;
    assert_eq!(world.load(payment.id).await.state.name(), StateName::Approved);

    proxy.behave();
    world.wait_for(StateName::Settled, &[payment.id]).await;
    world.assert_ledger_is_chain(&[payment.id]).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_payment_does_not_expire_by_the_word_of_a_node_that_lags() {
    let world = World::start().await;
    let proxy = FaultyNode::before(world.anvil.url()).await;
    let buyer = Buyer::new();
    world.anvil.mint(buyer.address(), 100u64).await;
    let signed = buyer.authorize().pay_to(world.pay_to).amount(100u64).valid_for(4).sign();
    let payment = world.approve(&signed).await;
    let before = world.anvil.block_number().await;
    let call = chain::transfer(&signed.authorization, &signed.signature);
    world.anvil.transact(call.target, &call.input).await;
    // Blocks are told of as they come; only what contracts say is old.
    proxy.obey(move |method, params| {
        if method == "eth_call" {
            params[1] = json!(format!("{before:#x}"));
        }
        Fate::Passed
    });
    testkit::eventually(DEADLINE, || async {
        let block = world.anvil.rpc("eth_getBlockByNumber", json!(["latest", false])).await;
        let digits = block["timestamp"].as_str()?.trim_start_matches("0x").to_owned();
        let time = i64::from_str_radix(&digits, 16).ok()?;
        (time > signed.authorization.valid_before).then_some(())
    })
    .await;
    let settlement = world.settle_at(&proxy.url());
    dealt_with(&world, payment.id).await;
    assert_eq!(world.load(payment.id).await.state.name(), StateName::Approved);

    proxy.behave();

    world.wait_for(StateName::Settled, &[payment.id]).await;
    world.assert_ledger_is_chain(&[payment.id]).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_node_that_always_asks_for_more_is_not_given_more_with_each_answer() {
    let world = World::on(Anvil::builder().mined_by_hand()).await;
    let proxy = FaultyNode::before(world.anvil.url()).await;
    proxy.obey(|method, _| match method {
        "eth_sendRawTransaction" => Fate::Refused("transaction underpriced"),
        _ => Fate::Passed,
    });
    let payment = world.approved(100).await;
    let settlement = world.settle_at(&proxy.url());

    dealt_with(&world, payment.id).await;

    let attempts = world.newest_transaction().await.unwrap().attempts.len();
    assert_eq!(attempts, 2, "one offer, and one more for this block");
    proxy.behave();
    world.anvil.set_interval(Some(Duration::from_secs(1))).await;
    world.wait_for(StateName::Settled, &[payment.id]).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_payload_that_no_node_takes_leaves_its_nonce_even_at_the_highest_price() {
    let mut world = World::start().await;
    let block = world.anvil.rpc("eth_getBlockByNumber", json!(["latest", false])).await;
    let digits = block["baseFeePerGas"].as_str().unwrap().trim_start_matches("0x");
    world.policy.max_fee_per_gas = u128::from_str_radix(digits, 16).unwrap() * 2;
    let proxy = FaultyNode::before(world.anvil.url()).await;
    proxy.obey(|method, params| match method {
        // A payload is longer than the transfer of nothing that replaces it.
        "eth_sendRawTransaction" if params[0].as_str().unwrap().len() > 500 => {
            Fate::Refused("exceeds block gas limit")
        }
        _ => Fate::Passed,
    });
    let payment = world.approved(100).await;
    let settlement = world.settle_at(&proxy.url());
    dealt_with(&world, payment.id).await;

    let signer = world.signer();
    testkit::eventually(DEADLINE, || async {
        (world.anvil.nonce_of(signer).await >= 1).then_some(())
    })
    .await;
    proxy.behave();

    world.wait_for(StateName::Settled, &[payment.id]).await;
    world.assert_ledger_is_chain(&[payment.id]).await;
    settlement.stop().await;
}

#[tokio::test]
async fn answers_to_broadcasts_that_are_lost_pay_nobody_twice() {
    let world = World::start().await;
    let proxy = FaultyNode::before(world.anvil.url()).await;
    proxy.obey(|method, _| match method {
        "eth_sendRawTransaction" => Fate::Lost,
        _ => Fate::Passed,
    });
    let payments = ids(&world.approved_many(5).await);
    let settlement = world.settle_at(&proxy.url());

    world.wait_for(StateName::Settled, &payments).await;

    world.assert_ledger_is_chain(&payments).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_payment_that_waits_for_a_finality_that_the_node_does_not_know_waits_alone() {
    let world = World::start().await;
    let proxy = FaultyNode::before(world.anvil.url()).await;
    proxy.obey(|method, params| match method {
        "eth_getBlockByNumber" if params[0] == "safe" => Fate::Refused("unknown block tag"),
        _ => Fate::Passed,
    });
    let payments = ids(&world.approved_many(3).await);
    let choosy = "update payments set finality = 'safe' where id = (select min(id::text)::uuid from payments)";
    sqlx::raw_sql(choosy).execute(world.store().pool()).await.unwrap();
    let (safe, others) = payments.split_first().unwrap();
    world.ring(&world.queue(), &payments).await;
    let settlement = world.settle_at(&proxy.url());

    world.wait_for(StateName::Settled, others).await;

    assert_eq!(world.load(*safe).await.state.name(), StateName::Confirmed);
    settlement.stop().await;
}
