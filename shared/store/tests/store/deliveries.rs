//! Deliveries: each attempted by one process at a time, each attempt logged.

use std::collections::HashSet;

use domain::{DeliveryId, EndpointId, EventType, Timestamp};
use futures::future::join_all;
use store::{
    Announce, AttemptRecord, Delivery, DeliveryCounts, DeliveryFilter, DeliveryListing,
    DeliveryNext, DueDeliveries, Reception, Redelivery, Store,
};
use testkit::eventually;

use crate::ledger::{Ledger, NOW, PATIENCE, later};

const WANTED: DueDeliveries<'static> = DueDeliveries { limit: 1000, share: 1000, except: &[] };

/// An endpoint with as many deliveries that are due.
async fn waiting(ledger: &Ledger, count: usize) -> (EndpointId, Vec<DeliveryId>) {
    let endpoint = ledger.endpoint(ledger.seller, &[EventType::Accepted]).await;
    ledger.payments(count).await;
    let due = ledger.store().due_deliveries(WANTED, NOW).await.unwrap();
    assert_eq!(due.len(), count);
    (endpoint, due)
}

async fn claim(store: &Store, ids: &[DeliveryId], now: u64) -> Vec<Delivery> {
    store.claim_deliveries(ids, later(now), later(now + 30)).await.unwrap()
}

fn record(delivery: &Delivery, next: DeliveryNext) -> AttemptRecord {
    AttemptRecord {
        delivery: delivery.id,
        endpoint: delivery.endpoint,
        url: delivery.url.clone(),
        reception: Reception::Failed,
        in_order: delivery.in_order,
        number: delivery.attempts + 1,
        lease_until: delivery.lease_until,
        at: NOW,
        duration_ms: 12,
        outcome: "answered",
        status: Some(503),
        error: None,
        response: Some("come back later".to_owned()),
        next,
    }
}

/// Ends an attempt of each of four deliveries in another way; the last is due again then.
async fn each_its_own_way(
    ledger: &Ledger,
    claimed: &[Delivery],
    again: Timestamp,
) -> [DeliveryNext; 4] {
    let nexts = [
        DeliveryNext::Delivered,
        DeliveryNext::Exhausted,
        DeliveryNext::Aborted,
        DeliveryNext::RetryAt(again),
    ];
    let records: Vec<AttemptRecord> =
        claimed.iter().zip(nexts).map(|(delivery, next)| record(delivery, next)).collect();
    ledger.store().record_attempts(&records, later(1)).await.unwrap();
    nexts
}

async fn listed(ledger: &Ledger, endpoint: EndpointId) -> Vec<DeliveryListing> {
    let filter = DeliveryFilter { account: ledger.seller, endpoint, before: None };
    ledger.store().list_deliveries(&filter, 1000).await.unwrap()
}

