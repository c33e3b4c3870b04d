//! Statements that are shared, and what they do to each other.

use domain::{EndpointTerms, EventType};
use store::{DeliveryFilter, DeliveryNext, NewEndpoint, Reception};
use testkit::{Buyer, Database, Seller};
use uuid::Uuid;

use super::*;

/// A ledger with two deliveries of one endpoint.
async fn ledger_with_deliveries(database: &Database) -> (Ledger, EndpointId, Vec<DeliveryId>) {
    let (store, clock) = (&database.store, Clock::system());
    let seller = Seller::create(store).await;
    let new = NewEndpoint {
        id: EndpointId::new(Uuid::now_v7()),
        account: seller.account,
        url: "https://seller.example/hook".to_owned(),
        event_types: vec![EventType::Accepted],
        secret: vec![7; 32],
        terms: EndpointTerms::default(),
    };
    store.create_endpoint(&new, 1, now(&clock)).await.unwrap();
    for _ in 0..2 {
        seller.accept(store, &Buyer::new().authorize().sign()).await;
    }
    let filter = DeliveryFilter { account: seller.account, endpoint: new.id, before: None };
    let rows = store.list_deliveries(&filter, 10).await.unwrap();
    let lease = Duration::from_secs(45);
    let callers = NonZeroUsize::new(8).unwrap();
    let ledger = Ledger::open(store.clone(), clock, callers, lease, CancellationToken::new());
    (ledger, new.id, rows.into_iter().map(|row| row.id).collect())
}

fn delivered(delivery: &Delivery, response: String) -> AttemptRecord {
    AttemptRecord {
        delivery: delivery.id,
        endpoint: delivery.endpoint,
        url: delivery.url.clone(),
        reception: Reception::Taken,
        in_order: delivery.in_order,
        number: 1,
        lease_until: delivery.lease_until,
        at: delivery.created_at,
        duration_ms: 1,
        outcome: "delivered",
        status: Some(200),
        error: None,
        response: Some(response),
        next: DeliveryNext::Delivered,
    }
}

#[tokio::test]
async fn callers_at_once_get_each_their_own_answer_and_a_delivery_only_once() {
    let database = Database::create().await;
    let (ledger, endpoint, ids) = ledger_with_deliveries(&database).await;
    let outlook = ledger.outlook(ids[0]).await.unwrap().unwrap();
    assert_eq!((outlook.delivery, outlook.endpoint), (ids[0], endpoint));

    let (one, again, two) =
        tokio::join!(ledger.claim(ids[0]), ledger.claim(ids[0]), ledger.claim(ids[1]));

    assert_eq!(one.unwrap().map(|delivery| delivery.id), Some(ids[0]));
    assert!(again.unwrap().is_none());
    assert_eq!(two.unwrap().map(|delivery| delivery.id), Some(ids[1]));
    assert_eq!(ledger.outlook(ids[0]).await.unwrap(), None);
}

#[tokio::test]
async fn a_record_that_the_ledger_refuses_takes_no_other_with_it() {
    let database = Database::create().await;
    let (ledger, _, ids) = ledger_with_deliveries(&database).await;
    let one = ledger.claim(ids[0]).await.unwrap().unwrap();
    let two = ledger.claim(ids[1]).await.unwrap().unwrap();
    let too_long = "x".repeat(4_097);

    let (good, bad) = tokio::join!(
        ledger.record(delivered(&one, "fine".to_owned())),
        ledger.record(delivered(&two, too_long)),
    );

    assert!(matches!(bad, Err(LedgerError::Store(_))), "{bad:?}");
    good.unwrap();
}
