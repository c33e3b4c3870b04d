//! Buyers in Python, on the package `x402`.

use x402::Version;

use crate::pipeline::{Pipeline, ticking};
use crate::stock::{Client, PRICE, Shop, assert_paid};

#[tokio::test]
async fn what_is_bought_is_delivered_with_the_transaction_that_moved_the_money() {
    let pipeline = Pipeline::on(ticking(), 1, Vec::new()).await;
    let shop = Shop::open(Version::V2, &pipeline).await;
    let buyer = pipeline.buyer(2 * PRICE).await;

    let bought = shop.sell(Client::Python, &buyer, 2).await;

    assert_eq!(bought.len(), 2);
    assert_paid(&pipeline, &shop, &buyer, &bought).await;
}
