//! Payments that are taken.

use std::num::NonZeroUsize;
use std::time::Duration;

use access::PollTokens;
use domain::{Finality, PaymentState};
use queue::{Job, Queue, QueueConfig, Stream};
use serde_json::json;
use testkit::{Buyer, RedisServer};
use tokio_util::sync::CancellationToken;
use x402::Version;

use crate::shop::{Shop, Told};

/// How long a ring may take to arrive.
const RING: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_payment_is_accepted_with_all_it_takes_to_follow_it() {
    let shop = Shop::open().await;
    let body = Buyer::new().authorize().sign().body(Version::V2);
    let told = Told::by(shop.post(&body).header("prefer", "respond-async, wait=5")).await;

    let payment = shop.payments().await[0].id;
    let token = PollTokens::new(shop.database.store.clone()).mint(payment).await.unwrap();
    let id = payment.to_string();
    let path = format!("/v1/payments/{id}");
    assert_eq!(told.status, 202);
    assert_eq!(told.header("location"), Some(path.as_str()));
    assert_eq!(told.header("etag"), Some("\"v1\""));
    assert_eq!(told.header("retry-after"), Some("1"));
    assert_eq!(told.header("preference-applied"), Some("respond-async"));
    assert_eq!(told.header("idempotent-replayed"), None);
    assert_eq!(
        told.body,
        json!({
            "id": id, "object": "payment", "status": "accepted", "terminal": false, "version": 1,
            "status_url": path, "poll_token": token, "next_poll_ms": 1000,
        })
    );
}

#[tokio::test]
async fn what_only_a_contract_wallet_can_judge_is_taken_as_it_came() {
    let shop = Shop::open().await;
    let signature = "/paymentPayload/payload/signature";
    for digits in ["01".to_owned(), "11".repeat(65), "5a".repeat(8_192)] {
        let mut body = Buyer::new().authorize().sign().body(Version::V2);
        *body.pointer_mut(signature).unwrap() = json!(format!("0x{digits}"));
        let told = Told::by(shop.post(&body)).await;
        assert_eq!(told.status, 202, "{}", told.body);
        let stored = shop.payments().await[0].id;
        let stored = shop.database.store.load_signed(&[stored]).await.unwrap().pop().unwrap();
        let stored: String =
            stored.signature.reveal().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(stored, digits);
    }
}

#[tokio::test]
async fn what_was_accepted_is_in_the_ledger_as_it_was_signed() {
    let shop = Shop::open().await;
    let signed = Buyer::new().authorize().sign();
    let mut body = signed.body(Version::V2);
    body["finality"] = json!("finalized");
    body["reference"] = json!("order_4711");
    body["metadata"] = json!({"sku": "report-7", "lines": [1, 2.5, null]});
    let told = Told::by(shop.post(&body)).await;

    let payment = shop.payments().await.remove(0);
    assert_eq!(payment.authorization, signed.authorization);
    assert_eq!(payment.state, PaymentState::Accepted);
    assert_eq!(payment.finality, Finality::Finalized);
    assert_eq!(payment.reference.as_deref(), Some("order_4711"));
    assert_eq!(payment.metadata.as_ref(), Some(&body["metadata"]));
    assert_eq!(told.header("x-request-id"), Some(payment.request_id.as_str()));

    let stored = shop.database.store.load_signed(&[payment.id]).await.unwrap();
    assert_eq!(stored[0].signature, signed.signature);
    let timeline = shop.database.store.timeline(payment.id).await.unwrap();
    let told: Vec<&str> = timeline.iter().map(|entry| entry.r#type.as_str()).collect();
    assert_eq!(told, ["payment.accepted"]);
}

#[tokio::test]
async fn both_versions_are_taken_as_an_object_and_as_a_header() {
    let shop = Shop::open().await;
    for version in [Version::V1, Version::V2] {
        let (one, other) = (Buyer::new().authorize().sign(), Buyer::new().authorize().sign());
        for body in [one.body(version), other.body_with_header(version)] {
            let told = Told::by(shop.post(&body)).await;
            assert_eq!(told.status, 202, "{version:?}: {}", told.body);
        }
    }
    assert_eq!(shop.count("payments").await, 4);
}

#[tokio::test]
async fn the_status_url_is_absolute_where_the_operator_says_so() {
    let (shop, _) = Shop::builder().public_url("https://pay.example/api/").open().await;
    let told = Told::by(shop.post(&Buyer::new().authorize().sign().body(Version::V2))).await;
    let expected = format!("https://pay.example/api/v1/payments/{}", told.id());
    assert_eq!(told.body["status_url"], json!(expected));
}

#[tokio::test]
async fn the_risk_workers_are_rung_within_the_callers_trace() {
    let redis = RedisServer::start().await;
    let (shop, _) = Shop::builder().redis(redis.url()).open().await;
    let body = Buyer::new().authorize().sign().body(Version::V2);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = shop.post(&body).header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"));
    let told = Told::by(request).await;

    let job = next_job(&redis).await;
    assert_eq!(job.id, told.id());
    assert!(job.traceparent.unwrap().contains(trace));
}

#[tokio::test]
async fn a_repeated_payment_is_not_rung_for_again() {
    let redis = RedisServer::start().await;
    let (shop, _) = Shop::builder().redis(redis.url()).open().await;
    let repeated = Buyer::new().authorize().sign().body(Version::V2);
    Told::by(shop.post(&repeated)).await;
    next_job(&redis).await;

    Told::by(shop.post(&repeated)).await;
    let new = Told::by(shop.post(&Buyer::new().authorize().sign().body(Version::V2))).await;
    // Rings keep their order, so one for the repeated payment would come first.
    assert_eq!(next_job(&redis).await.id, new.id());
}

/// The next job that a risk worker gets.
async fn next_job(redis: &RedisServer) -> Job {
    let (sender, mut jobs) = tokio::sync::mpsc::unbounded_channel();
    let shutdown = CancellationToken::new();
    let queue = Queue::connect(QueueConfig::new(redis.url())).unwrap();
    let handler = move |job: Job| {
        sender.send(job).ok();
        std::future::ready(Ok(()))
    };
    let stop = shutdown.clone();
    let working =
        tokio::spawn(
            async move { queue.work(Stream::Risk, NonZeroUsize::MIN, handler, stop).await },
        );
    let job = tokio::time::timeout(RING, jobs.recv()).await.unwrap().unwrap();
    shutdown.cancel();
    working.await.unwrap().unwrap();
    job
}
