//! Servers and buyers of version 2 who pay by Permit2.

use crate::pipeline::{Pipeline, ticking};
use crate::stock::{Client, PRICE, Shop, assert_paid};

#[tokio::test]
async fn what_is_bought_by_permit2_is_delivered_with_the_transaction_that_moved_the_money() {
    let pipeline = Pipeline::on(ticking(), 1, Vec::new()).await;
    let shop = Shop::by_permit2(&pipeline).await;
    let buyer = pipeline.buyer(3 * PRICE).await;
    pipeline.anvil.let_permit2_move(buyer.address(), 3 * PRICE).await;

    let bought = shop.sell(Client::Version2, &buyer, 3).await;

    assert_paid(&pipeline, &shop, &buyer, &bought).await;
}

#[tokio::test]
async fn a_buyer_whose_money_permit2_may_not_move_is_told_so() {
    let pipeline = Pipeline::on(ticking(), 1, Vec::new()).await;
    let shop = Shop::by_permit2(&pipeline).await;
    let buyer = pipeline.buyer(PRICE).await;

    let bought = shop.sell(Client::Version2, &buyer, 1).await;

    assert_eq!(bought[0].status, 412);
    assert_eq!(shop.answers("/verify")[0]["invalidReason"], "permit2_allowance_required");
    assert_eq!((shop.handled(), shop.answers("/settle").len()), (0, 0));
}
