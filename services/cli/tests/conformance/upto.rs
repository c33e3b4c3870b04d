//! Servers and buyers of version 2 who agree on an amount up to which is paid.

use serde_json::json;
use testkit::Buyer;

use crate::pipeline::{Pipeline, ticking};
use crate::stock::{Bought, Client, PRICE, Shop};

/// A buyer who lets Permit2 move this much money.
async fn buyer(pipeline: &Pipeline, money: u64) -> Buyer {
    let buyer = pipeline.buyer(money).await;
    pipeline.anvil.let_permit2_move(buyer.address(), money).await;
    buyer
}

/// Each was delivered, and told this amount.
fn assert_delivered(bought: &[Bought], amount: &str) {
    for one in bought {
        assert_eq!((one.status, &one.body), (200, &json!({"sold": true})), "{one:?}");
        assert_eq!(one.payment["success"], true, "{one:?}");
        assert_eq!(one.payment["amount"], amount, "{one:?}");
    }
}

#[tokio::test]
async fn what_is_taken_of_the_price_moves_and_its_buyer_is_told_the_transaction() {
    let pipeline = Pipeline::on(ticking(), 1, Vec::new()).await;
    let shop = Shop::up_to(&pipeline, "2500").await;
    let buyer = buyer(&pipeline, 3 * PRICE).await;

    let bought = shop.sell(Client::Version2, &buyer, 3).await;

    assert_delivered(&bought, "2500");
    let moved = pipeline.anvil.transfers_to(pipeline.pay_to).await;
    assert!(moved.iter().all(|moved| moved.amount == 2_500u64.into()), "{moved:?}");
    let mut moved: Vec<String> = moved.iter().map(|moved| moved.tx_hash.to_string()).collect();
    let mut told: Vec<String> = bought.iter().map(Bought::transaction).collect();
    moved.sort();
    told.sort();
    assert_eq!(told, moved, "the buyer was told other transactions than those that paid");
}

#[tokio::test]
async fn what_costs_nothing_in_the_end_is_delivered_without_a_transaction() {
    let pipeline = Pipeline::on(ticking(), 1, Vec::new()).await;
    let shop = Shop::up_to(&pipeline, "0").await;
    let buyer = buyer(&pipeline, PRICE).await;

    let bought = shop.sell(Client::Version2, &buyer, 1).await;

    assert_delivered(&bought, "0");
    assert_eq!(bought[0].transaction(), "");
    assert!(pipeline.anvil.transfers_to(pipeline.pay_to).await.is_empty());
}

#[tokio::test]
async fn a_server_that_takes_more_than_was_signed_gets_nothing() {
    let pipeline = Pipeline::on(ticking(), 1, Vec::new()).await;
    let shop = Shop::up_to(&pipeline, &(PRICE + 1).to_string()).await;
    let buyer = buyer(&pipeline, 2 * PRICE).await;

    let bought = shop.sell(Client::Version2, &buyer, 1).await;

    assert_eq!(bought[0].status, 402);
    let told = &shop.answers("/settle")[0]["errorReason"];
    assert_eq!(told, "invalid_upto_evm_payload_settlement_exceeds_amount");
    assert!(pipeline.anvil.transfers_to(pipeline.pay_to).await.is_empty());
}

#[tokio::test]
async fn a_buyer_whose_money_permit2_may_not_move_is_told_so() {
    let pipeline = Pipeline::on(ticking(), 1, Vec::new()).await;
    let shop = Shop::up_to(&pipeline, "2500").await;
    let buyer = pipeline.buyer(PRICE).await;

    let bought = shop.sell(Client::Version2, &buyer, 1).await;

    assert_eq!(bought[0].status, 412);
    assert_eq!(shop.answers("/verify")[0]["invalidReason"], "permit2_allowance_required");
    assert_eq!((shop.handled(), shop.answers("/settle").len()), (0, 0));
}
