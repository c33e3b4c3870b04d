//! How an endpoint is told: its terms, a trial, what it missed, and the key that verifies it.

use std::time::Duration;

use domain::{Event, EventType};
use receipt::{KeyDocument, endpoint_key};
use reqwest::Method;
use serde_json::{Value, json};
use store::{AttemptRecord, DeliveryNext, DueDeliveries, Reception};
use testkit::eventually;

use crate::api::{Api, Told, now};

const URL: &str = "https://seller.example/hook";

const WANTED: DueDeliveries<'static> = DueDeliveries { limit: 10, share: 10, except: &[] };

async fn post(api: &Api, path: &str, body: Value) -> Told {
    Told::by(api.request(Method::POST, path, &api.seller.key).json(&body)).await
}

/// An endpoint that hears of canceled payments, and its path.
async fn endpoint(api: &Api) -> String {
    let made = api.endpoint(json!({"url": URL, "event_types": ["payment.canceled"]})).await;
    format!("/v1/webhook_endpoints/{}", made.text("id"))
}

async fn cancel_one(api: &Api) {
    let payment = api.payment().await;
    api.advance_untold(&payment, Event::Canceled).await;
}

/// Attempts what is due next, as a notifier would: this comes of it.
async fn attempt(api: &Api, next: DeliveryNext) {
    let store = &api.database.store;
    let due = eventually(Duration::from_secs(30), || async {
        store.due_deliveries(WANTED, now()).await.unwrap().first().copied()
    })
    .await;
    let lease = now().plus(Duration::from_secs(60));
    let delivery = store.claim_deliveries(&[due], now(), lease).await.unwrap().remove(0);
    let record = AttemptRecord {
        delivery: delivery.id,
        endpoint: delivery.endpoint,
        url: delivery.url.clone(),
        reception: Reception::Failed,
        in_order: delivery.in_order,
        number: delivery.attempts + 1,
        lease_until: delivery.lease_until,
        at: now(),
        duration_ms: 5,
        outcome: "refused",
        status: Some(500),
        error: None,
        response: None,
        next,
    };
    store.record_attempts(&[record], now()).await.unwrap();
}

/// Takes all recoveries to their end, as a reconciler would.
async fn recover_all(api: &Api) {
    while api.database.store.step_recovery(100, now()).await.unwrap().is_some() {}
}

#[tokio::test]
async fn an_endpoint_is_told_as_its_owner_wants() {
    let api = Api::start().await;
    let terms = json!({
        "url": URL, "ordering": "per_payment", "max_in_flight": 2, "max_per_second": 10,
        "payload_version": "2026-11-01", "signatures": ["v1", "v1a"],
    });
    let made = api.endpoint(terms.clone()).await;
    for (name, value) in terms.as_object().unwrap() {
        assert_eq!(&made.body[name], value, "{name}");
    }
    let path = format!("/v1/webhook_endpoints/{}", made.text("id"));
    let change = json!({"max_in_flight": null, "ordering": "none"});
    let request = api.request(Method::PATCH, &path, &api.seller.key).json(&change);
    let changed = Told::by(request).await;
    assert_eq!((&changed.body["max_in_flight"], changed.text("ordering")), (&Value::Null, "none"));
    assert_eq!(changed.body["max_per_second"], json!(10));
    assert_eq!(Told::by(api.get(&path)).await.body, changed.body);
}

#[tokio::test]
async fn terms_that_cannot_be_kept_are_refused_where_they_stand() {
    let api = Api::start().await;
    for (member, value, pointer) in [
        ("ordering", json!("global"), "/ordering"),
        ("payload_version", json!("2020-01-01"), "/payload_version"),
        ("max_in_flight", json!(0), "/max_in_flight"),
        ("max_in_flight", json!(65), "/max_in_flight"),
        ("max_per_second", json!(1_001), "/max_per_second"),
        ("signatures", json!(["v1", "v2"]), "/signatures/1"),
        ("signatures", json!(["v1a"]), "/signatures"),
    ] {
        let made = api.endpoint(json!({"url": URL, member: value})).await;
        assert_eq!(made.problem(), (422, "malformed_field"), "{member}: {value}");
        assert_eq!(made.body["errors"][0]["pointer"], pointer);
    }
    for body in [json!({}), json!({"url": URL, "max_in_flight": "2"}), json!({"url": URL, "x": 1})]
    {
        assert_eq!(api.endpoint(body).await.problem(), (400, "invalid_request"));
    }
}

#[tokio::test]
async fn a_trial_tells_what_came_of_it_and_is_not_repeated() {
    let api = Api::start().await;
    let path = endpoint(&api).await;
    let trial = format!("{path}/test");
    let (told, ()) = tokio::join!(
        post(&api, &trial, json!({"type": "payment.settled"})),
        attempt(&api, DeliveryNext::Exhausted),
    );
    assert_eq!((told.status, told.text("type")), (200, "payment.settled"));
    assert_eq!(told.body["attempt"]["http_status"], 500);

    let listed = Told::by(api.get(&format!("{path}/deliveries"))).await;
    let delivery = &listed.body["data"][0];
    assert_eq!((&delivery["kind"], &delivery["status"]), (&json!("test"), &json!("exhausted")));
    assert_eq!(delivery["payment_id"], Value::Null);
}

