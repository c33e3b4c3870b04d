//! What a tenant allows, and payments on which somebody has to decide.

use std::time::Duration;

use domain::{Amount, Event, Payment, Scope, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};
use store::{Candidate, DecisionTerms};
use testkit::{Anvil, Seller};

use crate::api::{Api, Told, now};

const POLICY: &str = "/v1/risk/policy";

async fn put(api: &Api, policy: &Value) -> Told {
    Told::by(api.request(Method::PUT, POLICY, &api.seller.key).json(policy)).await
}

/// A bound on the amounts of the tests' token.
fn limits(limit: Value) -> Value {
    let mut limit = limit;
    limit["network"] = json!(Anvil::CHAIN);
    limit["asset"] = json!(Anvil::TOKEN);
    limit["per"] = json!("account");
    json!({ "limits": [limit] })
}

/// Decides on a payment as risk would, where the chain can pay it.
async fn decide(api: &Api, payment: Payment) {
    let as_of = now();
    let decide_by = Timestamp::from_unix_secs(payment.authorization.valid_before);
    let candidate = Candidate { payment, balance: Amount::from(u64::MAX), as_of, decide_by };
    let validity = Duration::from_secs(300);
    let terms = DecisionTerms { validity, engine: None, now: now() };
    api.database.store.decide(vec![candidate], Vec::new(), &terms).await.unwrap();
}

#[tokio::test]
async fn a_tenant_without_a_policy_allows_everything_until_it_writes_one() {
    let api = Api::start().await;
    let none = Told::by(api.get(POLICY)).await;
    assert_eq!((none.status, &none.body["version"]), (200, &json!(0)));

    let written = put(&api, &limits(json!({"daily": "100"}))).await;
    assert_eq!((written.status, written.header("etag")), (200, Some("\"v1\"")));
    assert_eq!(Told::by(api.get(POLICY)).await.body, written.body);
    let stranger = Seller::create(&api.database.store).await;
    let other = Told::by(api.request(Method::GET, POLICY, &stranger.key)).await;
    assert_eq!(other.body["version"], json!(0));
}

#[tokio::test]
async fn a_policy_is_not_written_over_one_that_the_writer_has_not_seen() {
    let api = Api::start().await;
    put(&api, &json!({})).await;
    let write = async |seen: &str| {
        let request = api.request(Method::PUT, POLICY, &api.seller.key).json(&json!({}));
        Told::by(request.header("if-match", seen)).await
    };
    assert_eq!(write("\"v0\"").await.problem(), (409, "conflict"));
    assert_eq!(write("anything").await.problem(), (409, "conflict"));
    assert_eq!(write("\"v1\"").await.status, 200);
}

#[tokio::test]
async fn a_policy_that_makes_no_sense_is_refused_where_it_stands() {
    let api = Api::start().await;
    for (policy, problem, pointer) in [
        (limits(json!({})), (422, "malformed_field"), "/limits/0"),
        (json!({"hold_seconds": 1}), (422, "malformed_field"), "/hold_seconds"),
        (json!({"on_engine_failure": "allow"}), (400, "invalid_request"), "/on_engine_failure"),
        (json!({"require_session": 1}), (400, "invalid_request"), "/require_session"),
        (json!({"limit": []}), (400, "invalid_request"), "/limit"),
        (json!({"hosts": {"allow": ["a b"]}}), (400, "invalid_request"), "/hosts/allow/0"),
    ] {
        let refused = put(&api, &policy).await;
        assert_eq!(refused.problem(), problem, "{policy}");
        assert_eq!(refused.body["errors"][0]["pointer"], pointer);
    }
    assert_eq!(Told::by(api.get(POLICY)).await.body["version"], json!(0));
}

#[tokio::test]
async fn rules_are_tried_on_past_payments_without_changing_anything() {
    let api = Api::start().await;
    for _ in 0..3 {
        api.payment().await;
    }
    let amount: u64 = api.payment().await.authorization.amount.to_string().parse().unwrap();
    let policy = limits(json!({"daily": (amount * 2).to_string()}));
    let path = format!("{POLICY}/dry_run");
    let request = api.request(Method::POST, &path, &api.seller.key);
    let tried = Told::by(request.json(&json!({"policy": policy, "payments": 10}))).await;
    assert_eq!((&tried.body["payments"], &tried.body["allow"]), (&json!(4), &json!(2)));
    assert_eq!(tried.body["reasons"], json!({"DAILY_BUDGET_EXCEEDED": 2}));
    assert_eq!(Told::by(api.get(POLICY)).await.body["version"], json!(0));

    let bad = json!({"policy": {"hold_seconds": 1}});
    let request = api.request(Method::POST, &path, &api.seller.key);
    let refused = Told::by(request.json(&bad)).await;
    assert_eq!(refused.body["errors"][0]["pointer"], "/policy/hold_seconds");
}

