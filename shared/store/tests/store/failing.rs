//! Endpoints that fail: what is known of them, and who is told.

use domain::{Consequence, DeliveryId, EndpointId, EventType, Failing, Timestamp};
use serde_json::Value;
use store::{
    Announce, AttemptRecord, Delivery, DeliveryNext, EndpointState, EndpointUpdate, Reception,
};

use crate::ledger::{Ledger, NOW, later};

const HOUR: u64 = 3_600;

/// Where endpoints are, and where they move to.
const URL: &str = "https://seller.example/hook";
const ELSEWHERE: &str = "https://seller.example/elsewhere";

/// An endpoint with a delivery that is due, again and again.
async fn one_due(ledger: &Ledger) -> (EndpointId, DeliveryId) {
    let endpoint = ledger.endpoint(ledger.seller, &[EventType::Accepted]).await;
    ledger.payment().await;
    let wanted = store::DueDeliveries { limit: 10, share: 10, except: &[] };
    let due = ledger.store().due_deliveries(wanted, NOW).await.unwrap();
    (endpoint, due[0])
}

/// What is known of the endpoint after an attempt at this time that came to this.
async fn attempt(
    ledger: &Ledger,
    delivery: DeliveryId,
    reception: Reception,
    secs: u64,
) -> Option<Failing> {
    let claimed = claim(ledger, delivery, secs).await;
    record(ledger, &claimed, reception, secs).await
}

/// Claims the delivery at this time, which begins an attempt.
async fn claim(ledger: &Ledger, delivery: DeliveryId, secs: u64) -> Delivery {
    let store = ledger.store();
    ledger
        .sql("update webhook_deliveries set due_at = '2026-01-01T00:00:00Z', attempts = 0")
        .await
        .unwrap();
    ledger.sql("delete from webhook_attempts").await.unwrap();
    let claimed = store.claim_deliveries(&[delivery], later(secs), later(secs + 30)).await.unwrap();
    claimed.into_iter().next().unwrap()
}

/// What is known of the endpoint after the attempt that began at this time.
async fn record(
    ledger: &Ledger,
    claimed: &Delivery,
    reception: Reception,
    secs: u64,
) -> Option<Failing> {
    let record = AttemptRecord {
        delivery: claimed.id,
        endpoint: claimed.endpoint,
        url: claimed.url.clone(),
        reception,
        in_order: false,
        number: 1,
        lease_until: later(secs + 30),
        at: later(secs),
        duration_ms: 1,
        outcome: "answered",
        status: None,
        error: None,
        response: None,
        next: DeliveryNext::RetryAt(later(secs + 1)),
    };
    let failing = ledger.store().record_attempts(&[record], later(secs)).await.unwrap();
    failing.into_iter().next().map(|(_, failing)| failing)
}

async fn failing_since(ledger: &Ledger, endpoint: EndpointId) -> Option<Timestamp> {
    let endpoints = ledger.store().list_endpoints(ledger.seller).await.unwrap();
    endpoints.into_iter().find(|listed| listed.id == endpoint).unwrap().failing_since
}

#[tokio::test]
async fn an_endpoint_fails_from_its_first_failure_to_its_next_success() {
    let ledger = Ledger::open().await;
    let (endpoint, delivery) = one_due(&ledger).await;
    attempt(&ledger, delivery, Reception::Failed, 0).await;
    let failing = attempt(&ledger, delivery, Reception::Failed, 24 * HOUR).await.unwrap();
    assert_eq!((failing.since, failing.last_at), (NOW, later(24 * HOUR)));
    assert_eq!(failing.consequence(), Consequence::Warn(1));
    assert_eq!(failing_since(&ledger, endpoint).await, Some(NOW));

    assert_eq!(attempt(&ledger, delivery, Reception::Taken, 25 * HOUR).await, None);

    assert_eq!(failing_since(&ledger, endpoint).await, None);
}

/// Moves the endpoint to another URL.
async fn move_away(ledger: &Ledger, endpoint: EndpointId) {
    let update = EndpointUpdate { url: Some(ELSEWHERE.to_owned()), ..EndpointUpdate::default() };
    let store = ledger.store();
    let moved = store.update_endpoint(ledger.seller, endpoint, &update, NOW).await.unwrap();
    assert_eq!(moved.unwrap().failing_since, None);
}

