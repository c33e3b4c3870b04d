//! Webhook endpoints, and what was told to them.

use std::collections::HashSet;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use domain::Event;
use reqwest::Method;
use results::Settings;
use runtime::egress::Targets;
use serde_json::{Value, json};
use store::{AttemptRecord, DeliveryNext};

use crate::api::{Api, Told, now, settings};

const URL: &str = "https://seller.example/hook";

#[tokio::test]
async fn an_endpoint_is_made_with_a_secret_that_is_shown_once() {
    let api = Api::start().await;
    let made = api.endpoint(json!({"url": URL, "event_types": ["payment.settled"]})).await;
    assert_eq!((made.status, made.header("cache-control")), (201, Some("no-store")));
    assert_eq!(made.body["event_types"], json!(["payment.settled"]));
    // "whsec_" and 32 bytes in base64.
    assert_eq!((&made.text("secret")[..6], made.text("secret").len()), ("whsec_", 50));

    let shown = Told::by(api.get(made.header("location").unwrap())).await;
    assert_eq!((shown.status, shown.body.get("secret")), (200, None));
    let listed = Told::by(api.get("/v1/webhook_endpoints")).await;
    assert_eq!(listed.body, json!({"data": [shown.body]}));
}

#[tokio::test]
async fn the_secret_shown_is_the_one_that_deliveries_are_signed_with() {
    let api = Api::start().await;
    let made = api.endpoint(json!({"url": URL, "event_types": ["payment.canceled"]})).await;
    let payment = api.payment().await;
    let (_, advance) = api.advance_untold(&payment, Event::Canceled).await;
    let store = &api.database.store;
    let later = now().plus(Duration::from_secs(60));
    let claimed = store.claim_deliveries(&advance.deliveries, now(), later).await.unwrap();
    let kept = format!("whsec_{}", BASE64_STANDARD.encode(&claimed[0].secret));
    assert_eq!(made.text("secret"), kept);
}

