//! Submissions that are refused: each with its reason, none with a trace in the ledger.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use domain::{Address, Scope};
use serde_json::{Value, json};
use testkit::{Buyer, SignedAuthorization};
use x402::{Version, Wallets, WrappedSignature};

use crate::shop::{Shop, Told, new_seller, now};

fn signed() -> SignedAuthorization {
    Buyer::new().authorize().sign()
}

/// The body of a good submission with `value` at `pointer`, which need not be there yet.
fn with(pointer: &str, value: Value) -> Value {
    edited(signed().body(Version::V2), pointer, value)
}

fn edited(mut body: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    body.pointer_mut(parent).unwrap()[name] = value;
    body
}

fn without(name: &str) -> Value {
    let mut body = signed().body(Version::V2);
    body.as_object_mut().unwrap().remove(name);
    body
}

/// The answer is this problem, about this field, and can be found again in the log.
pub(crate) fn assert_refused(told: &Told, status: u16, code: &str, pointer: Option<&str>) {
    let at = told.body.pointer("/errors/0/pointer").and_then(Value::as_str);
    assert_eq!((told.status, told.code(), at), (status, code, pointer), "{}", told.body);
    assert_eq!(told.header("content-type"), Some("application/problem+json"));
    assert_eq!(told.body["status"], json!(status));
    assert_eq!(told.body["instance"], json!("/v1/payments"));
    let request_id = told.header("x-request-id").unwrap();
    assert!(request_id.starts_with("req_"), "{request_id}");
    assert_eq!(told.body["request_id"], json!(request_id));
}

pub(crate) async fn assert_nothing_left(shop: &Shop) {
    for table in ["payments", "payment_events", "idempotency_keys", "risk_contexts"] {
        assert_eq!(shop.count(table).await, 0, "{table}");
    }
}

/// What is wrong with the request as such: its fields' names and types.
#[tokio::test]
async fn a_body_of_the_wrong_shape_is_refused_where_it_is_wrong() {
    let shop = Shop::open().await;
    let nested = (0..6).fold(json!(1), |inner, _| json!({"in": inner}));
    for (body, pointer) in [
        (without("x402Version"), "/x402Version"),
        (without("paymentPayload"), "/paymentPayload"),
        (without("paymentRequirements"), "/paymentRequirements"),
        (with("/x402Version", json!("2")), "/x402Version"),
        (with("/x402Version", json!(2.5)), "/x402Version"),
        (with("/x402_version", json!(2)), "/x402_version"),
        (with("/finalty", json!("safe")), "/finalty"),
        (with("/finality", json!("instant")), "/finality"),
        (with("/finality", json!(1)), "/finality"),
        (with("/reference", json!("")), "/reference"),
        (with("/reference", json!("a\u{7}b")), "/reference"),
        (with("/reference", json!("r".repeat(201))), "/reference"),
        (with("/reference", json!(["order"])), "/reference"),
        (with("/metadata", json!("note")), "/metadata"),
        (with("/metadata", json!([1])), "/metadata"),
        (with("/metadata", nested), "/metadata"),
        (with("/metadata", json!({"nul": "\0"})), "/metadata"),
        (with("/metadata", json!({"note": "n".repeat(4_096)})), "/metadata"),
    ] {
        let told = Told::by(shop.post(&body).header("idempotency-key", "k")).await;
        assert_refused(&told, 400, "invalid_request", Some(pointer));
    }
    assert_nothing_left(&shop).await;
}

#[tokio::test]
async fn what_is_not_a_json_request_is_refused() {
    let shop = Shop::open().await;
    let good = signed().body(Version::V2).to_string();
    let long = with("/metadata", json!({"note": "n".repeat(70_000)}));
    let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
    for (body, status, code) in [
        (String::new(), 400, "malformed_json"),
        ("not json".to_owned(), 400, "malformed_json"),
        (good[..good.len() - 1].to_owned(), 400, "malformed_json"),
        (format!("{good}{good}"), 400, "malformed_json"),
        (good.replacen("{\"", "{\"\u{1}", 1), 400, "malformed_json"),
        (
            good.replacen("\"paymentPayload\":", &format!("\"paymentPayload\":{deep},\"p\":"), 1),
            400,
            "malformed_json",
        ),
        (long.to_string(), 413, "payload_too_large"),
    ] {
        let told = Told::by(shop.post(&json!({})).body(body)).await;
        assert_refused(&told, status, code, None);
    }
    for content_type in ["text/plain", "application/x-www-form-urlencoded"] {
        let request = shop.post_with_type(content_type, good.clone());
        assert_refused(&Told::by(request).await, 415, "unsupported_media_type", None);
    }
    assert_nothing_left(&shop).await;
}

