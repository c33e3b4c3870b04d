//! What a node that lags says, or does not know, is no evidence.

use chain::{AuthorizationUse, ChainError};
use domain::{Address, Amount, Authorization, B256, ChainId, TransferMethod};
use serde_json::{Value, json};
use testkit::Fate;

use crate::stage::{Actor, CHAIN, answers_with, network, nonce, receipt, watchful};

const NONCE: &str = "eth_getTransactionCount";
const RECEIPT: &str = "eth_getTransactionReceipt";

fn authorization() -> Authorization {
    Authorization {
        method: TransferMethod::Eip3009,
        chain: ChainId::new(CHAIN).unwrap(),
        asset: Address::repeat_byte(1),
        payer: Address::repeat_byte(2),
        pay_to: Address::repeat_byte(3),
        amount: Amount::from(100),
        valid_after: 0,
        valid_before: 10,
        nonce: B256::repeat_byte(4),
    }
}

#[tokio::test]
async fn the_head_does_not_go_back_because_another_node_answers() {
    let (first, second) = (Actor::with_nonce(1).await, Actor::with_nonce(2).await);
    let node = network(&[&first, &second]);
    assert_eq!(node.head().await.unwrap().number, 10);

    first.is_at(9);

    assert_eq!(node.head().await.unwrap().number, 10);
    assert_eq!(second.asked("eth_getBlockByNumber"), 2, "once at first, and once instead");
}

#[tokio::test]
async fn a_chain_that_is_shorter_than_it_was_is_noticed() {
    let (first, second) = (Actor::with_nonce(1).await, Actor::with_nonce(2).await);
    let node = network(&[&first, &second]);
    assert_eq!(node.head().await.unwrap().number, 10);

    first.is_at(8);
    second.is_at(9);

    assert_eq!(node.head().await.unwrap().number, 9, "the newest that anybody has");
    assert_eq!(node.head().await.unwrap().number, 9);
}

#[tokio::test]
async fn a_single_node_whose_chain_is_shorter_is_believed() {
    let only = Actor::with_nonce(1).await;
    let node = network(&[&only]);
    assert_eq!(node.head().await.unwrap().number, 10);
    only.is_at(8);
    assert_eq!(node.head().await.unwrap().number, 8);
}

#[tokio::test]
async fn while_only_one_that_is_behind_answers_there_is_no_head() {
    let (first, second) = (Actor::with_nonce(1).await, Actor::with_nonce(2).await);
    let node = network(&[&first, &second]);
    assert_eq!(node.head().await.unwrap().number, 10);

    first.fails(Fate::Status(503));
    second.is_at(9);
    node.head().await.unwrap_err();

    second.is_at(11);
    assert_eq!(node.head().await.unwrap().number, 11);
}

#[tokio::test]
async fn one_that_has_not_got_as_far_as_was_told_is_no_witness() {
    let (first, second) = (Actor::with_nonce(1).await, Actor::with_nonce(2).await);
    second.is_at(9);
    let node = network(&[&first, &second]);
    assert_eq!(node.head().await.unwrap().number, 10);
    first.answers(NONCE, Fate::Status(503));

    assert!(matches!(nonce(&node).await, Err(ChainError::Behind)));
    assert_eq!(second.asked(NONCE), 0);

    second.is_at(10);
    assert_eq!(nonce(&node).await.unwrap(), 2);
}

#[tokio::test]
async fn one_that_was_away_has_to_say_again_how_far_it_is() {
    let (first, second) = (Actor::with_nonce(1).await, Actor::with_nonce(2).await);
    let node = network(&[&first, &second]);
    assert_eq!(node.head().await.unwrap().number, 10);
    first.fails(Fate::Status(503));
    assert_eq!(nonce(&node).await.unwrap(), 2);

    // It was started again from an older state.
    first.recovers();
    first.is_at(8);

    assert_eq!(nonce(&node).await.unwrap(), 2);
}

#[tokio::test]
async fn a_preferred_node_that_lags_is_not_asked_until_it_has_caught_up() {
    let (first, second) = (Actor::with_nonce(1).await, Actor::with_nonce(2).await);
    first.is_at(6);
    let node = watchful(&[&first, &second]);
    for _ in 0..3 {
        assert_eq!(node.head().await.unwrap().number, 10);
        assert_eq!(nonce(&node).await.unwrap(), 2);
    }
    assert_eq!(first.asked(NONCE), 0);

    first.is_at(10);

    answers_with(&node, 1).await;
}

#[tokio::test]
async fn a_receipt_counts_wherever_it_is_and_its_absence_only_everywhere() {
    let hash = B256::repeat_byte(7);
    let found = || Fate::Answered(receipt(hash));
    let none = || Fate::Answered(Value::Null);
    for (first_says, second_says, expected) in [
        (none(), found(), Some(true)),
        (found(), none(), Some(true)),
        (Fate::Status(503), found(), Some(true)),
        (none(), none(), Some(false)),
        (none(), Fate::Status(503), None),
        (Fate::Refused("header not found"), none(), None),
    ] {
        let (first, second) = (Actor::with_nonce(1).await, Actor::with_nonce(2).await);
        let node = network(&[&first, &second]);
        let case = format!("{first_says:?} {second_says:?}");
        first.answers(RECEIPT, first_says);
        second.answers(RECEIPT, second_says);

        let answer = node.receipt_anywhere(hash).await;

        assert_eq!(answer.ok().map(|receipt| receipt.is_some()), expected, "{case}");
    }
}

#[tokio::test]
async fn a_use_is_not_found_only_when_nobody_who_keeps_up_finds_it() {
    let canceled = json!([{
        "address": Address::repeat_byte(1),
        // AuthorizationCanceled(address,bytes32)
        "topics": ["0x1cdd46ff242716cdaa72d159d339a485b3438398348d68f09d7c8c0a59353d81"],
        "data": "0x",
        "logIndex": "0x0",
        "transactionHash": B256::repeat_byte(7),
        "blockNumber": "0x5",
    }]);
    let spent = AuthorizationUse::Spent { block_number: 5 };
    let none = || Fate::Answered(json!([]));
    for (first_says, second_says, expected) in [
        (none(), Fate::Answered(canceled.clone()), Some(spent)),
        (Fate::Refused("not now"), Fate::Answered(canceled), Some(spent)),
        (none(), none(), Some(AuthorizationUse::NotFound)),
        (none(), Fate::Refused("exceeds the block range"), None),
        (Fate::Status(503), none(), None),
    ] {
        let (first, second) = (Actor::with_nonce(1).await, Actor::with_nonce(2).await);
        let node = network(&[&first, &second]);
        let case = format!("{first_says:?} {second_says:?}");
        first.answers("eth_getLogs", first_says);
        second.answers("eth_getLogs", second_says);

        let answer = node.find_use(&authorization()).await;

        assert_eq!(answer.ok(), expected, "{case}");
    }
}

#[tokio::test]
async fn logs_of_a_node_that_lags_are_no_witness() {
    let (first, second) = (Actor::with_nonce(1).await, Actor::with_nonce(2).await);
    let node = network(&[&first, &second]);
    node.head().await.unwrap();
    first.answers("eth_getLogs", Fate::Status(503));
    second.is_at(9);

    node.find_use(&authorization()).await.unwrap_err();

    assert_eq!(second.asked("eth_getLogs"), 0);
}
