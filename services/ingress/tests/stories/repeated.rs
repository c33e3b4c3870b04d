//! Submissions that arrive more than once.

use std::collections::HashSet;

use domain::{Event, Scope};
use serde_json::{Value, json};
use store::Change;
use testkit::{Buyer, SignedAuthorization};
use x402::Version;

use crate::shop::{Shop, Told, new_seller, now};

const KEY: &str = "idempotency-key";

/// How many submissions arrive at once.
const CROWD: usize = 200;

fn signed() -> SignedAuthorization {
    Buyer::new().authorize().sign()
}

#[tokio::test]
async fn the_same_request_under_the_same_key_is_the_same_payment() {
    let shop = Shop::open().await;
    let body = signed().body(Version::V2);
    let first = Told::by(shop.post(&body).header(KEY, "\"k-1\"")).await;
    let again = Told::by(shop.post(&body).header(KEY, "k-1")).await;

    assert_eq!((first.status, again.status), (202, 202));
    assert_eq!(first.header("idempotent-replayed"), None);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(first.body, again.body);
    assert_eq!(shop.count("payments").await, 1);
}

#[tokio::test]
async fn how_the_same_request_is_written_does_not_matter() {
    let shop = Shop::open().await;
    let signed = signed();
    let mut plain = signed.body(Version::V2);
    plain["metadata"] = json!({"a": 1, "b": 2});
    let mut other = signed.body_with_header(Version::V2);
    other["finality"] = json!("confirmed");
    other["reference"] = Value::Null;
    let other = serde_json::to_string_pretty(&other).unwrap();
    let other = other.replacen('{', "{\"metadata\": {\"b\": 2, \"a\": 1},", 1);

    let first = Told::by(shop.post(&plain).header(KEY, "k-1")).await;
    let again = Told::by(shop.post(&plain).header(KEY, "k-1").body(other)).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"), "{}", again.body);
    assert_eq!((again.status, again.id()), (202, first.id()));
}

#[tokio::test]
async fn a_key_cannot_be_used_for_another_request() {
    let shop = Shop::open().await;
    let mut body = signed().body(Version::V2);
    let first = Told::by(shop.post(&body).header(KEY, "k-1")).await;
    body["reference"] = json!("order_4712");
    let noted = Told::by(shop.post(&body).header(KEY, "k-1")).await;
    let other = Told::by(shop.post(&signed().body(Version::V2)).header(KEY, "k-1")).await;

    for told in [noted, other] {
        assert_eq!((told.status, told.code()), (422, "idempotency_key_reused"));
        assert_eq!(told.body["payment_id"], json!(first.id()));
        assert_eq!(told.body["retryable"], json!(false));
    }
    assert_eq!(shop.count("payments").await, 1);
}

#[tokio::test]
async fn a_key_belongs_to_its_account() {
    let shop = Shop::open().await;
    let other = new_seller(&shop.database.store, &[Scope::PaymentsWrite]).await;
    let mine = Told::by(shop.post(&signed().body(Version::V2)).header(KEY, "k-1")).await;
    let theirs = shop.post_as(&other, &signed().body(Version::V2)).header(KEY, "k-1");
    let theirs = Told::by(theirs).await;
    assert_eq!((mine.status, theirs.status), (202, 202));
    assert_ne!(mine.id(), theirs.id());
}

#[tokio::test]
async fn a_refused_request_does_not_use_its_key_up() {
    let shop = Shop::open().await;
    let good = signed().body(Version::V2);
    let mut bad = good.clone();
    bad["paymentRequirements"]["amount"] = json!("1");
    let refused = Told::by(shop.post(&bad).header(KEY, "k-1")).await;
    let accepted = Told::by(shop.post(&good).header(KEY, "k-1")).await;
    assert_eq!((refused.status, accepted.status), (422, 202));
}

