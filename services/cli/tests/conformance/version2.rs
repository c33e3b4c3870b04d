//! Servers and buyers of version 2, on npm's `@x402` packages.

use domain::ChainId;
use serde_json::json;
use testkit::{Anvil, eventually};
use x402::Version;

use crate::pipeline::{DEADLINE, Pipeline, ticking};
use crate::stock::{Bought, Client, PRICE, Shop, assert_paid};

/// A pipeline whose chain makes blocks only when it is told to, and which waits long enough to send a
/// payment, and no longer.
async fn with_a_slow_chain() -> Pipeline {
    let wait = ("QUITTANCE_FACILITATOR__WAIT_SECS", "8".to_owned());
    Pipeline::on(Anvil::builder().mined_by_hand(), 1, vec![wait]).await
}

/// Makes blocks until the facilitator has said that it has settled a payment.
async fn mine_until_settled(pipeline: &Pipeline, shop: &Shop) {
    eventually(DEADLINE, || async {
        pipeline.anvil.mine(1).await;
        shop.answers("/settle").iter().any(|told| told["success"] == true).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_bought_is_delivered_with_the_transaction_that_moved_the_money() {
    let pipeline = Pipeline::on(ticking(), 1, Vec::new()).await;
    let shop = Shop::open(Version::V2, &pipeline).await;
    let buyer = pipeline.buyer(5 * PRICE).await;

    let bought = shop.sell(Client::Version2, &buyer, 5).await;

    assert_eq!(bought.len(), 5);
    assert_paid(&pipeline, &shop, &buyer, &bought).await;
    let payment = bought[0].payment_id();
    let (_, known) =
        pipeline.get(&format!("{}/v1/payments/{payment}", pipeline.results().await)).await.unwrap();
    assert_eq!(known["transaction"]["hash"], bought[0].payment["transaction"]);
}

#[tokio::test]
async fn networks_that_no_package_knows_are_settled_on_as_well() {
    let local = ChainId::new(31_337).unwrap();
    let pipeline = Pipeline::on(ticking().chain(local), 1, Vec::new()).await;
    let shop = Shop::with_token(&pipeline).await;
    let buyer = pipeline.buyer(PRICE).await;

    let bought = shop.sell(Client::Version2, &buyer, 1).await;

    assert_eq!(shop.network(), "eip155:31337");
    assert_paid(&pipeline, &shop, &buyer, &bought).await;
}

#[tokio::test]
async fn one_payment_that_is_shown_again_and_again_moves_money_once() {
    let pipeline = Pipeline::on(Anvil::builder().mined_by_hand(), 1, Vec::new()).await;
    let shop = Shop::open(Version::V2, &pipeline).await;
    let buyer = pipeline.buyer(5 * PRICE).await;

    let (mut shown, ()) = tokio::join!(shop.sell(Client::Presenter, &buyer, 5), async {
        // All are found right before any is settled.
        let verified = || shop.answers("/verify").len() == 5;
        eventually(DEADLINE, || std::future::ready(verified().then_some(()))).await;
        mine_until_settled(&pipeline, &shop).await;
    });

    // Those that came at once are one settlement, and it is over before the last one comes.
    let late = shown.pop().unwrap();
    assert_eq!((late.status, late.payment.is_null()), (402, true), "{late:?}");
    let reason = shop.answers("/verify")[5]["invalidReason"].clone();
    assert_eq!(reason, "invalid_exact_evm_nonce_already_used");
    assert_paid(&pipeline, &shop, &buyer, &shown[..1]).await;
    for one in &shown {
        assert_eq!((one.status, &one.payment), (200, &shown[0].payment));
    }
}

#[tokio::test]
async fn a_buyer_without_money_gets_nothing_and_the_server_does_nothing_for_it() {
    let pipeline = Pipeline::on(ticking(), 1, Vec::new()).await;
    let shop = Shop::open(Version::V2, &pipeline).await;
    let buyer = pipeline.buyer(PRICE - 1).await;

    let bought = shop.sell(Client::Version2, &buyer, 1).await;

    assert_eq!((bought[0].status, &bought[0].body), (402, &json!({})));
    assert_eq!(
        shop.answers("/verify")[0]["invalidReason"],
        "invalid_exact_evm_insufficient_balance"
    );
    assert_eq!((shop.handled(), shop.answers("/settle").len()), (0, 0));
}

#[tokio::test]
async fn of_two_purchases_with_money_for_one_that_one_is_delivered() {
    let pipeline = Pipeline::on(ticking(), 1, Vec::new()).await;
    let shop = Shop::open(Version::V2, &pipeline).await;
    let buyer = pipeline.buyer(PRICE).await;

    let bought = shop.sell(Client::Version2, &buyer, 2).await;

    let (paid, unpaid): (Vec<Bought>, Vec<Bought>) =
        bought.into_iter().partition(|one| one.status == 200);
    assert_paid(&pipeline, &shop, &buyer, &paid).await;
    assert_eq!((paid.len(), unpaid[0].status), (1, 402));
}

#[tokio::test]
async fn on_a_slow_chain_the_servers_second_call_ends_with_the_settlement() {
    let pipeline = with_a_slow_chain().await;
    let shop = Shop::open(Version::V2, &pipeline).await;
    let buyer = pipeline.buyer(PRICE).await;

    let (bought, pending) = tokio::join!(shop.sell(Client::Version2, &buyer, 1), async {
        let pending = shop.settlement(|told| told["errorReason"] == "settlement_pending").await;
        mine_until_settled(&pipeline, &shop).await;
        pending
    });

    assert_paid(&pipeline, &shop, &buyer, &bought).await;
    assert_eq!(shop.answers("/settle").len(), 2);
    assert_eq!(pending["transaction"], bought[0].transaction(), "another one is pending");
}

#[tokio::test]
async fn a_buyer_that_is_not_waited_for_any_longer_can_follow_its_payment() {
    let pipeline = with_a_slow_chain().await;
    let shop = Shop::open(Version::V2, &pipeline).await;
    let buyer = pipeline.buyer(PRICE).await;

    let bought = shop.sell(Client::Version2, &buyer, 1).await;

    let told = &bought[0];
    assert_eq!((told.status, shop.answers("/settle").len()), (402, 2));
    assert_eq!(told.payment["errorReason"], "settlement_pending");
    let known = eventually(DEADLINE, || async {
        pipeline.anvil.mine(1).await;
        let payment = told.payment_id();
        let url = format!("{}/v1/payments/{payment}", pipeline.results().await);
        let (_, known) = pipeline.get(&url).await?;
        (known["terminal"] == true).then_some(known)
    })
    .await;
    assert_eq!(
        (&known["status"], &known["transaction"]["hash"]),
        (&json!("settled"), &json!(told.transaction()))
    );
    assert_eq!(pipeline.anvil.transfers_to(pipeline.pay_to).await.len(), 1);
}
