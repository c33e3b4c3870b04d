//! What fails is asked of the next, and what keeps failing is left alone.

use std::time::Duration;

use chain::{Call, ChainError, NodeConfig};
use domain::Address;
use serde_json::{Value, json};
use testkit::Fate;

use crate::stage::{Actor, DEADLINE, answers_with, config, network, nonce, open, watchful};

const NONCE: &str = "eth_getTransactionCount";

async fn simulated(node: &chain::Node) -> Result<u64, ChainError> {
    let call = Call { target: Address::repeat_byte(2), input: Default::default() };
    node.simulate(Address::repeat_byte(1), &call).await
}

#[tokio::test]
async fn the_preferred_is_asked_and_the_others_are_left_in_peace() {
    let (first, second) = (Actor::with_nonce(1).await, Actor::with_nonce(2).await);
    let node = network(&[&first, &second]);

    for _ in 0..5 {
        assert_eq!(nonce(&node).await.unwrap(), 1);
    }

    assert_eq!((first.asked(NONCE), second.asked(NONCE)), (5, 0));
}

#[tokio::test]
async fn what_the_preferred_does_not_answer_is_asked_of_the_next_within_the_call() {
    let (first, second) = (Actor::with_nonce(1).await, Actor::with_nonce(2).await);
    for fate in [
        Fate::Status(503),
        Fate::Status(429),
        Fate::TurnedAway(401),
        Fate::TurnedAway(503),
        Fate::Rubbish(""),
        Fate::Rubbish("<html>bad gateway</html>"),
        Fate::Rubbish("{}"),
        Fate::Answered(Value::Null),
        Fate::Answered(json!(["not", "a", "nonce"])),
        Fate::Refused("rate limit reached"),
        Fate::Refused("header not found"),
        Fate::Refused("the method does not exist"),
    ] {
        let node = network(&[&first, &second]);
        first.answers(NONCE, fate.clone());
        assert_eq!(nonce(&node).await.unwrap(), 2, "{fate:?}");
    }
}

#[tokio::test]
async fn a_node_that_hangs_is_given_its_time_and_no_more() {
    let (first, second) = (Actor::with_nonce(1).await, Actor::with_nonce(2).await);
    let timeout = Duration::from_secs(1);
    let node = open(NodeConfig { timeout, ..config(&[&first, &second]) });
    first.answers(NONCE, Fate::Ignored);
    assert_eq!(nonce(&node).await.unwrap(), 2);
}

#[tokio::test]
async fn a_revert_is_an_answer() {
    let (first, second) = (Actor::with_nonce(1).await, Actor::with_nonce(2).await);
    let node = network(&[&first, &second]);
    first.answers("eth_estimateGas", Fate::Refused("execution reverted: paused"));

    for _ in 0..5 {
        assert!(matches!(simulated(&node).await, Err(ChainError::Reverted { .. })));
    }

    assert_eq!((first.asked("eth_estimateGas"), second.asked("eth_estimateGas")), (5, 0));
}

#[tokio::test]
async fn a_node_that_failed_three_times_is_left_alone() {
    let (first, second) = (Actor::with_nonce(1).await, Actor::with_nonce(2).await);
    let node = network(&[&first, &second]);
    first.answers(NONCE, Fate::Status(503));

    for _ in 0..5 {
        assert_eq!(nonce(&node).await.unwrap(), 2);
    }

    assert_eq!(first.asked(NONCE), 3);
}

#[tokio::test]
async fn what_a_node_does_not_do_does_not_count_against_it() {
    let (first, second) = (Actor::with_nonce(1).await, Actor::with_nonce(2).await);
    let node = network(&[&first, &second]);
    first.answers("eth_estimateGas", Fate::Refused("the method does not exist"));
    second.answers("eth_estimateGas", Fate::Answered(json!("0x5208")));

    for _ in 0..5 {
        assert_eq!(simulated(&node).await.unwrap(), 21_000);
    }

    assert_eq!(nonce(&node).await.unwrap(), 1);
}

#[tokio::test]
async fn the_preferred_is_used_again_when_it_is_well_again() {
    let (first, second) = (Actor::with_nonce(1).await, Actor::with_nonce(2).await);
    let node = watchful(&[&first, &second]);
    first.fails(Fate::Status(503));
    for _ in 0..5 {
        assert_eq!(nonce(&node).await.unwrap(), 2);
    }

    first.recovers();

    answers_with(&node, 1).await;
}

#[tokio::test]
async fn a_single_node_that_is_back_is_used_at_once() {
    let only = Actor::with_nonce(1).await;
    let node = network(&[&only]);
    only.fails(Fate::Status(503));
    for _ in 0..5 {
        nonce(&node).await.unwrap_err();
    }

    only.recovers();

    assert_eq!(nonce(&node).await.unwrap(), 1);
}

#[tokio::test]
async fn when_all_have_failed_each_has_its_turn_without_a_rest() {
    let (first, second) = (Actor::with_nonce(1).await, Actor::with_nonce(2).await);
    let node = network(&[&first, &second]);
    first.fails(Fate::Status(503));
    second.fails(Fate::Status(503));
    for _ in 0..5 {
        nonce(&node).await.unwrap_err();
    }

    second.recovers();

    answers_with(&node, 2).await;
}

#[tokio::test]
async fn no_more_than_three_are_asked_in_one_call() {
    let mut actors = Vec::new();
    for number in 0..5 {
        let actor = Actor::with_nonce(number).await;
        actor.answers(NONCE, Fate::Status(503));
        actors.push(actor);
    }
    let node = network(&actors.iter().collect::<Vec<_>>());

    nonce(&node).await.unwrap_err();

    assert_eq!(actors.iter().map(|actor| actor.asked(NONCE)).sum::<usize>(), 3);
}

#[tokio::test]
async fn of_many_callers_one_probes() {
    let (first, second) = (Actor::with_nonce(1).await, Actor::with_nonce(2).await);
    let node = watchful(&[&first, &second]);
    first.fails(Fate::Status(503));
    for _ in 0..3 {
        assert_eq!(nonce(&node).await.unwrap(), 2);
    }
    // It hangs, so that a probe stays under way.
    first.fails(Fate::Ignored);
    let probed = || first.asked("eth_chainId") + first.asked("eth_getBlockByNumber");
    let before = probed();
    testkit::eventually(DEADLINE, || async {
        let callers: Vec<_> = (0..16).map(|_| node.clone()).collect();
        let callers =
            callers.into_iter().map(|node| tokio::spawn(async move { nonce(&node).await }));
        for caller in callers.collect::<Vec<_>>() {
            assert_eq!(caller.await.unwrap().unwrap(), 2);
        }
        (probed() > before).then_some(())
    })
    .await;
    assert_eq!(probed(), before + 1);
}
