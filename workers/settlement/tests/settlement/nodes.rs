//! A network behind several URLs: some die, lag, lie or swallow, and everybody is paid once.

use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::StateName;
use serde_json::{Value, json};
use testkit::{Anvil, Fate, FaultyNode};

use crate::node_faults::{asked_often, counted, lags_at};
use crate::world::{World, ids};

/// Short enough for a test to see a node used again.
const REST: Duration = Duration::from_secs(1);

/// Longer than any test.
const LONG_REST: Duration = Duration::from_secs(3_600);

const STRAIGHT: [&str; 5] = ["accepted", "approved", "submitted", "confirmed", "settled"];

async fn two_nodes(world: &World) -> (FaultyNode, FaultyNode) {
    let url = world.anvil.url();
    tokio::join!(FaultyNode::before(url.clone()), FaultyNode::before(url))
}

#[tokio::test]
async fn when_the_preferred_node_dies_the_second_takes_over_until_it_is_back() {
    let world = World::start().await;
    let (first, second) = two_nodes(&world).await;
    let mut payments = ids(&world.approved_many(2).await);
    let settlement = world.settle_behind(&[first.url(), second.url()], REST);
    world.wait_for(StateName::Submitted, &payments).await;

    first.obey(|_, _| Fate::Status(502));
    payments.extend(ids(&world.approved_many(3).await));
    world.wait_for(StateName::Settled, &payments).await;

    let (asked, rule) = counted("eth_estimateGas", |_, _| Fate::Passed);
    first.obey(rule);
    for _ in 0..20 {
        if asked.load(Ordering::Relaxed) == 0 {
            payments.push(world.approved(100).await.id);
            world.wait_for(StateName::Settled, &payments).await;
        }
    }

    assert!(asked.load(Ordering::Relaxed) > 0);
    world.assert_ledger_is_chain(&payments).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_preferred_node_that_lags_decides_nothing_and_payments_settle_by_the_second() {
    let mut world = World::start().await;
    world.policy.confirmations = 2;
    let (first, second) = two_nodes(&world).await;
    let (asked, rule) = counted("eth_getBlockByNumber", lags_at(world.anvil.block_number().await));
    first.obey(rule);
    let payments = ids(&world.approved_many(3).await);
    let settlement = world.settle_behind(&[first.url(), second.url()], REST);

    world.wait_for(StateName::Settled, &payments).await;

    assert!(asked.load(Ordering::Relaxed) > 0);
    for payment in &payments {
        assert_eq!(world.states(*payment).await, STRAIGHT);
    }
    world.assert_ledger_is_chain(&payments).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_node_that_begins_to_lag_in_the_middle_undoes_nothing() {
    let mut world = World::on(Anvil::builder().mined_by_hand()).await;
    world.policy.confirmations = 3;
    let (first, second) = two_nodes(&world).await;
    let payment = world.approved(100).await;
    let settlement = world.settle_behind(&[first.url(), second.url()], REST);
    world.wait_for(StateName::Submitted, &[payment.id]).await;
    world.wait_for_mempool(1).await;
    world.anvil.mine(1).await;
    world.wait_for(StateName::Confirmed, &[payment.id]).await;

    let (asked, rule) =
        counted("eth_getBlockByNumber", lags_at(world.anvil.block_number().await - 1));
    first.obey(rule);
    asked_often(&asked, 10).await;
    world.anvil.mine(2).await;

    world.wait_for(StateName::Settled, &[payment.id]).await;
    assert_eq!(world.states(payment.id).await, STRAIGHT);
    world.assert_ledger_is_chain(&[payment.id]).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_lane_that_starts_takes_no_nonces_from_a_node_that_lags() {
    let world = World::start().await;
    let before = world.anvil.block_number().await;
    let mut payments = Vec::new();
    let settlement = world.settle();
    for _ in 0..2 {
        payments.push(world.approved(100).await.id);
        world.wait_for(StateName::Settled, &payments).await;
    }
    settlement.stop().await;
    world.anvil.mine(5).await;
    let (first, second) = two_nodes(&world).await;
    let mut lags = lags_at(before);
    let (asked, rule) = counted("eth_getTransactionCount", move |method, params| match method {
        "eth_getTransactionCount" => Fate::Answered(json!("0x0")),
        _ => lags(method, params),
    });
    first.obey(rule);

    payments.push(world.approved(100).await.id);
    let settlement = world.settle_behind(&[first.url(), second.url()], REST);
    world.wait_for(StateName::Settled, &payments).await;

    assert_eq!(asked.load(Ordering::Relaxed), 0);
    world.assert_ledger_is_chain(&payments).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_node_that_tells_of_a_block_of_the_future_is_passed_over() {
    let world = World::start().await;
    let (first, second) = two_nodes(&world).await;
    let (asked, rule) = counted("eth_getBlockByNumber", |method, params| match method {
        "eth_getBlockByNumber" if params[0] == "latest" => Fate::Answered(json!({
            "number": "0xffffff",
            "hash": domain::B256::repeat_byte(7),
            "parentHash": domain::B256::repeat_byte(6),
            "timestamp": "0xffffffffff",
            "baseFeePerGas": "0x1",
        })),
        _ => Fate::Passed,
    });
    first.obey(rule);
    let payments = ids(&world.approved_many(3).await);
    let settlement = world.settle_behind(&[first.url(), second.url()], LONG_REST);

    world.wait_for(StateName::Settled, &payments).await;

    assert!(asked.load(Ordering::Relaxed) > 0);
    world.assert_ledger_is_chain(&payments).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_node_that_takes_transactions_and_never_says_so_pays_nobody_twice() {
    let world = World::start().await;
    let (first, second) = two_nodes(&world).await;
    first.obey(|method, _| match method {
        "eth_sendRawTransaction" => Fate::Swallowed,
        _ => Fate::Passed,
    });
    second.obey(|method, _| match method {
        "eth_sendRawTransaction" => Fate::Lost,
        _ => Fate::Passed,
    });
    let payments = ids(&world.approved_many(5).await);
    let settlement = world.settle_behind(&[first.url(), second.url()], REST);

    world.wait_for(StateName::Settled, &payments).await;

    world.assert_ledger_is_chain(&payments).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_preferred_node_that_answers_rubbish_is_passed_over() {
    let world = World::start().await;
    let (first, second) = two_nodes(&world).await;
    let mut payments = Vec::new();
    for fate in [
        Fate::Rubbish("<html>welcome</html>"),
        Fate::Rubbish("[]"),
        Fate::Rubbish(r#"{"jsonrpc":"2.0","id":0}"#),
        Fate::Answered(Value::Null),
        Fate::Answered(json!({"neither": "a number", "nor": ["a block"]})),
    ] {
        let (asked, rule) = counted("eth_chainId", move |_, _| fate.clone());
        first.obey(rule);
        let settlement = world.settle_behind(&[first.url(), second.url()], REST);
        payments.push(world.approved(100).await.id);
        world.wait_for(StateName::Settled, &payments).await;
        assert!(asked.load(Ordering::Relaxed) > 0);
        settlement.stop().await;
    }
    world.assert_ledger_is_chain(&payments).await;
}

#[tokio::test]
async fn a_node_whose_answers_are_rubbish_only_after_its_network_is_passed_over() {
    let world = World::start().await;
    let (first, second) = two_nodes(&world).await;
    first.obey(|method, _| match method {
        "eth_chainId" => Fate::Passed,
        "eth_sendRawTransaction" => Fate::Answered(json!("not a hash")),
        _ => Fate::Answered(json!({"neither": "a number", "nor": ["a block"]})),
    });
    let payments = ids(&world.approved_many(3).await);
    let settlement = world.settle_behind(&[first.url(), second.url()], REST);

    world.wait_for(StateName::Settled, &payments).await;

    world.assert_ledger_is_chain(&payments).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_node_on_another_network_is_given_nothing() {
    let world = World::start().await;
    let (first, second) = two_nodes(&world).await;
    let (given, rule) = counted("eth_sendRawTransaction", |method, _| match method {
        "eth_chainId" => Fate::Answered(json!("0x1")),
        _ => Fate::Passed,
    });
    first.obey(rule);
    let payments = ids(&world.approved_many(3).await);
    let settlement = world.settle_behind(&[first.url(), second.url()], REST);

    world.wait_for(StateName::Settled, &payments).await;

    assert_eq!(given.load(Ordering::Relaxed), 0);
    world.assert_ledger_is_chain(&payments).await;
    settlement.stop().await;
}

#[tokio::test]
async fn while_all_nodes_are_down_nothing_is_decided_and_then_everything_settles() {
    let mut world = World::on(Anvil::builder().mined_by_hand()).await;
    world.policy.confirmations = 3;
    let (first, second) = two_nodes(&world).await;
    let settlement = world.settle_behind(&[first.url(), second.url()], LONG_REST);
    let confirmed = world.approved(100).await.id;
    world.wait_for(StateName::Submitted, &[confirmed]).await;
    world.wait_for_mempool(1).await;
    world.anvil.mine(1).await;
    world.wait_for(StateName::Confirmed, &[confirmed]).await;
    let submitted = world.approved(100).await.id;
    world.wait_for(StateName::Submitted, &[submitted]).await;
    world.wait_for_mempool(1).await;

    let (first_asked, rule) = counted("eth_chainId", |_, _| Fate::Status(502));
    first.obey(rule);
    let (second_asked, rule) = counted("eth_chainId", |_, _| Fate::Status(429));
    second.obey(rule);
    let approved = world.approved(100).await.id;
    let payments = [confirmed, submitted, approved];
    world.ring(&world.queue(), &payments).await;
    // There would be much to decide.
    world.anvil.mine(5).await;
    asked_often(&first_asked, 10).await;
    asked_often(&second_asked, 10).await;
    for (payment, state) in
        payments.into_iter().zip([StateName::Confirmed, StateName::Submitted, StateName::Approved])
    {
        assert_eq!(world.load(payment).await.state.name(), state);
    }

    first.behave();
    second.behave();
    world.anvil.set_interval(Some(Duration::from_secs(1))).await;
    world.wait_for(StateName::Settled, &payments).await;
    for payment in payments {
        assert_eq!(world.states(payment).await, STRAIGHT);
    }
    world.assert_ledger_is_chain(&payments).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_network_whose_nodes_all_hang_goes_on_when_one_of_them_answers() {
    let world = World::start().await;
    let (first, second) = two_nodes(&world).await;
    let hangs = |_: &str, _: &mut Value| Fate::Ignored;
    let (asked, rule) = counted("eth_chainId", hangs);
    first.obey(hangs);
    second.obey(rule);
    let payments = ids(&world.approved_many(3).await);
    let settlement = world.settle_behind(&[first.url(), second.url()], LONG_REST);
    asked_often(&asked, 2).await;
    for payment in &payments {
        assert_eq!(world.load(*payment).await.state.name(), StateName::Approved);
    }

    second.behave();

    world.wait_for(StateName::Settled, &payments).await;
    world.assert_ledger_is_chain(&payments).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_single_node_that_is_back_is_used_at_once() {
    let world = World::start().await;
    let only = FaultyNode::before(world.anvil.url()).await;
    let payments = ids(&world.approved_many(3).await);
    let settlement = world.settle_behind(&[only.url()], LONG_REST);
    world.wait_for(StateName::Submitted, &payments).await;

    let (asked, rule) = counted("eth_chainId", |_, _| Fate::Status(502));
    only.obey(rule);
    asked_often(&asked, 10).await;
    only.behave();

    world.wait_for(StateName::Settled, &payments).await;
    world.assert_ledger_is_chain(&payments).await;
    settlement.stop().await;
}
