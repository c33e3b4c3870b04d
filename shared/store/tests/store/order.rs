//! Endpoints that want the events of a payment one after the other.

use domain::{DeliveryId, DeliveryOrder, Event, EventType};
use store::{AttemptRecord, Delivery, DeliveryNext, EndpointUpdate, Outlook, PutOff, Reception};

use crate::ledger::{Ledger, NOW, change, later};

/// The deliveries of a payment's first two events to an endpoint that wants them in order.
async fn two_in_order(ledger: &Ledger) -> [DeliveryId; 2] {
    let hears = [EventType::Accepted, EventType::Approved];
    let endpoint = ledger.endpoint(ledger.seller, &hears).await;
    let ordering = Some(DeliveryOrder::PerPayment);
    let update = EndpointUpdate { ordering, ..EndpointUpdate::default() };
    ledger.store().update_endpoint(ledger.seller, endpoint, &update, NOW).await.unwrap();
    let payment = ledger.payment().await;
    let wanted = store::DueDeliveries { limit: 10, share: 10, except: &[] };
    let first = ledger.store().due_deliveries(wanted, NOW).await.unwrap()[0];
    let approve = Event::Approved { until: later(600) };
    let advance = ledger.store().advance(vec![change(&payment, approve)], later(1)).await.unwrap();
    [first, advance.deliveries[0]]
}

async fn outlook(ledger: &Ledger, id: DeliveryId, now: u64) -> Outlook {
    ledger.store().delivery_outlooks(&[id], later(now)).await.unwrap()[0]
}

async fn claim(ledger: &Ledger, id: DeliveryId, now: u64) -> Delivery {
    let claimed = ledger.store().claim_deliveries(&[id], later(now), later(now + 30)).await;
    claimed.unwrap().remove(0)
}

async fn record(ledger: &Ledger, delivery: &Delivery, next: DeliveryNext) {
    let record = AttemptRecord {
        delivery: delivery.id,
        endpoint: delivery.endpoint,
        url: delivery.url.clone(),
        reception: Reception::Taken,
        in_order: delivery.in_order,
        number: delivery.attempts + 1,
        lease_until: delivery.lease_until,
        at: NOW,
        duration_ms: 1,
        outcome: "answered",
        status: None,
        error: None,
        response: None,
        next,
    };
    ledger.store().record_attempts(&[record], later(3)).await.unwrap();
}

async fn put_behind(ledger: &Ledger, delivery: DeliveryId, until: u64) {
    let put_off = PutOff { delivery, until: later(until), behind: true };
    ledger.store().put_off(&[put_off], later(3)).await.unwrap();
}

#[tokio::test]
async fn a_later_event_waits_for_an_earlier_one() {
    let ledger = Ledger::open().await;
    let [first, second] = two_in_order(&ledger).await;
    assert_eq!(outlook(&ledger, first, 1).await.behind_until, None);
    assert_eq!(outlook(&ledger, second, 1).await.behind_until, Some(NOW));

    let claimed = claim(&ledger, first, 2).await;
    assert_eq!(outlook(&ledger, second, 2).await.behind_until, Some(later(32)));
    put_behind(&ledger, second, 32).await;
    record(&ledger, &claimed, DeliveryNext::Delivered).await;

    assert_eq!(ledger.store().let_next_go(&[first], later(3)).await.unwrap(), [second]);
    assert_eq!(outlook(&ledger, second, 3).await.behind_until, None);
    assert!(!claim(&ledger, second, 3).await.overtook);
}

#[tokio::test]
async fn an_event_that_is_ten_minutes_late_is_overtaken_and_that_is_said_each_time() {
    let ledger = Ledger::open().await;
    let [first, second] = two_in_order(&ledger).await;
    let claimed = claim(&ledger, first, 2).await;
    record(&ledger, &claimed, DeliveryNext::RetryAt(later(7_200))).await;
    assert_eq!(outlook(&ledger, second, 599).await.behind_until, Some(later(600)));
    assert_eq!(outlook(&ledger, second, 600).await.behind_until, None);

    let claimed = claim(&ledger, second, 600).await;
    assert!(claimed.overtook);
    record(&ledger, &claimed, DeliveryNext::RetryAt(later(700))).await;
    ledger
        .sql(
            "update webhook_deliveries set state = 'delivered', due_at = null, finished_at = now()
                where attempts = 1 and due_at > '2026-03-01T13:00:00Z'",
        )
        .await
        .unwrap();

    assert!(claim(&ledger, second, 700).await.overtook);
}

#[tokio::test]
async fn an_event_is_not_put_off_for_an_earlier_one_that_has_arrived_meanwhile() {
    let ledger = Ledger::open().await;
    let [first, second] = two_in_order(&ledger).await;
    let claimed = claim(&ledger, first, 2).await;
    let seen = outlook(&ledger, second, 2).await;
    record(&ledger, &claimed, DeliveryNext::Delivered).await;
    assert_eq!(ledger.store().let_next_go(&[first], later(3)).await.unwrap(), [second]);

    assert_eq!(seen.behind_until, Some(later(32)));
    put_behind(&ledger, second, 32).await;

    assert!(!claim(&ledger, second, 3).await.overtook);
}

#[tokio::test]
async fn what_a_process_died_with_is_put_off_and_let_go_like_everything_else() {
    let ledger = Ledger::open().await;
    let [first, second] = two_in_order(&ledger).await;
    claim(&ledger, second, 1).await;
    let claimed = claim(&ledger, first, 40).await;

    let put_off = PutOff { delivery: second, until: later(70), behind: true };
    ledger.store().put_off(&[put_off], later(40)).await.unwrap();
    assert!(ledger.store().delivery_outlooks(&[second], later(40)).await.unwrap().is_empty());
    record(&ledger, &claimed, DeliveryNext::Delivered).await;

    assert_eq!(ledger.store().let_next_go(&[first], later(41)).await.unwrap(), [second]);
}

#[tokio::test]
async fn what_may_have_been_sent_in_order_stays_in_order_when_it_is_sent_again() {
    let ledger = Ledger::open().await;
    let [first, second] = two_in_order(&ledger).await;
    let claimed = claim(&ledger, first, 2).await;
    record(&ledger, &claimed, DeliveryNext::Delivered).await;
    assert!(!claim(&ledger, second, 3).await.overtook);
    // Its sender died; the first is made again meanwhile.
    ledger.store().redeliver(ledger.seller, first, later(40)).await.unwrap();

    assert!(!claim(&ledger, second, 700).await.overtook);
}

#[tokio::test]
async fn nothing_waits_where_no_order_is_wanted() {
    let ledger = Ledger::open().await;
    let [_, second] = two_in_order(&ledger).await;
    ledger.sql("update webhook_endpoints set ordering = 'none'").await.unwrap();
    assert_eq!(outlook(&ledger, second, 1).await.behind_until, None);
    assert!(!claim(&ledger, second, 1).await.overtook);
    assert!(ledger.store().let_next_go(&[second], NOW).await.unwrap().is_empty());
}
