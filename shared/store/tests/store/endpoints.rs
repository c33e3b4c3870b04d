//! Endpoints: how many there are, and what becomes of deliveries when they end.

use domain::{AccountId, EndpointId, EndpointTerms, EventType, Timestamp};
use futures::future::join_all;
use store::{
    Announce, DeliveryFilter, DueDeliveries, EndpointState, EndpointUpdate, NewEndpoint, NewSecret,
    Rotation,
};
use uuid::Uuid;

use crate::ledger::{Ledger, NOW, later};

const WANTED: DueDeliveries<'static> = DueDeliveries { limit: 100, share: 100, except: &[] };

fn new_endpoint(account: AccountId) -> NewEndpoint {
    NewEndpoint {
        id: EndpointId::new(Uuid::now_v7()),
        account,
        url: "https://seller.example/hook".to_owned(),
        event_types: EventType::DEFAULT.to_vec(),
        secret: vec![9; 24],
        terms: EndpointTerms::default(),
    }
}

async fn states(ledger: &Ledger, endpoint: EndpointId) -> Vec<String> {
    let filter = DeliveryFilter { account: ledger.seller, endpoint, before: None };
    let rows = ledger.store().list_deliveries(&filter, 100).await.unwrap();
    rows.into_iter().map(|row| row.state).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_never_has_more_endpoints_than_it_may() {
    let ledger = Ledger::open().await;
    let makers = (0..12).map(|_| {
        let (store, seller) = (ledger.store().clone(), ledger.seller);
        tokio::spawn(
            async move { store.create_endpoint(&new_endpoint(seller), 5, NOW).await.unwrap() },
        )
    });
    let made = join_all(makers).await.into_iter().filter(|made| *made.as_ref().unwrap()).count();
    assert_eq!(made, 5);
    let listed = ledger.store().list_endpoints(ledger.seller).await.unwrap();
    assert_eq!(listed.len(), 5);

    assert!(ledger.store().delete_endpoint(ledger.seller, listed[0].id, NOW).await.unwrap());
    let next = new_endpoint(ledger.seller);
    assert!(ledger.store().create_endpoint(&next, 5, NOW).await.unwrap(), "one has made room");
}

#[tokio::test]
async fn what_is_on_its_way_to_a_deleted_endpoint_is_canceled() {
    let ledger = Ledger::open().await;
    let gone = ledger.endpoint(ledger.seller, &[EventType::Accepted]).await;
    let stays = ledger.endpoint(ledger.seller, &[EventType::Accepted]).await;
    ledger.payments(3).await;
    let due = ledger.store().due_deliveries(WANTED, NOW).await.unwrap();
    // One of them is being attempted.
    ledger.store().claim_deliveries(&due[..1], NOW, later(30)).await.unwrap();

    assert!(ledger.store().delete_endpoint(ledger.seller, gone, NOW).await.unwrap());
    assert_eq!(states(&ledger, gone).await, ["canceled"; 3]);
    assert_eq!(states(&ledger, stays).await, ["pending"; 3]);
    let claimed = ledger.store().claim_deliveries(&due, later(60), later(90)).await.unwrap();
    assert!(claimed.iter().all(|delivery| delivery.endpoint == stays));
    assert_eq!(claimed.len(), 3);
    assert!(!ledger.store().delete_endpoint(ledger.seller, gone, NOW).await.unwrap());
}

#[tokio::test]
async fn what_is_on_its_way_to_a_disabled_endpoint_is_held() {
    let ledger = Ledger::open().await;
    let endpoint = ledger.endpoint(ledger.seller, &[EventType::Accepted]).await;
    ledger.payments(3).await;
    let due = ledger.store().due_deliveries(WANTED, NOW).await.unwrap();
    ledger.store().disable_endpoint(endpoint, "it is gone", Announce::ToNobody, NOW).await.unwrap();

    assert_eq!(states(&ledger, endpoint).await, ["held"; 3]);
    assert!(ledger.store().due_deliveries(WANTED, later(60)).await.unwrap().is_empty());
    assert!(ledger.store().claim_deliveries(&due, later(60), later(90)).await.unwrap().is_empty());
    let listed = ledger.store().list_endpoints(ledger.seller).await.unwrap();
    assert_eq!(listed[0].state, EndpointState::Disabled("it is gone".to_owned()));
    let backlog = ledger.store().backlog(10, later(60)).await.unwrap();
    assert_eq!(backlog.deliveries, 0);

    assert!(ledger.store().delete_endpoint(ledger.seller, endpoint, NOW).await.unwrap());
    assert_eq!(states(&ledger, endpoint).await, ["canceled"; 3], "held ones as well");
}

#[tokio::test]
async fn nobody_deletes_another_accounts_endpoint() {
    let ledger = Ledger::open().await;
    let endpoint = ledger.endpoint(ledger.seller, &[EventType::Accepted]).await;
    ledger.payment().await;
    let stranger = ledger.account().await;

    assert!(!ledger.store().delete_endpoint(stranger, endpoint, NOW).await.unwrap());
    assert_eq!(states(&ledger, endpoint).await, ["pending"]);
    assert_eq!(ledger.store().list_endpoints(ledger.seller).await.unwrap().len(), 1);
    assert!(ledger.store().list_endpoints(stranger).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_deleted_endpoint_stays_deleted() {
    let ledger = Ledger::open().await;
    let endpoint = ledger.endpoint(ledger.seller, &[EventType::Accepted]).await;
    ledger.payment().await;
    ledger.store().delete_endpoint(ledger.seller, endpoint, NOW).await.unwrap();
    ledger.store().disable_endpoint(endpoint, "too late", Announce::ToNobody, NOW).await.unwrap();

    assert!(ledger.store().list_endpoints(ledger.seller).await.unwrap().is_empty());
    assert_eq!(states(&ledger, endpoint).await, ["canceled"]);
}

#[tokio::test]
async fn what_is_pending_is_claimed_only_while_its_endpoint_is_enabled() {
    let ledger = Ledger::open().await;
    ledger.endpoint(ledger.seller, &[EventType::Accepted]).await;
    ledger.payment().await;
    let due = ledger.store().due_deliveries(WANTED, NOW).await.unwrap();
    for other in ["state = 'deleted'", "state = 'disabled', disabled_reason = 'why'"] {
        ledger.sql(&format!("update webhook_endpoints set {other}")).await.unwrap();
        assert!(ledger.store().due_deliveries(WANTED, NOW).await.unwrap().is_empty(), "{other}");
        assert!(ledger.store().delivery_outlooks(&due, NOW).await.unwrap().is_empty(), "{other}");
        let claimed = ledger.store().claim_deliveries(&due, NOW, later(30)).await.unwrap();
        assert!(claimed.is_empty(), "{other}");
    }
}

#[tokio::test]
async fn what_was_held_is_due_once_its_endpoint_is_enabled() {
    let ledger = Ledger::open().await;
    let endpoint = ledger.endpoint(ledger.seller, &[EventType::Accepted]).await;
    ledger.payments(3).await;
    ledger.store().disable_endpoint(endpoint, "it is gone", Announce::ToNobody, NOW).await.unwrap();
    // Of what happens meanwhile it is told nothing.
    ledger.payment().await;

    assert!(ledger.store().enable_endpoint(ledger.seller, endpoint, later(9)).await.unwrap());
    assert_eq!(states(&ledger, endpoint).await, ["pending"; 3]);
    let due = ledger.store().due_deliveries(WANTED, later(9)).await.unwrap();
    assert_eq!(ledger.store().claim_deliveries(&due, later(9), later(30)).await.unwrap().len(), 3);
    let listed = ledger.store().list_endpoints(ledger.seller).await.unwrap();
    assert_eq!(listed[0].state, EndpointState::Enabled);
    assert!(ledger.store().enable_endpoint(ledger.seller, endpoint, later(10)).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_enabled_and_disabled_at_once_holds_all_or_nothing() {
    let ledger = Ledger::open().await;
    let endpoint = ledger.endpoint(ledger.seller, &[EventType::Accepted]).await;
    ledger.payments(20).await;
    for _ in 0..50 {
        let (store, seller) = (ledger.store(), ledger.seller);
        let (enabled, disabled) = futures::join!(
            store.enable_endpoint(seller, endpoint, NOW),
            store.disable_endpoint(endpoint, "why", Announce::ToNobody, NOW),
        );
        assert!(enabled.unwrap());
        disabled.unwrap();
        let state = ledger.store().list_endpoints(ledger.seller).await.unwrap()[0].state.clone();
        let expected = if state == EndpointState::Enabled { "pending" } else { "held" };
        assert_eq!(states(&ledger, endpoint).await, [expected; 20]);
    }
}

#[tokio::test]
async fn a_deleted_or_foreign_endpoint_is_neither_enabled_nor_changed() {
    let ledger = Ledger::open().await;
    let endpoint = ledger.endpoint(ledger.seller, &[EventType::Accepted]).await;
    let stranger = ledger.account().await;
    let update =
        EndpointUpdate { url: Some("https://other.example".to_owned()), ..Default::default() };
    let store = ledger.store();
    store.disable_endpoint(endpoint, "why", Announce::ToNobody, NOW).await.unwrap();

    assert!(!store.enable_endpoint(stranger, endpoint, NOW).await.unwrap());
    assert!(store.update_endpoint(stranger, endpoint, &update, NOW).await.unwrap().is_none());
    let rotation =
        store.rotate_secret(stranger, endpoint, &new_secret(8, None), NOW).await.unwrap();
    assert_eq!(rotation, Rotation::Unknown);
    assert!(store.endpoint_secrets(stranger, endpoint, NOW).await.unwrap().is_none());
    store.delete_endpoint(ledger.seller, endpoint, NOW).await.unwrap();
    assert!(!store.enable_endpoint(ledger.seller, endpoint, NOW).await.unwrap());
    assert!(store.update_endpoint(ledger.seller, endpoint, &update, NOW).await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_on_its_way_goes_where_the_endpoint_is_now() {
    let ledger = Ledger::open().await;
    let endpoint = ledger.endpoint(ledger.seller, &[EventType::Accepted]).await;
    ledger.payment().await;
    let moved = "https://new.example/hook".to_owned();
    let update = EndpointUpdate { url: Some(moved.clone()), ..EndpointUpdate::default() };
    let store = ledger.store();
    let updated =
        store.update_endpoint(ledger.seller, endpoint, &update, NOW).await.unwrap().unwrap();
    assert_eq!((updated.url, updated.event_types), (moved.clone(), vec![EventType::Accepted]));

    let due = store.due_deliveries(WANTED, NOW).await.unwrap();
    let claimed = store.claim_deliveries(&due, NOW, later(30)).await.unwrap();
    assert_eq!(claimed[0].url, moved);
}

fn new_secret(byte: u8, old_until: Option<Timestamp>) -> NewSecret {
    NewSecret { secret: vec![byte; 32], old_until }
}

/// The secrets that the only delivery is signed with at this time.
async fn signed_with(ledger: &Ledger, secs: u64) -> (Vec<u8>, Option<Vec<u8>>) {
    let due = ledger.store().due_deliveries(WANTED, later(secs)).await.unwrap();
    let claimed = ledger.store().claim_deliveries(&due, later(secs), later(secs + 1)).await;
    let delivery = claimed.unwrap().remove(0);
    (delivery.secret, delivery.old_secret)
}

#[tokio::test]
async fn deliveries_are_signed_with_the_old_secret_too_until_its_time_is_over() {
    let ledger = Ledger::open().await;
    let endpoint = ledger.endpoint(ledger.seller, &[EventType::Accepted]).await;
    ledger.payment().await;
    let (store, seller, until) = (ledger.store(), ledger.seller, Some(later(100)));
    let rotate = async |new: u8, until, at| {
        store.rotate_secret(seller, endpoint, &new_secret(new, until), later(at)).await.unwrap()
    };
    assert_eq!(rotate(1, until, 0).await, Rotation::Done);
    assert_eq!(signed_with(&ledger, 50).await, (vec![1; 32], Some(vec![9; 32])));
    // A third would take away the one that receivers still use.
    assert_eq!(rotate(2, Some(later(200)), 60).await, Rotation::TooSoon(later(100)));
    assert_eq!(signed_with(&ledger, 100).await, (vec![1; 32], None));
    assert_eq!(rotate(2, Some(later(300)), 110).await, Rotation::Done);
    assert_eq!(signed_with(&ledger, 120).await, (vec![2; 32], Some(vec![1; 32])));
    // After a leak nothing counts but the new one.
    assert_eq!(rotate(3, None, 130).await, Rotation::Done);
    assert_eq!(signed_with(&ledger, 140).await, (vec![3; 32], None));
}
