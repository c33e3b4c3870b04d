//! A payment as it stands.

use std::time::Duration;

use domain::{Address, B256, Event, Payment, SignerId, Submission, Timestamp, TransactionId};
use serde_json::json;
use store::{AttemptKind, Change, LaneRequest, NewAttempt, Round, Stored};
use testkit::Anvil;

use crate::api::{Api, Told, included, now};

#[tokio::test]
async fn an_open_payment_says_where_it_stands_and_when_to_ask_again() {
    let api = Api::start().await;
    let payment = api.payment().await;
    let told = Told::by(api.get(&format!("/v1/payments/{}", payment.id))).await;

    assert_eq!(told.status, 200);
    assert_eq!(told.text("id"), payment.id.to_string());
    assert_eq!(told.body["status"], json!("accepted"));
    assert_eq!(told.body["amount"], json!("10000"));
    assert_eq!(told.body["webhooks"], json!({"pending": 0, "delivered": 0, "failed": 0}));
    assert_eq!(told.body["next_poll_ms"], json!(1_200));
    assert_eq!(told.header("retry-after"), Some("2"));
    assert_eq!(told.header("etag"), Some("\"v1\""));
    assert_eq!(told.header("cache-control"), Some("private, no-cache"));
    assert_eq!(told.header("vary"), Some("Prefer"));
}

#[tokio::test]
async fn a_settled_payment_shows_its_whole_life_and_may_be_kept() {
    let api = Api::start().await;
    let payment = api.payment().await;
    let confirmed = api.advance(&payment, included()).await;
    api.advance(&confirmed, Event::Finalized).await;
    let told = Told::by(api.get(&format!("/v1/payments/{}", payment.id))).await;

    let timeline = told.body["timeline"].as_array().unwrap();
    let life: Vec<_> = timeline.iter().map(|entry| (&entry["version"], &entry["status"])).collect();
    let expected = [
        (&json!(1), &json!("accepted")),
        (&json!(2), &json!("confirmed")),
        (&json!(3), &json!("settled")),
    ];
    assert_eq!(life, expected);
    assert_eq!(told.body["terminal"], json!(true));
    assert_eq!(told.body["transaction"]["hash"], json!(B256::repeat_byte(7)));
    assert_eq!(told.header("cache-control"), Some("private, max-age=3600"));
    assert_eq!((told.header("retry-after"), told.body.get("next_poll_ms")), (None, None));
}

#[tokio::test]
async fn a_submitted_payment_shows_the_hash_to_look_for() {
    let api = Api::start().await;
    let approved = Event::Approved { until: now().plus(Duration::from_secs(60)) };
    let payment = api.advance(&api.payment().await, approved).await;
    submit(&api, payment.clone(), B256::repeat_byte(9)).await;

    let hash = json!({"hash": B256::repeat_byte(9), "block_number": null, "log_index": null});
    let shown = Told::by(api.get(&format!("/v1/payments/{}", payment.id))).await;
    assert_eq!((&shown.body["status"], &shown.body["transaction"]), (&json!("submitted"), &hash));
    let listed = Told::by(api.get("/v1/payments")).await;
    assert_eq!(listed.body["data"][0]["transaction"], hash);
}

#[tokio::test]
async fn a_client_that_has_the_version_gets_no_body() {
    let api = Api::start().await;
    let payment = api.payment().await;
    let path = format!("/v1/payments/{}", payment.id);
    let told = Told::by(api.get(&path).header("if-none-match", "\"v1\"")).await;
    assert_eq!((told.status, &told.body), (304, &json!(null)));
    assert_eq!((told.header("etag"), told.header("retry-after")), (Some("\"v1\""), Some("2")));

    api.advance(&payment, Event::Canceled).await;
    let told = Told::by(api.get(&path).header("if-none-match", "\"v1\"")).await;
    assert_eq!((told.status, told.header("etag")), (200, Some("\"v2\"")));
}

#[tokio::test]
async fn nothing_is_said_of_payments_while_the_ledger_is_away() {
    let api = Api::start().await;
    let path = format!("/v1/payments/{}", api.payment().await.id);
    assert_eq!(Told::by(api.get(&path)).await.status, 200);
    api.database.store.close().await;
    let told = Told::by(api.get(&path)).await;
    assert_eq!(told.problem(), (503, "unavailable"));
    assert!(told.header("retry-after").is_some());
}

/// Puts an approved payment into a stored transaction, as a settlement worker does.
async fn submit(api: &Api, payment: Payment, hash: B256) {
    let (store, address) = (&api.database.store, Address::repeat_byte(5));
    let signer = SignerId::new(runtime::new_uuid());
    store.register_signer(signer, Anvil::CHAIN, address).await.unwrap();
    let wanted = LaneRequest {
        owner: runtime::new_uuid(),
        chain: Anvil::CHAIN,
        addresses: vec![address],
        limit: 1,
        lease: Duration::from_secs(60),
    };
    let lane = store.take_lanes(&wanted).await.unwrap()[0];
    let transaction = TransactionId::new(runtime::new_uuid());
    let submission = Submission { transaction, approved_until: Timestamp::default() };
    let round = Round {
        transaction,
        nonce: 0,
        target: Anvil::TOKEN,
        input: vec![1],
        gas_limit: 100_000,
        attempt: NewAttempt {
            kind: AttemptKind::Payload,
            hash,
            raw: vec![2],
            max_fee_per_gas: 1,
            max_priority_fee_per_gas: 1,
            signed_at_block: 1,
        },
        changes: vec![Change { payment, event: Event::Submitted(submission), carrier: Some(hash) }],
    };
    let stored = store.store_round(&lane, round, now()).await.unwrap();
    assert!(matches!(stored, Stored::Committed(_)), "{stored:?}");
}
