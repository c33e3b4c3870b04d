//! A transaction is given to two nodes, and their answers are one.

use chain::{HttpClient, Node, NodeConfig, SendAnswer};
use testkit::Fate;

use crate::stage::{Actor, NEVER, config, network, nonce, open};

const SEND: &str = "eth_sendRawTransaction";

#[tokio::test]
async fn a_transaction_is_given_to_two_nodes() {
    let actors =
        [Actor::with_nonce(1).await, Actor::with_nonce(2).await, Actor::with_nonce(3).await];
    let [first, second, third] = &actors;
    let node = network(&[first, second, third]);

    assert_eq!(node.send(&[1, 2, 3]).await, SendAnswer::Accepted);

    testkit::eventually(crate::stage::DEADLINE, || async {
        (first.asked(SEND) == 1 && second.asked(SEND) == 1).then_some(())
    })
    .await;
    assert_eq!(third.asked(SEND), 0);
}

#[tokio::test]
async fn a_node_that_keeps_failing_is_given_nothing_while_there_are_others() {
    let actors =
        [Actor::with_nonce(1).await, Actor::with_nonce(2).await, Actor::with_nonce(3).await];
    let [first, second, third] = &actors;
    let node = network(&[first, second, third]);
    first.fails(Fate::Status(503));
    for _ in 0..3 {
        assert_eq!(nonce(&node).await.unwrap(), 2);
    }
    second.answers(SEND, Fate::Refused("nonce too low"));
    third.answers(SEND, Fate::Refused("nonce too low"));

    assert_eq!(node.send(&[1, 2, 3]).await, SendAnswer::NonceTooLow);

    assert_eq!((first.asked(SEND), second.asked(SEND), third.asked(SEND)), (0, 1, 1));
}

#[tokio::test]
async fn a_transaction_is_given_to_somebody_even_when_all_have_failed() {
    let (first, second) = (Actor::with_nonce(1).await, Actor::with_nonce(2).await);
    let node = network(&[&first, &second]);
    first.fails(Fate::Status(503));
    second.fails(Fate::Status(503));
    for _ in 0..4 {
        nonce(&node).await.unwrap_err();
    }

    first.recovers();
    second.recovers();

    assert_eq!(node.send(&[1, 2, 3]).await, SendAnswer::Accepted);
}

#[tokio::test]
async fn when_one_has_taken_it_a_silent_one_is_not_waited_for() {
    let (first, second) = (Actor::with_nonce(1).await, Actor::with_nonce(2).await);
    let node = open(NodeConfig { timeout: NEVER, ..config(&[&first, &second]) });
    first.answers(SEND, Fate::Ignored);
    assert_eq!(node.send(&[1, 2, 3]).await, SendAnswer::Accepted);
}

#[tokio::test]
async fn what_one_refuses_and_another_may_have_taken_is_not_refused() {
    let (first, second) = (Actor::with_nonce(1).await, Actor::with_nonce(2).await);
    let node = network(&[&first, &second]);
    first.answers(SEND, Fate::Refused("exceeds block gas limit"));
    second.answers(SEND, Fate::Status(502));
    assert!(matches!(node.send(&[1, 2, 3]).await, SendAnswer::Unknown(_)));
}

#[tokio::test]
async fn a_node_that_takes_no_transactions_does_not_keep_others_from_refusing_one() {
    let (first, second) = (Actor::with_nonce(1).await, Actor::with_nonce(2).await);
    let node = network(&[&first, &second]);
    first.answers(SEND, Fate::Refused("exceeds block gas limit"));
    second.answers(SEND, Fate::Refused("method not found"));
    assert!(matches!(node.send(&[1, 2, 3]).await, SendAnswer::Rejected(_)));
}

#[tokio::test]
async fn a_node_that_is_gone_ends_what_it_left_behind() {
    let (first, second) = (Actor::with_nonce(1).await, Actor::with_nonce(2).await);
    // Its connections outlive the node.
    let http = HttpClient::new();
    let config = NodeConfig { timeout: NEVER, ..config(&[&first, &second]) };
    let node = Node::new(&http, config).unwrap();
    first.answers(SEND, Fate::Ignored);
    assert_eq!(node.send(&[1, 2, 3]).await, SendAnswer::Accepted);
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let with_it = tasks();

    drop(node);

    testkit::eventually(crate::stage::DEADLINE, || async { (tasks() < with_it).then_some(()) })
        .await;
}
