//! Ledger and chain compared: equal, and after each kind of tampering.

mod books;

use chain::ChainError;
use domain::{Event, FailureCode, StateName};
use reconciler::audit::Unfinished;
use serde_json::json;
use testkit::{Fate, FaultyNode};

pub(crate) use self::books::Books;

#[tokio::test]
async fn a_ledger_that_says_what_the_chain_says_is_equal_to_it() {
    let books = Books::open().await;
    for _ in 0..3 {
        books.settled().await;
    }
    // Paid by a stranger's transaction is paid.
    let signed = books.signed().await;
    let paid = books.approved(&signed).await;
    books.settle_as_paid_by(&paid, books.send_as_stranger(&signed).await).await;
    // Mined, and nobody has followed it so far.
    books.submitted().await;
    // Ended, because its authorization went to somebody else.
    let buyer = books.buyer().await;
    let signed = books.sign(&buyer);
    let spent = books.approved(&signed).await;
    let nonce = signed.authorization.nonce;
    let diverted = buyer.authorize().nonce(nonce).amount(100u64).sign();
    books.send_as_stranger(&diverted).await;
    books.apply(&spent, Event::Rejected(FailureCode::AuthorizationUsed)).await;
    // None of ours.
    books.send_as_stranger(&books.signed().await).await;

    let audit = books.audit().await;

    assert_eq!(audit.kinds(), [""; 0], "{audit:?}");
    let tally = audit.finished();
    assert_eq!((tally.payments, tally.transactions, tally.uses), (4, 3, 6));
    assert_eq!(tally.blocks, books.newest_final().await + 1);
}

#[tokio::test]
async fn what_permit2_paid_is_compared_with_the_transfer_that_the_ledger_names() {
    let books = Books::open().await;
    let mut payments = Vec::new();
    for _ in 0..2 {
        let signed = books.signed_for_permit2().await;
        let payment = books.approved(&signed).await;
        books.settle_as_paid_by(&payment, books.send_as_stranger(&signed).await).await;
        payments.push(payment);
    }
    books.tamper(&payments[1], "amount = amount + 1").await;

    let audit = books.audit().await;

    assert_eq!(audit.kinds(), ["not_paid"], "{audit:?}");
    assert_eq!(audit.finished().payments, 2);
}

#[tokio::test]
async fn what_was_paid_up_to_an_amount_is_compared_with_what_was_asked() {
    let books = Books::open().await;
    let mut payments = Vec::new();
    for _ in 0..2 {
        let signed = books.signed_up_to_twice_as_much().await;
        let payment = books.approved(&signed).await;
        books.settle_as_paid_by(&payment, books.send_as_stranger(&signed).await).await;
        payments.push(payment);
    }
    // As if all that was signed had been asked.
    books.tamper(&payments[1], "amount = upto_amount").await;

    let audit = books.audit().await;

    assert_eq!(audit.kinds(), ["not_paid"], "{audit:?}");
    assert_eq!(audit.finished().payments, 2);
}

#[tokio::test]
async fn a_place_that_is_not_where_the_token_paid_is_a_difference() {
    let books = Books::open().await;
    let payments = [books.settled().await, books.settled().await, books.settled().await];
    books.settled().await;
    books.tamper(&payments[0], "log_index = log_index + 1").await;
    books.tamper(&payments[1], "block_hash = sha256('another')").await;
    books.tamper(&payments[2], "amount = amount + 1").await;

    let audit = books.audit().await;

    assert_eq!(audit.kinds(), ["not_paid", "wrong_block", "wrong_log"]);
    assert_eq!(audit.finished().differences, 3);
}

#[tokio::test]
async fn a_transaction_that_its_block_does_not_hold_is_a_difference() {
    let books = Books::open().await;
    let payment = books.settled().await;
    books.tamper(&payment, "tx_hash = sha256('another')").await;
    books.sql("update chain_transactions set mined_hash = sha256('another')").await;

    assert_eq!(books.audit().await.kinds(), ["no_transaction", "not_mined", "used_elsewhere"]);
}

#[tokio::test]
async fn a_payment_that_ended_although_it_was_paid_is_a_difference() {
    for state in [StateName::Expired, StateName::Canceled] {
        let books = Books::open().await;
        let payment = books.settled().await;
        let ended = format!(
            "state = '{state}', tx_hash = null, log_index = null, block_number = null,
             block_hash = null"
        );
        books.tamper(&payment, &ended).await;

        assert_eq!(books.audit().await.kinds(), ["paid_but_ended"]);
    }
}

#[tokio::test]
async fn an_authorization_that_a_transaction_of_ours_used_for_no_payment_is_a_difference() {
    let books = Books::open().await;
    books.settled().await;
    let hash = books.send_as_stranger(&books.signed().await).await.tx_hash;
    assert_eq!(books.audit().await.kinds(), [""; 0]);

    books.sign_afterwards(hash).await;

    assert_eq!(books.audit().await.kinds(), ["unknown_use"]);
}

