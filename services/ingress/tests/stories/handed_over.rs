//! What a buyer's agent hands over for a risk engine, and payments that come in a header as well.

use std::collections::HashMap;

use domain::{Mandate, PaymentId, RequestTrace, RiskContext};
use serde_json::json;
use testkit::{Buyer, SignedAuthorization};
use x402::Version;

use crate::refused::{assert_nothing_left, assert_refused};
use crate::shop::{Shop, Told};

const KEY: &str = "idempotency-key";
const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SESSION: &str = "0d7a9c52-0c3e-4a1f-8a5b-3f1f0a2b4c6d";
const TRACE: &str = "6f1c0e1a-8d3b-4d35-9f6e-2b1a7c9d0e11";
const HASH: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";

/// How many payments arrive at once.
const CROWD: usize = 50;

fn signed() -> SignedAuthorization {
    Buyer::new().authorize().sign()
}

fn secure() -> String {
    format!("w3c.v1;tp=00-{TRACE_ID}-00f067aa0ba902b7-01;ts=rojo%3D1")
}

fn evidence() -> String {
    format!("evd.v1;mr=mandates/1;ms={HASH};mt=application/json;sz=42")
}

fn everything() -> [(&'static str, String); 4] {
    [
        ("x-payment-secure", secure()),
        ("x-risk-session", SESSION.to_owned()),
        ("x-risk-trace", TRACE.to_owned()),
        ("x-ap2-evidence", evidence()),
    ]
}

impl Shop {
    /// A submission that comes with these headers.
    fn post_with<'a>(
        &self,
        signed: &SignedAuthorization,
        headers: impl IntoIterator<Item = (&'a str, String)>,
    ) -> reqwest::RequestBuilder {
        let request = self.post(&signed.body(Version::V2));
        headers.into_iter().fold(request, |request, (name, value)| request.header(name, value))
    }

    /// What came with this payment.
    async fn handed_over(&self, payment: PaymentId) -> Option<RiskContext> {
        self.database.store.risk_contexts(&[payment]).await.unwrap().remove(&payment)
    }
}

fn id(told: &Told) -> PaymentId {
    told.id().parse().unwrap()
}

#[tokio::test]
async fn what_an_agent_hands_over_is_kept_with_the_payment() {
    let shop = Shop::open().await;
    let told = Told::by(shop.post_with(&signed(), everything())).await;
    let expected = RiskContext {
        session: Some(SESSION.parse().unwrap()),
        trace: Some(TRACE.parse().unwrap()),
        request: Some(RequestTrace {
            parent: format!("00-{TRACE_ID}-00f067aa0ba902b7-01"),
            state: Some("rojo=1".to_owned()),
        }),
        mandate: Some(Mandate {
            reference: "mandates/1".to_owned(),
            sha256_b64url: HASH.to_owned(),
            mime: "application/json".to_owned(),
            size: 42,
        }),
    };
    assert_eq!(told.status, 202, "{}", told.body);
    assert_eq!(shop.handed_over(id(&told)).await, Some(expected));

    let told = Told::by(shop.post(&signed().body(Version::V2))).await;
    assert_eq!((told.status, shop.handed_over(id(&told)).await), (202, None));
}

#[tokio::test]
async fn a_session_without_a_trace_context_has_the_requests_own() {
    let shop = Shop::open().await;
    let parent = format!("00-{TRACE_ID}-00f067aa0ba902b7-01");
    let headers = [("x-risk-session", SESSION.to_owned()), ("traceparent", parent.clone())];
    let told = Told::by(shop.post_with(&signed(), headers)).await;
    let context = shop.handed_over(id(&told)).await.unwrap();
    let request = context.request.unwrap();
    // It is a step within the caller's trace, and not the caller's own.
    assert!(request.parent.starts_with(&format!("00-{TRACE_ID}-")), "{request:?}");
    assert_ne!(request, RequestTrace { parent: parent.clone(), state: None });
    assert_eq!(request.state, None);

    let headers = [("x-risk-trace", TRACE.to_owned()), ("traceparent", parent)];
    let told = Told::by(shop.post_with(&signed(), headers)).await;
    let trace = TRACE.parse().ok();
    let expected = RiskContext { trace, ..RiskContext::default() };
    assert_eq!(shop.handed_over(id(&told)).await, Some(expected), "nobody is told of it");
}

#[tokio::test]
async fn each_of_many_at_the_same_instant_has_what_came_with_it() {
    let shop = Shop::open().await;
    let session = |n: usize| format!("0d7a9c52-0c3e-4a1f-8a5b-{n:012x}");
    let crowd = (0..CROWD).map(|n| {
        // Every third has nothing with it.
        let headers = (n % 3 != 0).then(|| ("x-risk-session", session(n)));
        tokio::spawn(Told::by(shop.post_with(&signed(), headers)))
    });
    let crowd: Vec<_> = crowd.collect();
    let (mut expected, mut ids) = (HashMap::new(), Vec::new());
    for (n, told) in crowd.into_iter().enumerate() {
        let payment = id(&told.await.unwrap());
        ids.push(payment);
        if n % 3 != 0 {
            expected.insert(payment, session(n).parse().ok());
        }
    }
    let stored = shop.database.store.risk_contexts(&ids).await.unwrap();
    let sessions: HashMap<_, _> =
        stored.into_iter().map(|(payment, context)| (payment, context.session)).collect();
    assert_eq!(sessions, expected);
}

#[tokio::test]
async fn a_header_that_is_not_well_formed_is_refused_by_name() {
    let shop = Shop::open().await;
    let (uuid_7, long) = ("0195a4d4-9a0f-7bb1-89bf-61b4e8b1a6d2", "a".repeat(4_097));
    let zero = format!("w3c.v1;tp=00-{}-00f067aa0ba902b7-01", "0".repeat(32));
    let nul = secure().replace("rojo", "%00");
    let cut = secure().replace("rojo", "%C3");
    for (name, code, values) in [
        ("X-PAYMENT-SECURE", "trace_header_invalid", vec![String::new()]),
        ("X-PAYMENT-SECURE", "trace_header_invalid", vec![zero]),
        ("X-PAYMENT-SECURE", "trace_header_invalid", vec![nul]),
        ("X-PAYMENT-SECURE", "trace_header_invalid", vec![cut]),
        ("X-PAYMENT-SECURE", "trace_header_invalid", vec![format!("{};", secure())]),
        ("X-PAYMENT-SECURE", "trace_header_invalid", vec![format!("{};xx=1", secure())]),
        ("X-PAYMENT-SECURE", "trace_header_invalid", vec![format!("{}{long}", secure())]),
        ("X-PAYMENT-SECURE", "trace_header_invalid", vec![secure(), format!("{}1", secure())]),
        ("X-RISK-SESSION", "risk_session_invalid", vec!["me".to_owned()]),
        ("X-RISK-SESSION", "risk_session_invalid", vec![uuid_7.to_owned()]),
        ("X-RISK-SESSION", "risk_session_invalid", vec![SESSION.to_owned(), TRACE.to_owned()]),
        ("X-RISK-TRACE", "risk_trace_invalid", vec![format!("{TRACE}, {TRACE}")]),
        ("X-RISK-TRACE", "risk_trace_invalid", vec![uuid_7.to_owned()]),
        ("X-AP2-EVIDENCE", "evidence_header_invalid", vec![evidence().replace("=42", "=-42")]),
        ("X-AP2-EVIDENCE", "evidence_header_invalid", vec![evidence().replace("mr=", "mt=")]),
        ("X-AP2-EVIDENCE", "evidence_header_invalid", vec![format!("{}{long}", evidence())]),
    ] {
        let headers = values.iter().map(|value| (name, value.clone()));
        let told = Told::by(shop.post_with(&signed(), headers).header(KEY, "k")).await;
        let pointer = format!("/headers/{name}");
        assert_refused(&told, 400, "invalid_risk_header", Some(&pointer));
        assert_eq!(told.body["errors"][0]["code"], json!(code), "{name}: {values:?}");
    }
    assert_nothing_left(&shop).await;

    let twice = [("x-risk-session", SESSION.to_owned()), ("x-risk-session", SESSION.to_owned())];
    let told = Told::by(shop.post_with(&signed(), twice)).await;
    assert_eq!(told.status, 202, "the same said twice is said: {}", told.body);
}

#[tokio::test]
async fn under_one_key_the_same_is_handed_over_each_time() {
    let shop = Shop::open().await;
    let signed = signed();
    let first = Told::by(shop.post_with(&signed, everything()).header(KEY, "k-1")).await;
    let again = Told::by(shop.post_with(&signed, everything()).header(KEY, "k-1")).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!((again.status, again.id()), (202, first.id()));

    let kept = shop.handed_over(id(&first)).await;
    for left_out in everything() {
        let others = everything().into_iter().filter(|(name, _)| *name != left_out.0);
        let told = Told::by(shop.post_with(&signed, others).header(KEY, "k-1")).await;
        assert_eq!((told.status, told.code()), (422, "idempotency_key_reused"), "{left_out:?}");
        assert_eq!(told.body["payment_id"], json!(first.id()));
    }
    let told = Told::by(shop.post(&signed.body(Version::V2)).header(KEY, "k-1")).await;
    assert_eq!((told.status, told.code()), (422, "idempotency_key_reused"));
    assert_eq!(shop.handed_over(id(&first)).await, kept);
}

#[tokio::test]
async fn the_trace_that_stands_in_is_no_part_of_what_a_request_says() {
    let shop = Shop::open().await;
    let signed = signed();
    let session = || [("x-risk-session", SESSION.to_owned())];
    let first = Told::by(shop.post_with(&signed, session()).header(KEY, "k-1")).await;
    let kept = shop.handed_over(id(&first)).await;
    // Each request without a `traceparent` is a trace of its own.
    let again = Told::by(shop.post_with(&signed, session()).header(KEY, "k-1")).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"), "{}", again.body);
    assert_eq!(shop.handed_over(id(&first)).await, kept);
}

#[tokio::test]
async fn what_came_first_with_an_authorization_stays() {
    let shop = Shop::open().await;
    let (bare, full) = (signed(), signed());
    let without = Told::by(shop.post(&bare.body(Version::V2))).await;
    let with = Told::by(shop.post_with(&full, everything())).await;
    let kept = shop.handed_over(id(&with)).await;

    let session = [("x-risk-session", TRACE.to_owned())];
    let again = [
        Told::by(shop.post_with(&bare, everything())).await,
        Told::by(shop.post_with(&full, session)).await,
    ];
    assert_eq!(
        again.each_ref().map(|told| (told.status, id(told))),
        [(200, id(&without)), (200, id(&with)),]
    );
    assert_eq!(shop.handed_over(id(&without)).await, None);
    assert_eq!(shop.handed_over(id(&with)).await, kept);
}

#[tokio::test]
async fn a_payment_in_a_header_is_the_bodys_or_is_refused() {
    let shop = Shop::open().await;
    for (version, name) in [(Version::V1, "X-PAYMENT"), (Version::V2, "PAYMENT-SIGNATURE")] {
        for as_header in [false, true] {
            let (signed, other) = (signed(), signed());
            let body =
                if as_header { signed.body_with_header(version) } else { signed.body(version) };
            for value in [other.header(version), "no payment".to_owned(), String::new()] {
                let told = Told::by(shop.post(&body).header(name, value).header(KEY, "k")).await;
                let pointer = format!("/headers/{name}");
                assert_refused(&told, 400, "payment_header_mismatch", Some(&pointer));
            }
            let two = shop.post(&body).header(name, signed.header(version));
            let told = Told::by(two.header(name, other.header(version))).await;
            assert_eq!((told.status, told.code()), (400, "payment_header_mismatch"));
            let nonce = signed.authorization.nonce;
            let stored = shop.payments().await;
            assert!(stored.iter().all(|payment| payment.authorization.nonce != nonce));

            let told = Told::by(shop.post(&body).header(name, signed.header(version))).await;
            assert_eq!(told.status, 202, "{version:?}: {}", told.body);
        }
    }
}

#[tokio::test]
async fn the_body_has_the_payment_in_one_place() {
    let shop = Shop::open().await;
    let signed = signed();
    let mut body = signed.body(Version::V2);
    body["paymentHeader"] = json!(signed.header(Version::V2));
    let told = Told::by(shop.post(&body)).await;
    assert_refused(&told, 400, "invalid_request", Some("/paymentHeader"));
    assert_nothing_left(&shop).await;
}
