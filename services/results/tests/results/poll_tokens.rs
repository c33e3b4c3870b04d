//! What the buyer's agent may see, with the token that the seller has handed it.

use access::PollTokens;
use domain::{Event, Payment};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use crate::api::{Api, Told, included, settings};
use crate::streaming::Stream;
use crate::waiting::all_are_waiting;

async fn token(api: &Api, payment: &Payment) -> String {
    PollTokens::new(api.database.store.clone()).mint(payment.id).await.unwrap()
}

/// A request for the payment by whoever has the token.
fn ask(api: &Api, payment: &Payment, query: &str, token: &str) -> RequestBuilder {
    api.request(Method::GET, &format!("/v1/payments/{}{query}", payment.id), token)
}

#[tokio::test]
async fn who_has_the_token_sees_the_payment_without_the_sellers_notes() {
    let api = Api::start().await;
    let payment = api.payment().await;
    let noted = "update payments set reference = 'order 4711', metadata = '{\"margin\": 3}'";
    sqlx::raw_sql(noted).execute(api.database.store.pool()).await.unwrap();
    let sellers = Told::by(api.get(&format!("/v1/payments/{}", payment.id))).await;
    let token = token(&api, &payment).await;
    let seen = Told::by(ask(&api, &payment, "", &token)).await;

    assert_eq!((seen.status, seen.text("status")), (200, "accepted"));
    assert_eq!(sellers.text("reference"), "order 4711");
    let mut expected = sellers.body.clone();
    let parts = expected.as_object_mut().unwrap();
    for hidden in ["reference", "metadata"] {
        parts.insert(hidden.to_owned(), Value::Null);
    }
    for absent in ["request_id", "webhooks", "risk"] {
        parts.remove(absent);
    }
    assert_eq!(seen.body, expected);
}

#[tokio::test]
async fn a_token_waits_and_streams_like_a_key() {
    let api = Api::start().await;
    let payment = api.payment().await;
    let token = token(&api, &payment).await;
    let poll = tokio::spawn(Told::by(ask(&api, &payment, "?wait=3600", &token)));
    let mut stream = Stream::open(ask(&api, &payment, "/stream", &token)).await;
    all_are_waiting(&api, 2).await;
    assert_eq!(stream.next().await.unwrap().data["metadata"], Value::Null);

    api.advance_untold(&payment, included()).await;
    assert_eq!(poll.await.unwrap().text("status"), "confirmed");
    assert_eq!(stream.next().await.unwrap().data.get("request_id"), None);
}

#[tokio::test]
async fn a_token_opens_nothing_else() {
    let api = Api::start().await;
    let (payment, other) = (api.payment().await, api.payment().await);
    let token = token(&api, &payment).await;
    let cancel = format!("/v1/payments/{}/cancel", payment.id);
    for (method, path) in [
        (Method::GET, format!("/v1/payments/{}", other.id)),
        (Method::GET, format!("/v1/payments/{}/stream", other.id)),
        (Method::GET, "/v1/payments/x".to_owned()),
        (Method::GET, "/v1/payments".to_owned()),
        (Method::GET, "/v1/events".to_owned()),
        (Method::POST, cancel),
        (Method::GET, "/v1/webhook_endpoints".to_owned()),
    ] {
        let told = Told::by(api.request(method.clone(), &path, &token)).await;
        assert_eq!(told.problem(), (401, "unauthorized"), "{method} {path}");
    }
}

#[tokio::test]
async fn a_token_is_good_for_an_hour_after_the_end() {
    let api = Api::start().await;
    let payment = api.payment().await;
    let token = token(&api, &payment).await;
    api.advance_untold(&payment, Event::Canceled).await;
    let told = Told::by(ask(&api, &payment, "", &token)).await;
    assert_eq!((told.status, told.text("status")), (200, "canceled"));

    let long_ago = "update payments set updated_at = now() - interval '61 minutes'";
    sqlx::raw_sql(long_ago).execute(api.database.store.pool()).await.unwrap();
    assert_eq!(Told::by(ask(&api, &payment, "", &token)).await.problem(), (401, "unauthorized"));
    let sellers = Told::by(api.get(&format!("/v1/payments/{}", payment.id))).await;
    assert_eq!(sellers.status, 200);
}

#[tokio::test]
async fn agents_of_one_seller_share_places_and_take_none_of_its_key() {
    let api = Api::with(results::Settings { max_waiters_per_key: 1, ..settings() }).await;
    let payment = api.payment().await;
    let token = token(&api, &payment).await;
    let held = Stream::open(ask(&api, &payment, "/stream", &token)).await;
    let told = Told::by(ask(&api, &payment, "/stream", &token)).await;
    assert_eq!(told.problem(), (503, "overloaded"));
    Stream::open(api.get(&format!("/v1/payments/{}/stream", payment.id))).await;
    drop(held);
    all_are_waiting(&api, 0).await;
    let mut again = Stream::open(ask(&api, &payment, "/stream", &token)).await;
    assert_eq!(again.next().await.unwrap().id, "1");
}