#[tokio::test]
async fn two_payments_settled_in_one_place_are_a_difference() {
    let books = Books::open().await;
    let (first, second) = (books.settled().await, books.settled().await);
    let place = format!(
        "(tx_hash, log_index, block_number, block_hash) =
         (select tx_hash, log_index, block_number, block_hash from payments where id = '{}')",
        first.id.uuid(),
    );
    books.tamper(&second, &place).await;

    assert_eq!(books.audit().await.kinds(), ["doubled", "not_paid", "used_elsewhere"]);
}

#[tokio::test]
async fn blocks_that_were_not_asked_for_are_not_compared() {
    let books = Books::open().await;
    let payment = books.settled().await;
    books.tamper(&payment, "log_index = log_index + 1").await;
    let recorded = payment.state.inclusion().unwrap().block_number;

    let audit = books.audit_blocks(&books.anvil.url(), 0, recorded - 1).await;

    assert_eq!(audit.kinds(), [""; 0]);
}

#[tokio::test]
async fn a_node_without_receipts_by_block_is_asked_for_each() {
    let books = Books::open().await;
    let (wrong, moved) = (books.settled().await, books.settled().await);
    books.settled().await;
    books.tamper(&wrong, "log_index = log_index + 1").await;
    books.tamper(&moved, "block_number = block_number - 1").await;
    let node = FaultyNode::before(books.anvil.url()).await;
    node.obey(|method, _| match method {
        "eth_getBlockReceipts" => Fate::Refused("the method does not exist"),
        _ => Fate::Passed,
    });

    let audit = books.audit_by(&node.url()).await;

    assert_eq!(audit.kinds(), ["used_elsewhere", "wrong_block", "wrong_log"]);
    assert_eq!(audit.finished().payments, 3);
}

#[tokio::test]
async fn a_node_that_refuses_long_ranges_is_asked_for_shorter_ones() {
    let books = Books::open().await;
    let payment = books.settled().await;
    // More refusals follow each other than a node that is away is given attempts.
    books.anvil.mine(300).await;
    books.settled().await;
    books.tamper(&payment, "log_index = log_index + 1").await;
    let node = FaultyNode::before(books.anvil.url()).await;
    node.obey(|method, params| {
        let height = |name: &str| {
            let text = params[0][name].as_str().unwrap();
            u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
        };
        match method {
            "eth_getLogs" if height("toBlock") - height("fromBlock") >= 3 => {
                Fate::Refused("query returned more than 10000 results")
            }
            _ => Fate::Passed,
        }
    });

    let audit = books.audit_by(&node.url()).await;

    assert_eq!(audit.kinds(), ["wrong_log"]);
    assert_eq!(audit.finished().blocks, books.newest_final().await + 1);
}

#[tokio::test]
async fn a_node_that_leaves_logs_out_proves_nothing() {
    let books = Books::open().await;
    books.settled().await;
    let node = FaultyNode::before(books.anvil.url()).await;
    node.obey(|method, _| match method {
        "eth_getLogs" => Fate::Answered(json!([])),
        _ => Fate::Passed,
    });

    let audit = books.audit_by(&node.url()).await;

    assert!(matches!(audit.end, Err(Unfinished::Contradiction { .. })), "{audit:?}");
}

#[tokio::test]
async fn a_node_that_leaves_receipts_out_proves_nothing() {
    let books = Books::open().await;
    books.settled().await;
    let node = FaultyNode::before(books.anvil.url()).await;
    node.obey(|method, _| match method {
        "eth_getBlockReceipts" => Fate::Answered(json!([])),
        "eth_getTransactionReceipt" => Fate::Answered(json!(null)),
        _ => Fate::Passed,
    });

    let audit = books.audit_by(&node.url()).await;

    assert!(matches!(audit.end, Err(Unfinished::Chain(ChainError::Unreadable(_)))), "{audit:?}");
    assert_eq!(audit.kinds(), [""; 0]);
}

#[tokio::test]
async fn a_node_that_lags_proves_nothing_until_it_has_caught_up() {
    let books = Books::open().await;
    books.settled().await;
    let node = FaultyNode::before(books.anvil.url()).await;
    let lagging = |looks: u32| {
        let mut left = looks;
        move |method: &str, _: &mut serde_json::Value| match method {
            "eth_getBlockByNumber" if left > 0 => {
                left -= 1;
                Fate::Answered(json!(null))
            }
            _ => Fate::Passed,
        }
    };

    node.obey(lagging(u32::MAX));
    let audit = books.audit_by(&node.url()).await;
    assert!(matches!(audit.end, Err(Unfinished::Chain(ChainError::Behind))), "{audit:?}");

    node.obey(lagging(2));
    assert_eq!(books.audit_by(&node.url()).await.finished().payments, 1);
}

#[tokio::test]
async fn a_node_that_is_away_or_on_another_chain_is_not_equal_to_the_ledger() {
    let books = Books::open().await;
    let node = FaultyNode::before(books.anvil.url()).await;
    for fate in [Fate::Answered(json!("0x1")), Fate::Rubbish("<html>"), Fate::Lost] {
        let told = fate.clone();
        node.obey(move |_, _| told.clone());
        let audit = books.audit_by(&node.url()).await;
        assert!(matches!(audit.end, Err(Unfinished::Chain(_))), "{fate:?}: {audit:?}");
        assert_eq!(audit.tally.blocks, 0);
    }
}
