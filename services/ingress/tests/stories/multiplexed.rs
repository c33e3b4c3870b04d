//! Payments as a proxy brings them: many at once over one connection of HTTP/2.

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use testkit::Buyer;
use testkit::http::proxy;
use tokio::task::JoinSet;
use x402::Version;

use crate::shop::{Shop, Told};

fn post(proxy: &Client, shop: &Shop, body: &Value) -> RequestBuilder {
    proxy
        .post(shop.url("/v1/payments"))
        .header(AUTHORIZATION, format!("Bearer {}", shop.seller.token.reveal()))
        .header(CONTENT_TYPE, "application/json")
        .body(body.to_string())
}

#[tokio::test]
async fn payments_over_one_connection_are_each_taken_or_refused_like_any_other() {
    let shop = Shop::open().await;
    let (proxy, mut posts) = (proxy(), JoinSet::new());
    for number in 0..50 {
        let mut body = Buyer::new().authorize().sign().body(Version::V2);
        let expected = if number % 2 == 0 { 202 } else { 413 };
        if expected == 413 {
            body["metadata"] = json!({"note": "n".repeat(70_000)});
        }
        let post = post(&proxy, &shop, &body);
        posts.spawn(async move { (Told::by(post).await, expected) });
    }
    for (told, expected) in posts.join_all().await {
        assert_eq!(told.status, expected, "{}", told.body);
        assert!(told.header("x-request-id").is_some_and(|id| id.starts_with("req_")));
    }
    assert_eq!(shop.payments().await.len(), 25);
}
