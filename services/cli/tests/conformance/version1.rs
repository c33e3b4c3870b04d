//! Servers and buyers of version 1, on `x402-express` and `x402-fetch`.

use serde_json::json;
use x402::Version;

use crate::pipeline::{Pipeline, ticking};
use crate::stock::{Client, PRICE, Shop, assert_paid};

#[tokio::test]
async fn what_is_bought_is_delivered_with_the_transaction_that_moved_the_money() {
    let pipeline = Pipeline::on(ticking(), 1, Vec::new()).await;
    let shop = Shop::open(Version::V1, &pipeline).await;
    let buyer = pipeline.buyer(3 * PRICE).await;

    let bought = shop.sell(Client::Version1, &buyer, 3).await;

    assert_eq!((bought.len(), shop.network()), (3, "base-sepolia"));
    assert_paid(&pipeline, &shop, &buyer, &bought).await;
}

#[tokio::test]
async fn a_buyer_without_money_is_told_so_and_gets_nothing() {
    let pipeline = Pipeline::on(ticking(), 1, Vec::new()).await;
    let shop = Shop::open(Version::V1, &pipeline).await;
    let buyer = pipeline.buyer(PRICE - 1).await;

    let bought = shop.sell(Client::Version1, &buyer, 1).await;

    assert_eq!(
        (bought[0].status, &bought[0].body["error"]),
        (402, &json!("invalid_exact_evm_insufficient_balance"))
    );
    assert_eq!((shop.handled(), shop.answers("/settle").len()), (0, 0));
}