/// What is wrong with the payment: one row for each rule, in the order of the rules.
#[tokio::test]
async fn a_payment_that_breaks_a_rule_is_refused_by_its_name() {
    let shop = Shop::open().await;
    let required = "/paymentRequirements";
    let payload = "/paymentPayload/payload";
    let accepted = "/paymentPayload/accepted";
    let somebody = json!(Address::repeat_byte(9));
    for (at, name, value, code) in [
        ("", "/x402Version", json!(3), "unsupported_version"),
        ("", "/paymentPayload", json!("bm90IGpzb24="), "malformed_field"),
        ("", "/paymentPayload", json!(null), "malformed_field"),
        ("/paymentPayload", "/x402Version", json!(1), "unsupported_version"),
        (required, "/scheme", json!("upto"), "unsupported_scheme"),
        (accepted, "/scheme", json!("upto"), "scheme_mismatch"),
        (required, "/network", json!("eip155:1"), "unsupported_network"),
        (required, "/network", json!("base-sepolia"), "unsupported_network"),
        (accepted, "/network", json!("eip155:8453"), "network_mismatch"),
        (required, "/extra/assetTransferMethod", json!("erc7710"), "unsupported_scheme"),
        (required, "/asset", somebody.clone(), "unsupported_asset"),
        (required, "/asset", json!("USDC"), "malformed_field"),
        (required, "/amount", json!(10_000), "malformed_field"),
        (required, "/amount", json!("0"), "malformed_field"),
        (required, "/amount", json!(null), "malformed_field"),
        (required, "/payTo", json!("0x12"), "malformed_field"),
        (required, "/extra/name", json!("USD Coin"), "asset_mismatch"),
        (accepted, "/asset", somebody.clone(), "asset_mismatch"),
        (accepted, "/amount", json!("9999"), "amount_mismatch"),
        (accepted, "/payTo", somebody.clone(), "recipient_mismatch"),
        (payload, "/permit2Authorization", json!({}), "unsupported_scheme"),
        (payload, "/authorization/from", json!("me"), "malformed_field"),
        (payload, "/authorization/nonce", json!("0x07"), "malformed_field"),
        (payload, "/authorization/to", somebody.clone(), "recipient_mismatch"),
        (payload, "/authorization/value", json!("10001"), "amount_mismatch"),
        (payload, "/authorization/validBefore", json!("1"), "authorization_expired"),
        (
            payload,
            "/authorization/validBefore",
            json!("99999999999"),
            "authorization_window_too_long",
        ),
        (payload, "/authorization/validAfter", json!("99999999999"), "authorization_not_yet_valid"),
        (payload, "/signature", json!(of_unknown_factory()), "unsupported_signature"),
        (payload, "/signature", json!("0x"), "malformed_field"),
        (payload, "/signature", json!(format!("0x01{}", "6492".repeat(16))), "malformed_field"),
        (payload, "/signature", json!("signed"), "malformed_field"),
    ] {
        let pointer = format!("{at}{name}");
        let told = Told::by(shop.post(&with(&pointer, value)).header("idempotency-key", "k")).await;
        assert_refused(&told, 422, code, Some(&pointer));
        assert!(told.body["x402_reason"].is_string(), "{}", told.body);
    }
    assert_nothing_left(&shop).await;
}

/// The signature is good each time: only the amount is another than the seller asks.
#[tokio::test]
async fn a_payment_that_was_signed_for_another_amount_than_is_required_is_refused() {
    let shop = Shop::open().await;
    let value = "/paymentPayload/payload/authorization/value";
    for (version, amount_name) in [(Version::V1, "maxAmountRequired"), (Version::V2, "amount")] {
        for amount in [1_u64, 9_999, 10_001] {
            let signed = Buyer::new().authorize().amount(amount).sign();
            let mut body = signed.body(version);
            body["paymentRequirements"][amount_name] = json!("10000");
            if version == Version::V2 {
                body["paymentPayload"]["accepted"]["amount"] = json!("10000");
            }
            let payload = body["paymentPayload"].to_string();
            let as_header =
                edited(body.clone(), "/paymentPayload", json!(BASE64_STANDARD.encode(payload)));
            for body in [body, as_header] {
                let told = Told::by(shop.post(&body)).await;
                assert_refused(&told, 422, "amount_mismatch", Some(value));
            }
            let told = Told::by(shop.post(&signed.body(version))).await;
            assert_eq!(told.status, 202, "where {amount} is required: {}", told.body);
        }
    }
    assert_eq!(shop.count("payments").await, 6);
}

/// A signature of a wallet that is yet to be deployed, by a contract that nobody listed.
fn of_unknown_factory() -> String {
    let wrapped = WrappedSignature {
        factory: Address::repeat_byte(0xfa),
        factory_call: vec![1; 36].into(),
        inner: signed().signature,
    };
    let bytes = wrapped.to_signature();
    let digits: String = bytes.reveal().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("0x{digits}")
}

