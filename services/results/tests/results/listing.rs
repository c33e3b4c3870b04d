//! Lists of payments.

use std::collections::HashSet;

use domain::{Event, Timestamp};
use serde_json::{Value, json};
use testkit::Buyer;

use crate::api::{Api, Told, included, now};

fn ids(told: &Told) -> Vec<&str> {
    let data = told.body["data"].as_array().unwrap();
    data.iter().map(|payment| payment["id"].as_str().unwrap()).collect()
}

/// The address in `Link: <…>; rel="next"`.
fn next(told: &Told) -> Option<String> {
    let link = told.header("link")?;
    Some(link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned())
}

#[tokio::test]
async fn paging_visits_each_payment_once_while_new_ones_arrive() {
    let api = Api::start().await;
    let mut expected = HashSet::new();
    for _ in 0..7 {
        expected.insert(api.payment().await.id.to_string());
    }
    let mut visited = Vec::new();
    let mut path = Some("/v1/payments?limit=3".to_owned());
    while let Some(page) = path {
        let told = Told::by(api.get(&page)).await;
        visited.extend(ids(&told).into_iter().map(str::to_owned));
        api.payment().await;
        path = next(&told);
    }
    assert_eq!(visited.len(), 7);
    assert_eq!(visited.into_iter().collect::<HashSet<_>>(), expected);
}

#[tokio::test]
async fn a_page_says_whether_there_is_another() {
    let api = Api::start().await;
    let (older, newer) = (api.payment().await, api.payment().await);
    let first = Told::by(api.get("/v1/payments?limit=1")).await;
    assert_eq!(ids(&first), [newer.id.to_string()]);
    assert_eq!(first.body["has_more"], json!(true));

    let cursor = first.text("next_cursor");
    let last = Told::by(api.get(&format!("/v1/payments?limit=1&cursor={cursor}"))).await;
    assert_eq!(ids(&last), [older.id.to_string()]);
    assert_eq!((&last.body["has_more"], &last.body["next_cursor"]), (&json!(false), &Value::Null));
    assert_eq!(last.header("link"), None);
}

fn minutes_ago(minutes: i64) -> Timestamp {
    Timestamp::from_unix_ms(now().unix_ms() - minutes * 60_000)
}

#[tokio::test]
async fn each_filter_finds_its_payment_alone() {
    let api = Api::start().await;
    let buyer = Buyer::new();
    let mut intake = api.seller.intake(&buyer.authorize().sign());
    intake.reference = Some("order 4711/ä".to_owned());
    let nonce = intake.authorization.nonce;
    // Ten minutes before the others.
    intake.accepted_at = minutes_ago(10);
    let wanted = api.seller.accept_intake(&api.database.store, intake).await;
    api.advance(&wanted, included()).await;
    api.payment().await;

    for filter in [
        "status=confirmed".to_owned(),
        format!("payer={}", buyer.address()),
        format!("payer={:x}", buyer.address()),
        "reference=order+4711%2F%C3%A4".to_owned(),
        format!("tx_hash=0x{}", "07".repeat(32)),
        "status=confirmed&network=eip155:84532".to_owned(),
        format!("nonce={nonce}"),
        format!("created_lt={}", minutes_ago(5)),
        format!("created_gte={}&created_lt={}", minutes_ago(15), minutes_ago(5)),
    ] {
        let told = Told::by(api.get(&format!("/v1/payments?{filter}"))).await;
        assert_eq!(ids(&told), [wanted.id.to_string()], "{filter}");
    }
    let too_late = format!("created_gte={}&status=confirmed", minutes_ago(5));
    for filter in ["network=eip155:1", "status=settled", "reference=order", &too_late] {
        let told = Told::by(api.get(&format!("/v1/payments?{filter}"))).await;
        assert!(ids(&told).is_empty(), "{filter}");
    }
}

#[tokio::test]
async fn a_cursor_is_good_for_its_own_filters_alone() {
    let api = Api::start().await;
    for _ in 0..2 {
        let payment = api.payment().await;
        api.advance(&payment, Event::Canceled).await;
    }
    let first = Told::by(api.get("/v1/payments?limit=1&status=canceled")).await;
    let cursor = first.text("next_cursor");
    for other in ["", "status=accepted", "status=canceled&network=eip155:84532"] {
        let told = Told::by(api.get(&format!("/v1/payments?{other}&cursor={cursor}"))).await;
        assert_eq!(told.problem(), (400, "invalid_cursor"), "{other}");
    }
    let told = Told::by(api.get(&format!("/v1/payments?cursor={cursor}&status=canceled"))).await;
    assert_eq!((told.status, ids(&told).len()), (200, 1));
}