#[tokio::test]
async fn what_another_url_answers_says_nothing_about_the_endpoint() {
    let ledger = Ledger::open().await;
    let (endpoint, delivery) = one_due(&ledger).await;
    attempt(&ledger, delivery, Reception::Failed, 0).await;
    let begun_before = claim(&ledger, delivery, 1).await;
    move_away(&ledger, endpoint).await;
    assert_eq!(failing_since(&ledger, endpoint).await, None);

    // It fails there.
    assert_eq!(record(&ledger, &begun_before, Reception::Failed, 1).await, None);
    assert_eq!(failing_since(&ledger, endpoint).await, None);
    let store = ledger.store();
    for (url, count) in [(URL, 1), (ELSEWHERE, 0)] {
        let gone = Announce::ToOthers(url);
        store.disable_endpoint(endpoint, "gone", gone, later(2)).await.unwrap();
        let listed = store.list_endpoints(ledger.seller).await.unwrap();
        let enabled = listed.iter().filter(|it| it.state == EndpointState::Enabled);
        assert_eq!(enabled.count(), count, "{url}");
    }
}

#[tokio::test]
async fn what_another_url_took_does_not_make_an_endpoint_well() {
    let ledger = Ledger::open().await;
    let (endpoint, delivery) = one_due(&ledger).await;
    let begun_before = claim(&ledger, delivery, 0).await;
    move_away(&ledger, endpoint).await;
    attempt(&ledger, delivery, Reception::Failed, 60).await;
    record(&ledger, &begun_before, Reception::Taken, 0).await;
    assert_eq!(failing_since(&ledger, endpoint).await, Some(later(60)));
}

#[tokio::test]
async fn after_a_long_silence_a_failure_begins_anew() {
    let ledger = Ledger::open().await;
    let (_, delivery) = one_due(&ledger).await;
    attempt(&ledger, delivery, Reception::Failed, 0).await;
    let failing = attempt(&ledger, delivery, Reception::Failed, 37 * HOUR).await.unwrap();
    assert_eq!(failing.since, later(37 * HOUR));
}

#[tokio::test]
async fn forbidden_addresses_count_only_in_a_row() {
    let ledger = Ledger::open().await;
    let (_, delivery) = one_due(&ledger).await;
    let mut counts = Vec::new();
    for (secs, reception) in (1..).zip([
        Reception::Blocked,
        Reception::Blocked,
        Reception::Failed,
        Reception::Blocked,
        Reception::Blocked,
        Reception::Blocked,
    ]) {
        counts.push(attempt(&ledger, delivery, reception, secs).await.unwrap().blocked);
    }
    assert_eq!(counts, [1, 2, 0, 1, 2, 3]);
}

#[tokio::test]
async fn the_owner_is_warned_once_over_its_other_endpoints() {
    let ledger = Ledger::open().await;
    let (endpoint, delivery) = one_due(&ledger).await;
    let other = ledger.endpoint(ledger.seller, &[EventType::EndpointFailing]).await;
    let stranger = ledger.account().await;
    ledger.endpoint(stranger, &[EventType::EndpointFailing]).await;
    attempt(&ledger, delivery, Reception::Failed, 0).await;

    let store = ledger.store();
    let told = store.warn_of_endpoint(endpoint, 1, later(5)).await.unwrap();
    assert!(store.warn_of_endpoint(endpoint, 1, later(6)).await.unwrap().is_empty());

    let claimed = store.claim_deliveries(&told, later(5), later(30)).await.unwrap();
    assert_eq!((claimed.len(), claimed[0].endpoint, claimed[0].payment), (1, other, None));
    let body: Value = serde_json::from_slice(&claimed[0].body).unwrap();
    assert_eq!(body["type"], "webhook_endpoint.failing");
    assert_eq!(body["data"]["id"], endpoint.to_string());
    assert_eq!(body["data"]["failing_since"], NOW.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_disabled_at_the_same_instant_tell_each_other_without_a_deadlock() {
    let ledger = Ledger::open().await;
    let mut endpoints = Vec::new();
    for _ in 0..6 {
        endpoints.push(ledger.endpoint(ledger.seller, &[EventType::EndpointDisabled]).await);
    }
    let disable = endpoints.iter().map(|endpoint| {
        ledger.store().disable_endpoint(*endpoint, "gone", Announce::ToOthers(URL), NOW)
    });
    let told: Vec<_> = futures::future::join_all(disable).await;
    let counts: Vec<usize> = told.into_iter().map(|told| told.unwrap().unwrap().len()).collect();
    // Each tells those that are not disabled yet.
    assert_eq!(counts.iter().sum::<usize>(), 5 + 4 + 3 + 2 + 1);
}
