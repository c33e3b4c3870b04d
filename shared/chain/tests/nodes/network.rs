//! A node on another network is not used for anything.

use chain::{ChainError, SendAnswer};
use testkit::Fate;

use crate::stage::{Actor, CHAIN, answers_with, network, nonce, watchful};

#[tokio::test]
async fn a_node_on_another_network_is_asked_for_nothing_but_its_network() {
    let (first, second) = (Actor::with_nonce(1).await, Actor::with_nonce(2).await);
    first.is_on(1);
    let node = network(&[&first, &second]);

    assert_eq!(nonce(&node).await.unwrap(), 2);
    assert_eq!(node.head().await.unwrap().number, 10);
    assert_eq!(node.send(&[1, 2, 3]).await, SendAnswer::Accepted);

    assert_eq!(first.methods(), ["eth_chainId"]);
}

#[tokio::test]
async fn a_single_node_on_another_network_is_used_once_it_is_on_the_right_one() {
    let only = Actor::with_nonce(1).await;
    only.is_on(1);
    let node = network(&[&only]);
    assert!(matches!(nonce(&node).await, Err(ChainError::WrongNetwork { found: 1 })));
    assert!(matches!(node.send(&[1]).await, SendAnswer::Unknown(_)));
    assert_eq!(only.methods(), ["eth_chainId"]);

    only.is_on(CHAIN);

    assert_eq!(nonce(&node).await.unwrap(), 1);
}

#[tokio::test]
async fn a_node_that_was_away_is_asked_again_for_its_network() {
    let (first, second) = (Actor::with_nonce(1).await, Actor::with_nonce(2).await);
    let node = network(&[&first, &second]);
    assert_eq!(nonce(&node).await.unwrap(), 1);
    first.fails(Fate::Status(502));
    assert_eq!(nonce(&node).await.unwrap(), 2);

    // Another one stands there now.
    first.recovers();
    first.is_on(1);

    assert_eq!(nonce(&node).await.unwrap(), 2);
    assert_eq!(first.asked("eth_getTransactionCount"), 2, "before, and while it was away");
}

#[tokio::test]
async fn a_node_that_moved_to_the_right_network_is_used() {
    let (first, second) = (Actor::with_nonce(1).await, Actor::with_nonce(2).await);
    first.is_on(1);
    let node = watchful(&[&first, &second]);
    assert_eq!(nonce(&node).await.unwrap(), 2);
    first.is_on(CHAIN);
    answers_with(&node, 1).await;
}

#[tokio::test]
async fn a_network_is_ready_while_one_of_its_urls_is() {
    for fate in [Some(Fate::Status(503)), Some(Fate::Ignored), None] {
        let (first, second) = (Actor::with_nonce(1).await, Actor::with_nonce(2).await);
        let node = network(&[&first, &second]);
        let case = format!("{fate:?}");
        match fate {
            Some(fate) => first.fails(fate),
            None => first.is_on(1),
        }
        assert!(node.is_on_its_network().await.is_ok(), "{case}");
        second.is_on(1);
        first.fails(Fate::Status(503));
        assert!(node.is_on_its_network().await.is_err(), "{case}");
    }
}