/// Where each delivery stands, with its attempts.
async fn stand(ledger: &Ledger, endpoint: EndpointId) -> Vec<(String, u32)> {
    listed(ledger, endpoint).await.into_iter().map(|row| (row.state, row.attempts)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_same_instant_each_delivery_is_claimed_once() {
    let ledger = Ledger::open().await;
    let (_, due) = waiting(&ledger, 60).await;
    let processes: Vec<Store> = (0..4).map(|_| ledger.handle(2)).collect();
    let claims = (0..12).zip(processes.iter().cycle().cloned()).map(|(n, store)| {
        let mut ids = due.clone();
        ids.rotate_left(n * 5);
        tokio::spawn(async move { claim(&store, &ids, 0).await })
    });

    let claimed: Vec<Delivery> =
        join_all(claims).await.into_iter().flat_map(Result::unwrap).collect();
    let ids: HashSet<DeliveryId> = claimed.iter().map(|delivery| delivery.id).collect();
    assert_eq!((claimed.len(), ids.len()), (60, 60));
    assert!(ledger.store().due_deliveries(WANTED, later(1)).await.unwrap().is_empty());
    assert!(ledger.store().delivery_outlooks(&due, later(1)).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_claim_that_ran_out_is_taken_over() {
    let ledger = Ledger::open().await;
    let (_, due) = waiting(&ledger, 1).await;
    assert_eq!(claim(ledger.store(), &due, 0).await.len(), 1);
    assert!(claim(ledger.store(), &due, 30).await.is_empty(), "until then it is claimed");
    assert_eq!(claim(ledger.store(), &due, 31).await.len(), 1);
}

#[tokio::test]
async fn each_outcome_of_an_attempt_moves_its_delivery_on() {
    let ledger = Ledger::open().await;
    let (endpoint, due) = waiting(&ledger, 4).await;
    let claimed = claim(ledger.store(), &due, 0).await;
    let nexts = each_its_own_way(&ledger, &claimed, later(60)).await;

    for (delivery, next) in claimed.iter().zip(nexts) {
        let rows = listed(&ledger, endpoint).await;
        let row = rows.into_iter().find(|row| row.id == delivery.id).unwrap();
        let over = Some(later(1));
        let expected = match next {
            DeliveryNext::Delivered => ("delivered", None, over),
            DeliveryNext::Exhausted => ("exhausted", None, over),
            DeliveryNext::Aborted => ("aborted", None, over),
            DeliveryNext::RetryAt(at) => ("pending", Some(at), None),
        };
        assert_eq!((row.state.as_str(), row.due_at, row.finished_at), expected);
        assert_eq!(row.attempts, 1);
    }
    assert!(claim(ledger.store(), &due, 59).await.is_empty());
    let again = claim(ledger.store(), &due, 60).await;
    assert_eq!((again.len(), again[0].attempts), (1, 1));
}

#[tokio::test]
async fn an_attempt_whose_claim_was_lost_is_logged_and_moves_nothing() {
    let ledger = Ledger::open().await;
    let (endpoint, due) = waiting(&ledger, 1).await;
    let lost = claim(ledger.store(), &due, 0).await.remove(0);
    let held = claim(ledger.store(), &due, 31).await.remove(0);
    let late = record(&lost, DeliveryNext::Delivered);
    ledger.store().record_attempts(std::slice::from_ref(&late), later(32)).await.unwrap();
    assert_eq!(stand(&ledger, endpoint).await, [("pending".to_owned(), 0)]);

    let next = AttemptRecord { status: Some(200), ..record(&held, DeliveryNext::Delivered) };
    ledger.store().record_attempts(&[next], later(33)).await.unwrap();
    assert_eq!(stand(&ledger, endpoint).await, [("delivered".to_owned(), 1)]);
    let log = ledger.store().list_attempts(ledger.seller, lost.id).await.unwrap().unwrap();
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].status, Some(503), "the number was logged already");
    ledger.store().record_attempts(&[late], later(34)).await.unwrap();
    assert_eq!(stand(&ledger, endpoint).await, [("delivered".to_owned(), 1)]);
}

#[tokio::test]
async fn an_attempt_that_is_recorded_again_changes_nothing() {
    let ledger = Ledger::open().await;
    let (endpoint, due) = waiting(&ledger, 1).await;
    let claimed = claim(ledger.store(), &due, 0).await.remove(0);
    let again = record(&claimed, DeliveryNext::RetryAt(later(5)));
    for _ in 0..2 {
        ledger.store().record_attempts(std::slice::from_ref(&again), later(1)).await.unwrap();
    }
    assert_eq!(stand(&ledger, endpoint).await, [("pending".to_owned(), 1)]);
    assert_eq!(ledger.count("webhook_attempts", "true").await, 1);
}

#[tokio::test]
async fn a_claim_is_known_by_its_attempt_as_well_as_by_its_time() {
    let ledger = Ledger::open().await;
    let (endpoint, due) = waiting(&ledger, 1).await;
    let first = claim(ledger.store(), &due, 0).await.remove(0);
    let retried = record(&first, DeliveryNext::RetryAt(NOW));
    ledger.store().record_attempts(&[retried], NOW).await.unwrap();
    // Another process, whose clock stands at the same instant.
    let second = claim(ledger.store(), &due, 0).await.remove(0);
    assert_eq!((first.lease_until, second.attempts), (second.lease_until, 1));

    let late = record(&first, DeliveryNext::Aborted);
    ledger.store().record_attempts(&[late], later(1)).await.unwrap();
    assert_eq!(stand(&ledger, endpoint).await, [("pending".to_owned(), 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn recording_and_ending_an_endpoint_at_the_same_instant_never_wait_in_a_circle() {
    for deletes in [true, false] {
        let ledger = Ledger::open().await;
        let (endpoint, due) = waiting(&ledger, 9).await;
        let mut claimed = claim(ledger.store(), &due, 0).await;
        claimed.sort_by_key(|delivery| delivery.id);
        // Rewritten from the last to the first, so that they lie against the order of their ids.
        for delivery in claimed.iter().rev() {
            let id = delivery.id.uuid();
            let rewrite = "update webhook_deliveries set due_at = due_at - interval '1 ms'";
            ledger.sql(&format!("{rewrite} where id = '{id}'")).await.unwrap();
        }
        let records: Vec<AttemptRecord> =
            claimed.iter().map(|one| record(one, DeliveryNext::Delivered)).collect();
        let middle = claimed[4].id.uuid();
        let middle = format!("select 1 from webhook_deliveries where id = '{middle}' for update");
        let middle = ledger.hold(&middle).await;
        let store = ledger.handle(1);
        let recording = tokio::spawn(async move { store.record_attempts(&records, NOW).await });
        ledger.until_waiting(1).await;
        let (store, seller) = (ledger.handle(1), ledger.seller);
        let ending = tokio::spawn(async move {
            match deletes {
                true => store.delete_endpoint(seller, endpoint, NOW).await.map(|_| ()),
                false => {
                    let disable = store.disable_endpoint(endpoint, "why", Announce::ToNobody, NOW);
                    disable.await.map(|_| ())
                }
            }
        });
        ledger.until_waiting(2).await;
        middle.rollback().await.unwrap();

        recording.await.unwrap().unwrap();
        ending.await.unwrap().unwrap();
        assert_eq!(stand(&ledger, endpoint).await, vec![("delivered".to_owned(), 1); 9]);
    }
}

#[tokio::test]
async fn of_every_endpoint_the_first_is_due_before_the_second_of_any() {
    let ledger = Ledger::open().await;
    let (one, _) = waiting(&ledger, 20).await;
    let other = ledger.account().await;
    let quiet = ledger.endpoint(other, &[EventType::Accepted]).await;
    let given = crate::ledger::intake(other, &crate::ledger::authorization());
    ledger.accept(store::Intake { accepted_at: later(5), ..given }).await;

    let wanted = DueDeliveries { limit: 4, share: 3, except: &[] };
    let due = ledger.store().due_deliveries(wanted, later(10)).await.unwrap();
    let outlooks = ledger.store().delivery_outlooks(&due, later(10)).await.unwrap();
    let of = |id: &DeliveryId| outlooks.iter().find(|due| due.delivery == *id).unwrap().endpoint;
    let order: Vec<EndpointId> = due.iter().map(of).collect();
    assert_eq!(order, [one, quiet, one, one]);
    let shared = DueDeliveries { limit: 10, ..wanted };
    let due_of_each = ledger.store().due_deliveries(shared, later(10)).await.unwrap();
    assert_eq!(due_of_each.len(), 3 + 1, "of one endpoint no more than its share");
    let except = DueDeliveries { except: &due[..1], ..wanted };
    assert!(!ledger.store().due_deliveries(except, later(10)).await.unwrap().contains(&due[0]));
}

#[tokio::test]
async fn how_the_deliveries_of_a_payment_stand_is_counted() {
    let ledger = Ledger::open().await;
    for _ in 0..5 {
        ledger.endpoint(ledger.seller, &[EventType::Accepted]).await;
    }
    let payment = ledger.payment().await;
    let due = ledger.store().due_deliveries(WANTED, NOW).await.unwrap();
    let claimed = claim(ledger.store(), &due, 0).await;
    let nexts = [DeliveryNext::Delivered, DeliveryNext::Exhausted, DeliveryNext::Aborted];
    let records: Vec<AttemptRecord> =
        claimed.iter().zip(nexts).map(|(delivery, next)| record(delivery, next)).collect();
    ledger.store().record_attempts(&records, NOW).await.unwrap();
    let (gone, off) = (claimed[3].endpoint, claimed[4].endpoint);
    ledger.store().delete_endpoint(ledger.seller, gone, NOW).await.unwrap();
    ledger.store().disable_endpoint(off, "why", Announce::ToNobody, NOW).await.unwrap();

    let counts = ledger.store().delivery_counts(&[payment.id]).await.unwrap()[&payment.id];
    assert_eq!(counts, DeliveryCounts { pending: 1, delivered: 1, failed: 2 });
}

#[tokio::test]
async fn a_log_is_its_own_accounts_alone() {
    let ledger = Ledger::open().await;
    let (_, due) = waiting(&ledger, 1).await;
    let stranger = ledger.account().await;
    assert!(ledger.store().list_attempts(stranger, due[0]).await.unwrap().is_none());
    assert_eq!(
        ledger.store().list_attempts(ledger.seller, due[0]).await.unwrap().unwrap().len(),
        0
    );
}

#[tokio::test]
async fn whatever_became_of_a_delivery_it_can_be_made_again_at_once() {
    let ledger = Ledger::open().await;
    let (endpoint, due) = waiting(&ledger, 4).await;
    let claimed = claim(ledger.store(), &due, 0).await;
    each_its_own_way(&ledger, &claimed, later(600)).await;

    for delivery in &due {
        let again = ledger.store().redeliver(ledger.seller, *delivery, later(9)).await.unwrap();
        assert_eq!(again, Redelivery::Due);
    }
    let again = claim(ledger.store(), &due, 9).await;
    assert!(again.iter().all(|delivery| delivery.attempts == 1));
    assert_eq!(again.len(), 4);
    // One that is on its way is not sent beside itself.
    let twice = ledger.store().redeliver(ledger.seller, due[0], later(10)).await.unwrap();
    assert_eq!(twice, Redelivery::Due);
    assert!(claim(ledger.store(), &due, 10).await.is_empty());
    assert_eq!(stand(&ledger, endpoint).await, vec![("pending".to_owned(), 1); 4]);
}

#[tokio::test]
async fn nothing_is_made_again_for_strangers_or_for_an_endpoint_that_is_down() {
    let ledger = Ledger::open().await;
    let (endpoint, due) = waiting(&ledger, 1).await;
    let (store, stranger) = (ledger.store(), ledger.account().await);
    assert_eq!(store.redeliver(stranger, due[0], NOW).await.unwrap(), Redelivery::Unknown);

    store.disable_endpoint(endpoint, "why", Announce::ToNobody, NOW).await.unwrap();
    let down = store.redeliver(ledger.seller, due[0], NOW).await.unwrap();
    assert_eq!(down, Redelivery::EndpointIsDown);
    assert_eq!(stand(&ledger, endpoint).await, [("held".to_owned(), 0)]);
    store.delete_endpoint(ledger.seller, endpoint, NOW).await.unwrap();
    let down = store.redeliver(ledger.seller, due[0], NOW).await.unwrap();
    assert_eq!(down, Redelivery::EndpointIsDown);
}

#[tokio::test]
async fn nothing_is_made_again_for_an_endpoint_that_is_deleted_at_the_same_instant() {
    let ledger = Ledger::open().await;
    let (endpoint, due) = waiting(&ledger, 1).await;
    let (store, seller, delivery) = (ledger.store().clone(), ledger.seller, due[0]);
    let claimed = claim(&store, &due, 0).await.remove(0);
    let given_up = record(&claimed, DeliveryNext::Exhausted);
    store.record_attempts(&[given_up], later(1)).await.unwrap();
    let deleting = ledger.hold("update webhook_endpoints set state = 'deleted'").await;
    let again = tokio::spawn(async move { store.redeliver(seller, delivery, later(2)).await });
    eventually(PATIENCE, || async { (ledger.waiting().await == 1).then_some(()) }).await;

    deleting.commit().await.unwrap();
    assert_eq!(again.await.unwrap().unwrap(), Redelivery::EndpointIsDown);
    assert_eq!(stand(&ledger, endpoint).await, [("exhausted".to_owned(), 1)]);
}