#[tokio::test]
async fn a_trial_of_nothing_or_nobody_is_refused() {
    let api = Api::start().await;
    let path = endpoint(&api).await;
    let unknown = post(&api, &format!("{path}/test"), json!({"type": "payment.done"})).await;
    assert_eq!(unknown.problem(), (422, "malformed_field"));
    post(&api, &format!("{path}/disable"), json!({})).await;
    let down = post(&api, &format!("{path}/test"), json!({})).await;
    assert_eq!(down.problem(), (409, "conflict"));
    let nobody = "/v1/webhook_endpoints/we_00000000000000000000000001/test";
    assert_eq!(post(&api, nobody, json!({})).await.problem(), (404, "not_found"));
}

#[tokio::test]
async fn what_was_missed_is_counted_and_told_again_as_a_job() {
    let api = Api::start().await;
    cancel_one(&api).await;
    let path = endpoint(&api).await;
    cancel_one(&api).await;
    attempt(&api, DeliveryNext::Exhausted).await;
    let ago = now().plus(Duration::ZERO).unix_ms() - 3_600_000;
    let since = domain::Timestamp::from_unix_ms(ago).to_string();
    let recover = format!("{path}/recover");
    let wanted = json!({"since": since, "include_unattempted": true});

    let mut dry = wanted.clone();
    dry["dry_run"] = json!(true);
    let counted = post(&api, &recover, dry).await;
    assert_eq!((&counted.body["deliveries"], &counted.body["unattempted"]), (&json!(1), &json!(1)));

    let begun = post(&api, &recover, wanted.clone()).await;
    assert_eq!((begun.status, begun.text("status")), (202, "running"));
    let job = begun.header("location").unwrap().to_owned();
    assert_eq!(post(&api, &recover, wanted).await.problem(), (409, "conflict"));
    recover_all(&api).await;

    let done = Told::by(api.get(&job)).await;
    assert_eq!((done.text("status"), &done.body["recovered"]), ("done", &json!(2)));
    let stranger = testkit::Seller::create(&api.database.store).await;
    let other = Told::by(api.request(Method::GET, &job, &stranger.key)).await;
    assert_eq!(other.problem(), (404, "not_found"));
}

#[tokio::test]
async fn a_recovery_of_no_time_is_refused() {
    let api = Api::start().await;
    let recover = format!("{}/recover", endpoint(&api).await);
    let (soon, long_ago) = (now().plus(Duration::from_secs(60)), now().unix_ms() - 31 * 86_400_000);
    let long_ago = domain::Timestamp::from_unix_ms(long_ago);
    for since in [soon.to_string(), long_ago.to_string(), "yesterday".to_owned()] {
        let refused = post(&api, &recover, json!({"since": since})).await;
        assert_eq!(refused.problem(), (422, "malformed_field"), "{since}");
        assert_eq!(refused.body["errors"][0]["pointer"], "/since");
    }
}

#[tokio::test]
async fn an_endpoint_that_is_enabled_hears_what_it_missed_where_that_is_wanted() {
    let api = Api::start().await;
    let path = endpoint(&api).await;
    post(&api, &format!("{path}/disable"), json!({})).await;
    // No body, and one that says nothing, are the same.
    assert_eq!(post(&api, &format!("{path}/enable"), Value::Null).await.status, 200);
    post(&api, &format!("{path}/disable"), json!({})).await;
    cancel_one(&api).await;
    let since = domain::Timestamp::from_unix_ms(now().unix_ms() - 60_000).to_string();
    let enabled = post(&api, &format!("{path}/enable"), json!({"recover_since": since})).await;
    assert_eq!((enabled.status, enabled.text("status")), (200, "enabled"));

    recover_all(&api).await;

    let listed = Told::by(api.get(&format!("{path}/deliveries"))).await;
    let told: Vec<&Value> =
        listed.body["data"].as_array().unwrap().iter().map(|row| &row["kind"]).collect();
    assert_eq!(told, [&json!("replay")]);
}

#[tokio::test]
async fn every_type_of_event_has_a_schema_that_its_example_fits_and_no_other() {
    let api = Api::start().await;
    let listed = Told::by(api.get("/v1/event_types")).await;
    let types = listed.body["data"].as_array().unwrap();
    assert_eq!(types.len(), EventType::ALL.len());
    for described in types {
        let schema = &described["schema"];
        let fits = |body: &Value| testkit::conforms(schema, body);
        assert!(fits(&described["example"]), "{}", described["type"]);
        let mut other = described["example"].clone();
        other["type"] = json!("payment.done");
        assert!(!fits(&other), "{}", described["type"]);
    }
}

#[tokio::test]
async fn the_key_of_an_endpoint_is_shown_to_who_verifies_with_it() {
    let api = Api::start().await;
    let made = api.endpoint(json!({"url": URL, "signatures": ["v1", "v1a"]})).await;
    api.endpoint(json!({"url": URL})).await;
    let store = &api.database.store;
    let secrets = store.ed25519_secrets(None, 10, now()).await.unwrap();
    let key = endpoint_key(&secrets[0]).public();
    for (query, count) in [(String::new(), 2), (format!("?endpoint={}", made.text("id")), 1)] {
        let path = format!("/.well-known/webhook-keys.json{query}");
        let told = Told::by(api.anonymous(Method::GET, &path)).await;
        assert_eq!(told.body["keys"].as_array().unwrap().len(), count, "{path}");
        assert_eq!(KeyDocument::parse(&told.bytes).unwrap().find(key.id()), Some(&key));
    }
    let secret = format!("/v1/webhook_endpoints/{}/secret", made.text("id"));
    let shown = Told::by(api.get(&secret)).await;
    assert!(shown.text("public_key").starts_with("whpk_"));
}