#[tokio::test]
async fn the_same_authorization_is_the_same_payment_whatever_its_key() {
    let shop = Shop::open().await;
    let body = signed().body(Version::V2);
    let first = Told::by(shop.post(&body).header(KEY, "k-1")).await;
    for request in [shop.post(&body).header(KEY, "k-2"), shop.post(&body)] {
        let again = Told::by(request.header("prefer", "respond-async")).await;
        assert_eq!((again.status, again.id()), (200, first.id()));
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        assert_eq!(again.header("preference-applied"), None);
    }
    assert_eq!(shop.count("payments").await, 1);
}

#[tokio::test]
async fn another_account_learns_nothing_of_an_authorization() {
    let shop = Shop::open().await;
    let other = new_seller(&shop.database.store, &[Scope::PaymentsWrite]).await;
    let body = signed().body(Version::V2);
    let first = Told::by(shop.post(&body)).await;
    let told = Told::by(shop.post_as(&other, &body)).await;

    assert_eq!((told.status, told.code()), (409, "authorization_already_submitted"));
    assert!(!told.body.to_string().contains(first.id()));
    assert_eq!((told.header("location"), told.header("etag")), (None, None));
}

#[tokio::test]
async fn a_repeat_is_told_where_the_payment_stands_by_now() {
    let shop = Shop::open().await;
    let body = signed().body(Version::V2);
    Told::by(shop.post(&body).header(KEY, "k-1")).await;
    let payment = shop.payments().await.remove(0);
    let canceled = Change { payment, event: Event::Canceled, carrier: None };
    shop.database.store.advance(vec![canceled], now()).await.unwrap();

    let again = Told::by(shop.post(&body).header(KEY, "k-1")).await;
    assert_eq!(again.status, 202);
    assert_eq!(again.body["status"], json!("canceled"));
    assert_eq!(again.body["terminal"], json!(true));
    assert_eq!(again.header("etag"), Some("\"v2\""));
    assert_eq!((again.header("retry-after"), again.body.get("next_poll_ms")), (None, None));
}

#[tokio::test]
async fn a_crowd_with_one_authorization_makes_one_payment() {
    let shop = Shop::open().await;
    let body = signed().body(Version::V2);
    let crowd = (0..CROWD).map(|_| tokio::spawn(Told::by(shop.post(&body))));
    let mut told = Vec::new();
    for one in crowd.collect::<Vec<_>>() {
        told.push(one.await.unwrap());
    }

    let ids: HashSet<&str> = told.iter().map(Told::id).collect();
    let accepted = told.iter().filter(|told| told.status == 202).count();
    let existing = told.iter().filter(|told| told.status == 200).count();
    assert_eq!((ids.len(), accepted, existing), (1, 1, CROWD - 1));
    assert_eq!((shop.count("payments").await, shop.count("payment_events").await), (1, 1));
}

#[tokio::test]
async fn a_crowd_with_an_authorization_each_makes_a_payment_each() {
    let shop = Shop::open().await;
    let bodies: Vec<Value> = (0..CROWD).map(|_| signed().body(Version::V2)).collect();
    let crowd = bodies.iter().map(|body| tokio::spawn(Told::by(shop.post(body).header(KEY, "k"))));
    let mut statuses = Vec::new();
    for one in crowd.collect::<Vec<_>>() {
        statuses.push(one.await.unwrap().status);
    }
    // They share a key as well: one of them gets it, and the others are told so.
    statuses.sort_unstable();
    assert_eq!(statuses[0], 202);
    assert!(statuses[1..].iter().all(|status| *status == 422), "{statuses:?}");

    let crowd = bodies.iter().map(|body| tokio::spawn(Told::by(shop.post(body))));
    for one in crowd.collect::<Vec<_>>() {
        let status = one.await.unwrap().status;
        assert!(matches!(status, 200 | 202), "{status}");
    }
    assert_eq!(shop.count("payments").await, i64::try_from(CROWD).unwrap());
}
