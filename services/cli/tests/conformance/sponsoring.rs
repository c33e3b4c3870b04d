//! Servers and buyers of version 2 with `eip2612GasSponsoring`: who pays by Permit2 has no money for
//! gas, and has let Permit2 move nothing.

use domain::{Amount, U256};
use serde_json::json;
use testkit::eventually;

use crate::pipeline::{DEADLINE, Pipeline, ticking};
use crate::stock::{Client, PRICE, Shop, assert_paid};

#[tokio::test]
async fn a_buyer_without_gas_signs_a_permit_and_is_delivered() {
    let pipeline = Pipeline::on(ticking(), 1, Vec::new()).await;
    let shop = Shop::sponsored(&pipeline).await;
    let buyer = pipeline.buyer(2 * PRICE).await;

    for purchase in 1..=2_u64 {
        let bought = shop.sell(Client::Sponsored, &buyer, 1).await;

        assert_eq!((bought[0].status, &bought[0].body), (200, &json!({"sold": true})));
        assert_eq!(bought[0].payment["success"], true, "{bought:?}");
        assert_eq!(pipeline.anvil.permits_of(buyer.address()).await, U256::from(purchase));
        let moved = pipeline.anvil.transfers_to(pipeline.pay_to).await;
        let last = moved.last().unwrap();
        assert_eq!(last.tx_hash.to_string(), bought[0].transaction());
        assert_eq!(moved.len(), usize::try_from(purchase).unwrap());
    }
    assert_eq!(pipeline.anvil.permit2_may_move(buyer.address()).await, Amount::ZERO);
}

#[tokio::test]
async fn a_buyer_that_has_let_permit2_move_its_money_signs_no_permit() {
    let pipeline = Pipeline::on(ticking(), 1, Vec::new()).await;
    let shop = Shop::sponsored(&pipeline).await;
    let buyer = pipeline.buyer(PRICE).await;
    pipeline.anvil.let_permit2_move(buyer.address(), PRICE).await;

    let bought = shop.sell(Client::Sponsored, &buyer, 1).await;

    assert_paid(&pipeline, &shop, &buyer, &bought).await;
    assert_eq!(pipeline.anvil.permits_of(buyer.address()).await, U256::ZERO);
}

#[tokio::test]
async fn a_sponsored_payment_that_is_posted_again_and_again_at_once_moves_money_once() {
    let pipeline = Pipeline::on(ticking(), 1, Vec::new()).await;
    let buyer = pipeline.buyer(10 * PRICE).await;
    let signed = buyer.authorize().pay_to(pipeline.pay_to).amount(PRICE).with_permit(0).sign();
    let body = signed.body(x402::Version::V2);
    let url = format!("{}/settle", pipeline.ingress().await);

    let asked = (0..6).map(|_| pipeline.post(&url, &body));
    let answers = futures::future::join_all(asked).await;

    for answer in answers {
        let (status, answer) = answer.unwrap();
        assert_eq!((status, &answer["success"]), (200, &json!(true)), "{answer}");
    }
    assert_eq!(pipeline.anvil.transfers_to(pipeline.pay_to).await.len(), 1);
    assert_eq!(pipeline.anvil.permits_of(buyer.address()).await, U256::from(1));
}

#[tokio::test]
async fn a_sponsored_payment_that_is_posted_to_be_settled_later_is_settled() {
    let pipeline = Pipeline::on(ticking(), 1, Vec::new()).await;
    let buyer = pipeline.buyer(PRICE).await;
    let signed = buyer.authorize().pay_to(pipeline.pay_to).amount(PRICE).with_permit(0).sign();
    let payment = pipeline.pay(&signed.body(x402::Version::V2)).await;

    let known = eventually(DEADLINE, || async {
        let url = format!("{}/v1/payments/{payment}", pipeline.results().await);
        let (_, known) = pipeline.get(&url).await?;
        (known["terminal"] == true).then_some(known)
    })
    .await;

    assert_eq!(known["status"], "settled", "{known}");
    assert_eq!(pipeline.anvil.transfers_to(pipeline.pay_to).await.len(), 1);
}
