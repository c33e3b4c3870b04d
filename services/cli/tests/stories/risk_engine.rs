//! A pipeline that relies on a risk engine.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Answer, Receiver, eventually};
use x402::Version;

use crate::pipeline::{DEADLINE, Pipeline};

const SESSION: &str = "8e03978e-40d5-43dd-bc93-6894a57f9324";
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// What an agent hands over.
fn headers() -> [(&'static str, String); 2] {
    [
        ("x-risk-session", SESSION.to_owned()),
        ("x-payment-secure", format!("w3c.v1;tp={TRACEPARENT}")),
    ]
}

/// A decision of an engine.
fn decision(decision: &str) -> Answer {
    let body = json!({"decision": decision, "decision_id": "d-1", "reasons": ["seen before"]});
    Answer::Typed(200, "application/json", body.to_string())
}

/// The status once it is this one.
async fn when(pipeline: &Pipeline, payment: &str, status: &str) -> Value {
    eventually(DEADLINE, || async {
        let url = format!("{}/v1/payments/{payment}?wait=2", pipeline.results().await);
        let (_, resource) = pipeline.get(&url).await?;
        (resource["status"] == status).then_some(resource)
    })
    .await
}

/// What the engine is told of how a payment ended.
async fn receipt(engine: &Receiver) -> Value {
    let path = "/api/v1/validation/verifiable-intent-receipt";
    eventually(DEADLINE, || async {
        engine.requests().iter().find(|request| request.target == path).map(|it| it.json())
    })
    .await
}

#[tokio::test]
async fn a_payment_is_settled_when_the_engine_has_allowed_it_and_says_so() {
    let engine = Receiver::start().await;
    engine.answer(decision("allow"));
    let pipeline = Pipeline::with_engine(&engine.url_of("")).await;
    let buyer = pipeline.buyer(1_000).await;
    let body = pipeline.sign(&buyer, 100).body(Version::V2);

    let payment = pipeline.pay_with(&body, &headers()).await;

    let settled = when(&pipeline, &payment, "settled").await;
    assert_eq!(settled["risk"]["decision_id"], "d-1");
    let asked = engine.requests().remove(0).json();
    assert_eq!(asked["sid"], SESSION);
    assert_eq!(asked["trace_context"]["tp"], TRACEPARENT);
    assert_eq!(asked["payment"]["version"], 2);
    assert!(!asked.to_string().contains("signature"), "whoever has it can move the money");
    let told = receipt(&engine).await;
    assert_eq!(told["payment"]["transaction"], settled["transaction"]["hash"]);
    assert_eq!(told["payment"]["settlementStatus"], "success");
    assert!(told["settlementAttemptId"].is_string(), "{told}");
    let url = format!("{}/v1/payments/{payment}/risk", pipeline.results().await);
    let (_, risk) = pipeline.get(&url).await.unwrap();
    assert_eq!(risk["data"][0]["engine"]["reasons"], json!(["seen before"]));
}

#[tokio::test]
async fn a_payment_that_the_engine_denies_moves_no_money() {
    let engine = Receiver::start().await;
    engine.answer(decision("deny"));
    let pipeline = Pipeline::with_engine(&engine.url_of("")).await;
    let buyer = pipeline.buyer(1_000).await;
    let body = pipeline.sign(&buyer, 100).body(Version::V2);
    let payment = pipeline.pay_with(&body, &headers()).await;
    let rejected = when(&pipeline, &payment, "rejected").await;
    assert_eq!(rejected["risk"]["reasons"], json!(["RISK_DENIED"]));
    assert!(pipeline.anvil.transfers_to(pipeline.pay_to).await.is_empty());
}

#[tokio::test]
async fn a_risk_worker_killed_while_it_asks_is_followed_by_one_that_asks_again() {
    let engine = Receiver::start().await;
    engine.answer(Answer::Hang);
    let mut pipeline = Pipeline::with_engine(&engine.url_of("")).await;
    let buyer = pipeline.buyer(1_000).await;
    let body = pipeline.sign(&buyer, 100).body(Version::V2);
    let payment = pipeline.pay_with(&body, &headers()).await;
    engine.wait_for(1, Duration::from_secs(60)).await;

    pipeline.crash(&["worker", "risk"]);
    engine.answer(decision("allow"));
    pipeline.start_role(&["worker", "risk"]);

    when(&pipeline, &payment, "settled").await;
    assert_eq!(pipeline.anvil.transfers_to(pipeline.pay_to).await.len(), 1);
}
