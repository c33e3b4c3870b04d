//! A walk through what clients get wrong: each has its problem, and none is our failure.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;

use crate::api::{Api, Told};

#[tokio::test]
async fn a_query_that_is_not_understood_is_refused() {
    let api = Api::start().await;
    let payment = format!("/v1/payments/{}", api.payment().await.id);
    for query in [
        "wait=soon",
        "wait=-1",
        "wait=1.5",
        "since_version=v1",
        "since_version=99999999999999999999",
        "wiat=10",
        "wait=0&wait=0",
    ] {
        let told = Told::by(api.get(&format!("{payment}?{query}"))).await;
        assert_eq!(told.problem(), (400, "invalid_query"), "{query}");
    }
    for query in
        ["limit=0", "types=", "types=payment.done", "wait=soon", "cursr=now", "limit=1&limit=1"]
    {
        let told = Told::by(api.get(&format!("/v1/events?{query}"))).await;
        assert_eq!(told.problem(), (400, "invalid_query"), "{query}");
    }
    let long = format!("reference={}", "x".repeat(201));
    for query in [
        "limit=0",
        "limit=101",
        "limit=all",
        "status=done",
        "status=",
        "network=base",
        "payer=0x12",
        "payer=alice",
        "tx_hash=0x12",
        "reference=%00",
        "stauts=settled",
        "limit=5&limit=5",
        &long,
    ] {
        let told = Told::by(api.get(&format!("/v1/payments?{query}"))).await;
        assert_eq!(told.problem(), (400, "invalid_query"), "{query}");
    }
}

#[tokio::test]
async fn a_name_that_cannot_be_is_not_there() {
    let api = Api::start().await;
    let endpoint = "we_0000000000000000000000000z";
    for path in [
        "/v1/payments/x",
        "/v1/payments/pay_",
        "/v1/payments/%00",
        &format!("/v1/payments/{endpoint}"),
        &format!("/v1/payments/{endpoint}?wait=3600"),
        &format!("/v1/webhook_endpoints/{endpoint}"),
        &format!("/v1/webhook_endpoints/{endpoint}/deliveries"),
        "/v1/webhook_deliveries/x/attempts",
        "/v1/payments/x/stream",
        "/v1/events/x",
        "/v1/nothing",
    ] {
        assert_eq!(Told::by(api.get(path)).await.problem(), (404, "not_found"), "{path}");
    }
    let not_text = Told::by(api.get("/v1/payments/%FF")).await;
    assert_eq!(not_text.problem(), (400, "invalid_request"));
}

#[tokio::test]
async fn a_body_that_is_not_understood_is_refused() {
    let api = Api::start().await;
    let long = format!(r#"{{"url": "{}"}}"#, "x".repeat(17_000));
    for (content_type, body, problem) in [
        ("text/plain", "{}", (415, "unsupported_media_type")),
        ("application/json", "", (400, "malformed_json")),
        ("application/json", "{", (400, "malformed_json")),
        ("application/json", "{}", (400, "invalid_request")),
        ("application/json", "[]", (400, "invalid_request")),
        ("application/json", r#"{"url": 1}"#, (400, "invalid_request")),
        ("application/json", r#"{"url": "https://a.example/", "x": 1}"#, (400, "invalid_request")),
        (
            "application/json",
            r#"{"url": "https://a.example/", "event_types": []}"#,
            (422, "malformed_field"),
        ),
        ("application/json", &long, (413, "payload_too_large")),
    ] {
        let request = api.request(Method::POST, "/v1/webhook_endpoints", &api.seller.key);
        let request = request.header(CONTENT_TYPE, content_type).body(body.to_owned());
        assert_eq!(Told::by(request).await.problem(), problem, "{body:.40}");
    }
}

#[tokio::test]
async fn a_method_that_is_not_there_is_refused() {
    let api = Api::start().await;
    for (method, path) in [
        (Method::DELETE, "/v1/payments"),
        (Method::PUT, "/v1/webhook_endpoints"),
        (Method::GET, "/v1/payments/x/cancel"),
    ] {
        let told = Told::by(api.request(method, path, &api.seller.key)).await;
        assert_eq!(told.problem(), (405, "method_not_allowed"), "{path}");
    }
}