#[tokio::test]
async fn a_payment_tells_how_it_was_decided_on() {
    let api = Api::start().await;
    let payment = api.payment().await;
    let path = format!("/v1/payments/{}", payment.id);
    assert_eq!(Told::by(api.get(&path)).await.body["risk"], Value::Null);
    put(&api, &limits(json!({"max_per_payment": "1"}))).await;
    decide(&api, payment).await;

    let told = Told::by(api.get(&path)).await;
    assert_eq!((told.text("status"), &told.body["risk"]["decision"]), ("rejected", &json!("deny")));
    assert_eq!(told.body["risk"]["reasons"], json!(["PER_REQUEST_LIMIT_EXCEEDED"]));
    let why = Told::by(api.get(&format!("{path}/risk"))).await;
    assert_eq!(why.body["data"][0]["policy_version"], json!(1));
    // The rules that it was decided by can still be read when there are others.
    put(&api, &limits(json!({"max_per_payment": "2"}))).await;
    let version = async |version| Told::by(api.get(&format!("{POLICY}?version={version}"))).await;
    let then = version("1").await;
    let bound = &then.body["policy"]["limits"][0]["max_per_payment"];
    assert_eq!((&then.body["version"], bound), (&json!(1), &json!("1")));
    assert_eq!(version("3").await.problem(), (404, "not_found"));
    assert_eq!(version("one").await.problem(), (400, "invalid_query"));
    let stranger = Seller::create(&api.database.store).await;
    let other = api.request(Method::GET, &format!("{path}/risk"), &stranger.key);
    assert_eq!(Told::by(other).await.problem(), (404, "not_found"));
}

#[tokio::test]
async fn somebody_decides_on_a_held_payment_once_and_with_a_reason() {
    let api = Api::start().await;
    put(&api, &limits(json!({"approve_above": "1"}))).await;
    let payment = api.payment().await;
    decide(&api, payment.clone()).await;
    let operator = api.seller.another_key(&api.database.store, &[Scope::Ops]).await;
    let listed = Told::by(api.request(Method::GET, "/ops/v1/holds", &operator.key)).await;
    assert_eq!(listed.body["data"][0]["payment_id"], payment.id.to_string());
    assert_eq!(listed.body["data"][0]["risk"]["reasons"], json!(["APPROVAL_REQUIRED"]));
    let post = async |what: &str, reason: &str| {
        let path = format!("/ops/v1/holds/{}/{what}", payment.id);
        let request = api.request(Method::POST, &path, &operator.key);
        Told::by(request.json(&json!({"reason": reason}))).await
    };
    for nothing in ["", " \n"] {
        assert_eq!(post("approve", nothing).await.problem(), (422, "malformed_field"));
    }
    assert_eq!(post("approve", "they are known").await.status, 202);
    assert_eq!(post("approve", "they are known").await.status, 202);
    assert_eq!(post("deny", "too late").await.problem(), (409, "conflict"));

    let held = api.database.store.find_payment(api.seller.account, payment.id).await.unwrap();
    decide(&api, held.unwrap()).await;
    let told = Told::by(api.get(&format!("/v1/payments/{}", payment.id))).await;
    assert_eq!(told.text("status"), "approved");
    assert_eq!(post("approve", "again").await.problem(), (409, "conflict"));
}

#[tokio::test]
async fn nobody_decides_on_a_payment_that_is_not_held() {
    let api = Api::start().await;
    let payment = api.payment().await;
    api.advance_untold(&payment, Event::Held { until: Timestamp::from_unix_ms(0) }).await;
    let operator = api.seller.another_key(&api.database.store, &[Scope::Ops]).await;
    let approve = async |payment: &str, key: &str| {
        let path = format!("/ops/v1/holds/{payment}/approve");
        Told::by(api.request(Method::POST, &path, key).json(&json!({"reason": "why"}))).await
    };
    let open = api.payment().await.id.to_string();
    assert_eq!(approve(&open, &operator.key).await.problem(), (409, "conflict"));
    let nobody = "pay_00000000000000000000000001";
    assert_eq!(approve(nobody, &operator.key).await.problem(), (404, "not_found"));
    let narrow = api.seller.another_key(&api.database.store, &[Scope::Risk]).await;
    assert_eq!(approve(&open, &narrow.key).await.problem(), (403, "forbidden"));
}
