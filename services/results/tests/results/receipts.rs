//! Receipts, and the keys that they are verified with.

use std::time::Duration;

use access::PollTokens;
use domain::{Event, Payment, PaymentId, Scope};
use receipt::{KeyDocument, Receipt, Statement};
use reqwest::Method;
use results::Settings;
use serde_json::{Value, json};
use testkit::Seller;

use crate::api::{Api, Told, included, now, settings};

const KEYS: &str = "/.well-known/webhook-keys.json";

async fn settled(api: &Api) -> Payment {
    let confirmed = api.advance_untold(&api.payment().await, included()).await.0;
    api.advance_untold(&confirmed, Event::Finalized).await.0
}

fn path(payment: PaymentId) -> String {
    format!("/v1/payments/{payment}/receipt")
}

async fn receipt_of(api: &Api, payment: PaymentId) -> Told {
    Told::by(api.get(&path(payment))).await
}

/// The key document as anybody gets it.
async fn keys(api: &Api) -> KeyDocument {
    let told = Told::by(api.anonymous(Method::GET, KEYS)).await;
    assert_eq!(told.status, 200);
    KeyDocument::parse(&told.bytes).unwrap()
}

fn verified(jws: &str, keys: &KeyDocument) -> Statement {
    Receipt::parse(jws).unwrap().verify(keys).unwrap()
}

#[tokio::test]
async fn the_receipt_of_a_settled_payment_verifies_with_the_public_keys_alone() {
    let api = Api::start().await;
    let payment = settled(&api).await;
    let told = receipt_of(&api, payment.id).await;

    assert_eq!((told.status, told.text("object")), (200, "receipt"));
    assert_eq!(told.text("payment"), payment.id.to_string());
    let statement = verified(told.text("jws"), &keys(&api).await);
    assert_eq!(Some(&statement), Statement::of(&payment).as_ref());
    assert_eq!(told.body["statement"], json!(statement));
    assert_eq!(told.header("cache-control"), Some("private, max-age=3600"));
    assert_eq!(told.header("vary"), Some("Accept"));
}

#[tokio::test]
async fn the_bare_receipt_is_the_same_bytes_each_time() {
    let api = Api::start().await;
    let payment = settled(&api).await;
    let bare = || api.get(&path(payment.id)).header("accept", "application/jose");
    let (told, again) = (Told::by(bare()).await, Told::by(bare()).await);

    assert_eq!((told.status, told.header("content-type")), (200, Some("application/jose")));
    assert_eq!(told.bytes, again.bytes);
    let with_statement = receipt_of(&api, payment.id).await;
    assert_eq!(told.bytes, with_statement.text("jws").as_bytes());
}

#[tokio::test]
async fn a_receipt_says_nothing_of_the_sellers_notes() {
    let api = Api::start().await;
    let payment = settled(&api).await;
    let noted = "update payments set reference = 'order 4711', metadata = '{\"margin\": 3}'";
    sqlx::raw_sql(noted).execute(api.database.store.pool()).await.unwrap();
    let told = receipt_of(&api, payment.id).await;

    let payload = Receipt::parse(told.text("jws")).unwrap().payload().unwrap();
    for text in [payload.to_string(), told.body["statement"].to_string()] {
        assert!(!text.contains("4711") && !text.contains("margin"), "{text}");
    }
}

#[tokio::test]
async fn a_payment_that_is_not_settled_has_no_receipt() {
    let api = Api::start().await;
    let open = api.payment().await;
    let (confirmed, _) = api.advance_untold(&api.payment().await, included()).await;
    let (canceled, _) = api.advance_untold(&api.payment().await, Event::Canceled).await;
    for (payment, status) in [(open, "accepted"), (confirmed, "confirmed"), (canceled, "canceled")]
    {
        let told = receipt_of(&api, payment.id).await;
        assert_eq!(told.problem(), (409, "conflict"));
        assert!(told.text("detail").contains(status), "{}", told.body);
        assert_eq!(told.text("payment_id"), payment.id.to_string());
    }
}

