//! Payments that are taken back.

use reqwest::Method;
use serde_json::json;
use testkit::{Buyer, Seller};

use crate::api::{Api, Told, included};

async fn cancel(api: &Api, id: impl std::fmt::Display) -> Told {
    let path = format!("/v1/payments/{id}/cancel");
    Told::by(api.request(Method::POST, &path, &api.seller.key)).await
}

#[tokio::test]
async fn a_payment_is_taken_back_once_however_often_that_is_asked() {
    let api = Api::start().await;
    let payment = api.payment().await;
    for _ in 0..2 {
        let told = cancel(&api, payment.id).await;
        assert_eq!((told.status, told.text("status")), (200, "canceled"));
        assert_eq!(told.body["version"], json!(2));
        assert_eq!(told.body["failure"]["safe_to_resign"], json!(false));
    }
}

#[tokio::test]
async fn whoever_takes_back_at_once_is_told_of_the_own_payment_alone() {
    let api = Api::start().await;
    let (one, other) = (api.payment().await, api.payment().await);
    let paid = api.advance(&api.payment().await, included()).await;
    let stranger = Seller::create(&api.database.store).await;
    let path = format!("/v1/payments/{}/cancel", one.id);
    let (first, again, second, late, strange) = tokio::join!(
        cancel(&api, one.id),
        cancel(&api, one.id),
        cancel(&api, other.id),
        cancel(&api, paid.id),
        Told::by(api.request(Method::POST, &path, &stranger.key)),
    );
    for (told, payment) in [(first, &one), (again, &one), (second, &other)] {
        assert_eq!((told.status, told.text("status")), (200, "canceled"));
        assert_eq!((told.text("id"), &told.body["version"]), (&*payment.id.to_string(), &json!(2)));
    }
    assert_eq!(late.problem(), (409, "conflict"));
    assert_eq!(strange.problem(), (404, "not_found"));
}

#[tokio::test]
async fn a_payment_in_a_block_cannot_be_taken_back() {
    let api = Api::start().await;
    let payment = api.advance(&api.payment().await, included()).await;
    let told = cancel(&api, payment.id).await;
    assert_eq!(told.problem(), (409, "conflict"));
    assert_eq!(told.text("payment_id"), payment.id.to_string());
}

#[tokio::test]
async fn canceling_and_paying_at_once_ends_in_one_of_both() {
    let api = Api::start().await;
    for _ in 0..10 {
        let payment =
            api.seller.accept(&api.database.store, &Buyer::new().authorize().sign()).await;
        let change = store::Change { payment: payment.clone(), event: included(), carrier: None };
        let paid = api.database.store.advance(vec![change], crate::api::now());
        let (told, paid) = tokio::join!(cancel(&api, payment.id), paid);
        let paid = paid.unwrap().moved().count() == 1;
        assert_eq!(told.status, if paid { 409 } else { 200 });
    }
}

#[tokio::test]
async fn endpoints_hear_of_a_payment_that_is_taken_back() {
    let api = Api::start().await;
    let body = json!({"url": "https://seller.example/hook", "event_types": ["payment.canceled"]});
    let endpoint = api.endpoint(body).await;
    let payment = api.payment().await;
    let told = cancel(&api, payment.id).await;
    assert_eq!(told.body["webhooks"], json!({"pending": 1, "delivered": 0, "failed": 0}));
    let path = format!("/v1/webhook_endpoints/{}/deliveries", endpoint.text("id"));
    let deliveries = Told::by(api.get(&path)).await;
    assert_eq!(deliveries.body["data"][0]["event_type"], json!("payment.canceled"));
}