#[tokio::test]
async fn where_every_payer_is_a_key_pair_no_other_signature_is_taken() {
    let (shop, _) = Shop::builder().wallets(Wallets::Refused).open().await;
    let signature = "/paymentPayload/payload/signature";
    for (value, code) in [
        ("0x00".to_owned(), "unsupported_signature"),
        (of_unknown_factory(), "unsupported_signature"),
        (format!("0x{}1b", "11".repeat(64)), "invalid_signature"),
    ] {
        let told = Told::by(shop.post(&with(signature, json!(value)))).await;
        assert_refused(&told, 422, code, Some(signature));
    }
    assert_nothing_left(&shop).await;
}

#[tokio::test]
async fn a_payment_that_somebody_else_signed_is_refused_where_every_payer_is_a_key_pair() {
    let (shop, _) = Shop::builder().wallets(Wallets::Refused).open().await;
    let (mine, theirs) = (signed(), signed());
    let from = "/paymentPayload/payload/authorization/from";
    let body = edited(mine.body(Version::V2), from, json!(theirs.authorization.payer));
    let told = Told::by(shop.post(&body)).await;
    let signature = "/paymentPayload/payload/signature";
    assert_refused(&told, 422, "invalid_signature", Some(signature));
    assert_eq!(told.body["x402_reason"], json!("invalid_exact_evm_signature"));
    assert_nothing_left(&shop).await;
}

#[tokio::test]
async fn the_window_is_measured_by_the_clock_of_the_day() {
    let shop = Shop::open().await;
    for (secs, status, code) in [
        (3, 422, "authorization_expired"),
        (60, 202, ""),
        (3_500, 202, ""),
        (3_700, 422, "authorization_window_too_long"),
    ] {
        let body = Buyer::new().authorize().valid_for(secs).sign().body(Version::V2);
        let told = Told::by(shop.post(&body)).await;
        assert_eq!((told.status, told.code()), (status, code), "{secs} s");
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_one_is_refused() {
    let shop = Shop::open().await;
    let body = signed().body(Version::V2);
    for key in ["", "\"\"", "two words", "\"open", &"k".repeat(256)] {
        let told = Told::by(shop.post(&body).header("idempotency-key", key)).await;
        assert_refused(&told, 400, "invalid_idempotency_key", None);
    }
    assert_nothing_left(&shop).await;
}

#[tokio::test]
async fn whoever_brings_no_good_key_is_not_let_in() {
    let shop = Shop::open().await;
    let store = &shop.database.store;
    let reader = new_seller(store, &[Scope::PaymentsRead, Scope::Webhooks, Scope::Ops]).await;
    let revoked = new_seller(store, &[Scope::PaymentsWrite]).await;
    store.revoke_api_key(revoked.key, now()).await.unwrap();
    let body = signed().body(Version::V2);
    let unknown = format!("Bearer {}x", shop.seller.token.reveal());
    let bare = || shop.post_bare(body.to_string());
    for (request, status, code) in [
        (bare(), 401, "unauthorized"),
        (bare().header("authorization", "Basic c2VsbGVyOng="), 401, "unauthorized"),
        (bare().header("authorization", "Bearer "), 401, "unauthorized"),
        (bare().header("authorization", unknown), 401, "unauthorized"),
        (shop.post_as(&revoked, &body), 401, "key_revoked"),
        (shop.post_as(&reader, &body), 403, "forbidden"),
        // Whether the body is any good is nobody else's business.
        (shop.post_bare("not json"), 401, "unauthorized"),
    ] {
        let told = Told::by(request).await;
        assert_refused(&told, status, code, None);
        let challenge = (status == 401).then_some("Bearer");
        assert_eq!(told.header("www-authenticate"), challenge);
    }
    assert_nothing_left(&shop).await;
}

#[tokio::test]
async fn other_methods_and_paths_are_refused_as_problems() {
    let shop = Shop::open().await;
    let told = Told::by(shop.http().get(shop.url("/v1/payments"))).await;
    assert_refused(&told, 405, "method_not_allowed", None);
    let told = Told::by(shop.http().post(shop.url("/v1/payment"))).await;
    assert_eq!((told.status, told.code()), (404, "not_found"));
}

#[tokio::test]
async fn no_answer_repeats_a_signature() {
    let shop = Shop::open().await;
    let signed = signed();
    let body = signed.body(Version::V2);
    let sent = body["paymentPayload"]["payload"]["signature"].as_str().unwrap().to_owned();
    let signature = "/paymentPayload/payload/signature";
    for bad in [
        edited(body.clone(), signature, json!(format!("{sent}0g"))),
        edited(body.clone(), signature, json!([sent])),
        edited(body.clone(), "/paymentPayload/payload", json!(sent)),
        edited(body.clone(), "/paymentPayload", json!(sent)),
        edited(body.clone(), "/x402Version", json!(sent)),
        edited(body.clone(), "/finality", json!(sent)),
        edited(body.clone(), "/metadata", json!(sent)),
    ] {
        let told = Told::by(shop.post(&bad)).await;
        assert!(matches!(told.status, 400 | 422), "{}", told.body);
        assert!(!told.body.to_string().contains(&sent[2..20]), "{}", told.body);
    }
}