#[tokio::test]
async fn receipts_are_for_the_seller_and_whoever_has_the_poll_token() {
    let api = Api::start().await;
    let (payment, other) = (settled(&api).await, settled(&api).await);
    let token = PollTokens::new(api.database.store.clone()).mint(payment.id).await.unwrap();
    let stranger = Seller::create(&api.database.store).await;
    let narrow = api.seller.another_key(&api.database.store, &[Scope::PaymentsWrite]).await;
    let ask = |payment: &Payment, key: &str| api.request(Method::GET, &path(payment.id), key);

    let told = Told::by(ask(&payment, &token)).await;
    assert_eq!(told.body, receipt_of(&api, payment.id).await.body);
    assert_eq!(Told::by(ask(&other, &token)).await.problem(), (401, "unauthorized"));
    assert_eq!(Told::by(ask(&payment, &stranger.key)).await.problem(), (404, "not_found"));
    assert_eq!(Told::by(ask(&payment, &narrow.key)).await.problem(), (403, "forbidden"));
    let unknown = Told::by(api.get("/v1/payments/x/receipt")).await;
    assert_eq!(unknown.problem(), (404, "not_found"));
    let anonymous = Told::by(api.anonymous(Method::GET, &path(payment.id))).await;
    assert_eq!(anonymous.problem(), (401, "unauthorized"));
}

#[tokio::test]
async fn after_a_rotation_old_receipts_verify_and_the_new_key_signs_when_its_hour_is_over() {
    let fresh = Settings { signing_keys_kept: Duration::ZERO, ..settings() };
    let api = Api::with(fresh).await;
    let (store, payment) = (&api.database.store, settled(&api).await);
    let old = receipt_of(&api, payment.id).await;

    let waiting = store.add_signing_key(runtime::new_uuid(), [7; 32], now()).await.unwrap();
    assert_eq!(receipt_of(&api, payment.id).await.body, old.body, "it does not sign yet");
    let waiting = receipt::SigningKey::from_seed(&waiting.seed).public().id();
    assert!(keys(&api).await.find(waiting).is_some(), "it is shown already");

    let hour_over = "update signing_keys set active_from = now() where active_from > now()";
    sqlx::raw_sql(hour_over).execute(store.pool()).await.unwrap();
    let new = receipt_of(&api, payment.id).await;
    let keys = keys(&api).await;
    assert_eq!(Receipt::parse(new.text("jws")).unwrap().key(), waiting);
    assert_ne!(new.text("jws"), old.text("jws"));
    assert_eq!(verified(new.text("jws"), &keys), verified(old.text("jws"), &keys));
}

#[tokio::test]
async fn the_keys_are_for_everybody_and_may_be_kept_and_no_seed_is_among_them() {
    let api = Api::start().await;
    let told = Told::by(api.anonymous(Method::GET, KEYS)).await;

    assert_eq!(told.header("cache-control"), Some("public, max-age=300"));
    let listed = told.body["keys"].as_array().unwrap();
    let members = |key: &Value| key.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        listed.iter().map(members).collect::<Vec<_>>(),
        [["alg", "crv", "kid", "kty", "use", "x"]]
    );
    let key = &listed[0];
    assert_eq!((&key["kty"], &key["crv"]), (&json!("OKP"), &json!("Ed25519")));
    assert_eq!((&key["use"], &key["alg"]), (&json!("sig"), &json!("EdDSA")));
}

#[tokio::test]
async fn who_asks_for_the_keys_again_does_not_ask_the_ledger() {
    let api = Api::start().await;
    let first = Told::by(api.anonymous(Method::GET, KEYS)).await;
    api.database.store.close().await;
    let second = Told::by(api.anonymous(Method::GET, KEYS)).await;
    assert_eq!((second.status, second.body), (200, first.body));
}

#[tokio::test]
async fn no_keys_are_shown_while_the_ledger_is_away() {
    let api = Api::start().await;
    api.database.store.close().await;
    let told = Told::by(api.anonymous(Method::GET, KEYS)).await;
    assert_eq!(told.problem(), (503, "unavailable"));
}