#[tokio::test]
async fn an_endpoint_that_names_no_types_hears_of_every_end() {
    let api = Api::start().await;
    let made = api.endpoint(json!({"url": URL})).await;
    let types: HashSet<&str> =
        made.body["event_types"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(types.contains("payment.settled") && types.contains("payment.failed"));
}

#[tokio::test]
async fn a_deleted_endpoint_is_gone_with_what_was_on_its_way() {
    let api = Api::start().await;
    let made = api.endpoint(json!({"url": URL, "event_types": ["payment.canceled"]})).await;
    let payment = api.payment().await;
    api.advance(&payment, Event::Canceled).await;
    let path = format!("/v1/webhook_endpoints/{}", made.text("id"));
    assert_eq!(Told::by(api.request(Method::DELETE, &path, &api.seller.key)).await.status, 204);

    assert_eq!(Told::by(api.get(&path)).await.status, 404);
    assert_eq!(Told::by(api.request(Method::DELETE, &path, &api.seller.key)).await.status, 404);
    let told = Told::by(api.get(&format!("/v1/payments/{}", payment.id))).await;
    assert_eq!(told.body["webhooks"]["pending"], json!(0));
}

#[tokio::test]
async fn an_account_has_a_limited_number_of_endpoints() {
    let api = Api::start().await;
    for _ in 0..20 {
        assert_eq!(api.endpoint(json!({"url": URL})).await.status, 201);
    }
    let made = api.endpoint(json!({"url": URL})).await;
    assert_eq!(made.problem(), (409, "endpoint_limit_reached"));
}

#[tokio::test]
async fn an_unknown_event_type_is_pointed_at() {
    let api = Api::start().await;
    let types = json!(["payment.settled", "payment.settld"]);
    let made = api.endpoint(json!({"url": URL, "event_types": types})).await;
    assert_eq!(made.problem(), (422, "malformed_field"));
    assert_eq!(made.body["errors"][0]["pointer"], json!("/event_types/1"));
}

#[tokio::test]
async fn a_url_that_would_never_be_called_is_refused() {
    let api = Api::start().await;
    let long = format!("{URL}/{}", "x".repeat(2_048));
    let grows = format!("{URL}/{}", "ä".repeat(800));
    for url in [
        "",
        "seller.example/hook",
        "http://seller.example/hook",
        "ftp://seller.example/hook",
        "https://user:password@seller.example/hook",
        "https://seller.example:22/hook",
        "https://127.0.0.1/hook",
        "https://2130706433/hook",
        "https://0x7f.1/hook",
        "https://[::1]/hook",
        "https://[::ffff:10.0.0.1]/hook",
        "https://169.254.169.254/latest/meta-data",
        &long,
        &grows,
    ] {
        let made = api.endpoint(json!({"url": url})).await;
        assert_eq!(made.problem(), (422, "invalid_webhook_url"), "{url:.60}");
        assert_eq!(made.body["errors"][0]["pointer"], json!("/url"));
    }
}

#[tokio::test]
async fn a_developer_may_use_private_targets_where_the_operator_allows_it() {
    let api = Api::with(Settings { targets: Targets::PublicAndPrivate, ..settings() }).await;
    let made = api.endpoint(json!({"url": "http://127.0.0.1:80/hook"})).await;
    assert_eq!((made.status, made.text("url")), (201, "http://127.0.0.1/hook"));
}

#[tokio::test]
async fn deliveries_are_listed_page_by_page_with_their_attempts() {
    let api = Api::start().await;
    let made = api.endpoint(json!({"url": URL, "event_types": ["payment.canceled"]})).await;
    let mut deliveries = Vec::new();
    for _ in 0..2 {
        let payment = api.payment().await;
        deliveries.extend(api.advance_untold(&payment, Event::Canceled).await.1.deliveries);
    }
    attempt(&api, &deliveries).await;

    let path = format!("/v1/webhook_endpoints/{}/deliveries", made.text("id"));
    let newest = Told::by(api.get(&format!("{path}?limit=1"))).await;
    let cursor = newest.text("next_cursor");
    let oldest = Told::by(api.get(&format!("{path}?limit=1&cursor={cursor}"))).await;
    let id = |told: &Told| told.body["data"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!([id(&oldest), id(&newest)], [deliveries[0].to_string(), deliveries[1].to_string()]);
    assert_eq!(newest.body["data"][0]["status"], json!("exhausted"));

    let path = format!("/v1/webhook_deliveries/{}/attempts", id(&newest));
    let attempts = Told::by(api.get(&path)).await;
    let logged = &attempts.body["data"][0];
    assert_eq!((&logged["number"], &logged["http_status"]), (&json!(1), &json!(500)));
    assert_eq!((&logged["outcome"], &logged["response"]), (&json!("status"), &json!("oops")));
}

/// Lets the last attempt of each of these fail.
async fn attempt(api: &Api, deliveries: &[domain::DeliveryId]) {
    let (store, lease) = (&api.database.store, now().plus(Duration::from_secs(60)));
    let claimed = store.claim_deliveries(deliveries, now(), lease).await.unwrap();
    assert_eq!(claimed.len(), deliveries.len());
    let failed = |delivery: &store::Delivery| AttemptRecord {
        delivery: delivery.id,
        endpoint: delivery.endpoint,
        url: delivery.url.clone(),
        reception: store::Reception::Failed,
        in_order: delivery.in_order,
        number: 1,
        lease_until: delivery.lease_until,
        at: now(),
        duration_ms: 5,
        outcome: "status",
        status: Some(500),
        error: None,
        response: Some("oops".to_owned()),
        next: DeliveryNext::Exhausted,
    };
    let records: Vec<AttemptRecord> = claimed.iter().map(failed).collect();
    store.record_attempts(&records, now()).await.unwrap();
}

/// A request that changes something, by the API's seller.
async fn told(api: &Api, method: Method, path: &str, body: Option<Value>) -> Told {
    let request = api.request(method, path, &api.seller.key);
    Told::by(match body {
        Some(body) => request.json(&body),
        None => request,
    })
    .await
}

#[tokio::test]
async fn an_endpoint_gets_another_url_or_other_types_and_keeps_the_rest() {
    let api = Api::start().await;
    let made = api.endpoint(json!({"url": URL, "event_types": ["payment.canceled"]})).await;
    let path = format!("/v1/webhook_endpoints/{}", made.text("id"));
    let moved = told(&api, Method::PATCH, &path, Some(json!({"url": format!("{URL}/2")}))).await;
    assert_eq!((moved.status, moved.text("url")), (200, "https://seller.example/hook/2"));
    assert_eq!(moved.body["event_types"], json!(["payment.canceled"]));
    let types = json!({"event_types": ["payment.settled"]});
    let changed = told(&api, Method::PATCH, &path, Some(types)).await;
    assert_eq!(changed.body["event_types"], json!(["payment.settled"]));
    assert_eq!(Told::by(api.get(&path)).await.body, changed.body);
}

#[tokio::test]
async fn an_update_that_cannot_be_changes_nothing_and_says_why() {
    let api = Api::start().await;
    let made = api.endpoint(json!({"url": URL})).await;
    let path = format!("/v1/webhook_endpoints/{}", made.text("id"));
    for (body, problem) in [
        (json!({"url": "https://127.0.0.1/hook"}), (422, "invalid_webhook_url")),
        (json!({"event_types": []}), (422, "malformed_field")),
        (json!({"event_types": ["payment.done"]}), (422, "malformed_field")),
        (json!({"secret": "whsec_mine"}), (400, "invalid_request")),
    ] {
        let refused = told(&api, Method::PATCH, &path, Some(body.clone())).await;
        assert_eq!(refused.problem(), problem, "{body}");
    }
    let kept = Told::by(api.get(&path)).await;
    assert_eq!(kept.text("url"), URL);
}

#[tokio::test]
async fn a_disabled_endpoint_is_told_nothing_until_it_is_enabled() {
    let api = Api::start().await;
    let made = api.endpoint(json!({"url": URL, "event_types": ["payment.canceled"]})).await;
    let path = format!("/v1/webhook_endpoints/{}", made.text("id"));
    let payment = api.payment().await;
    api.advance_untold(&payment, Event::Canceled).await;
    let status = async || {
        let listed = Told::by(api.get(&format!("{path}/deliveries"))).await;
        listed.body["data"][0]["status"].as_str().unwrap().to_owned()
    };
    let disabled = told(&api, Method::POST, &format!("{path}/disable"), None).await;
    assert_eq!((disabled.status, disabled.text("status")), (200, "disabled"));
    assert_eq!((disabled.text("disabled_reason"), status().await.as_str()), ("owner", "held"));

    let enabled = told(&api, Method::POST, &format!("{path}/enable"), None).await;
    assert_eq!((enabled.status, enabled.text("status")), (200, "enabled"));
    assert_eq!(
        (&enabled.body["disabled_reason"], status().await.as_str()),
        (&Value::Null, "pending")
    );
}

#[tokio::test]
async fn a_secret_can_be_seen_again_and_changed_without_a_gap() {
    let api = Api::start().await;
    let made = api.endpoint(json!({"url": URL})).await;
    let path = format!("/v1/webhook_endpoints/{}/secret", made.text("id"));
    let shown = Told::by(api.get(&path)).await;
    assert_eq!((shown.status, shown.text("secret")), (200, made.text("secret")));
    assert_eq!(shown.header("cache-control"), Some("no-store"));

    let rotated = told(&api, Method::POST, &format!("{path}/rotate"), None).await;
    assert_ne!(rotated.text("secret"), made.text("secret"));
    assert!(rotated.body["previous_expires_at"].is_string());
    assert_eq!(Told::by(api.get(&path)).await.body, rotated.body);
    let again = told(&api, Method::POST, &format!("{path}/rotate"), None).await;
    assert_eq!(again.problem(), (409, "conflict"));
    let now = json!({"overlap_seconds": 0});
    let now = told(&api, Method::POST, &format!("{path}/rotate"), Some(now)).await;
    assert_eq!((now.status, &now.body["previous_expires_at"]), (200, &Value::Null));
    let long = json!({"overlap_seconds": 604_801});
    let long = told(&api, Method::POST, &format!("{path}/rotate"), Some(long)).await;
    assert_eq!(long.problem(), (422, "malformed_field"));
    assert_eq!(long.body["errors"][0]["pointer"], "/overlap_seconds");
}

#[tokio::test]
async fn a_delivery_that_was_given_up_can_be_made_again() {
    let api = Api::start().await;
    let made = api.endpoint(json!({"url": URL, "event_types": ["payment.canceled"]})).await;
    let payment = api.payment().await;
    let deliveries = api.advance_untold(&payment, Event::Canceled).await.1.deliveries;
    attempt(&api, &deliveries).await;

    let path = format!("/v1/webhook_deliveries/{}/redeliver", deliveries[0]);
    let again = told(&api, Method::POST, &path, None).await;
    assert_eq!((again.status, again.text("status")), (202, "pending"));
    let log = format!("/v1/webhook_endpoints/{}", made.text("id"));
    let listed = Told::by(api.get(&format!("{log}/deliveries"))).await;
    assert_eq!(listed.body["data"][0]["status"], "pending");
    told(&api, Method::POST, &format!("{log}/disable"), None).await;
    assert_eq!(told(&api, Method::POST, &path, None).await.problem(), (409, "conflict"));
}
