//! Endpoints whose owner says how they are told.

use std::time::Duration;

use domain::{DeliveryOrder, EndpointTerms, Event, Timestamp};
use store::Change;
use testkit::{Answer, Buyer, Receiver};

use crate::scene::{Endpoint, ROOMY, SOON, Scene};

impl Scene {
    async fn set_terms(&self, endpoint: &Endpoint, terms: EndpointTerms) {
        let update = store::EndpointUpdate {
            ordering: Some(terms.ordering),
            max_in_flight: Some(terms.max_in_flight),
            max_per_second: Some(terms.max_per_second),
            event_types: Some(vec![domain::EventType::Accepted, domain::EventType::Approved]),
            ..store::EndpointUpdate::default()
        };
        let account = self.seller.account;
        self.store().update_endpoint(account, endpoint.id, &update, self.now()).await.unwrap();
    }

    /// Accepts a payment at this time and approves it: two events.
    async fn two_events(&self, at: Timestamp) {
        let mut intake = self.seller.intake(&Buyer::new().authorize().sign());
        intake.accepted_at = at;
        let payment = self.seller.accept_intake(self.store(), intake).await;
        let until = Timestamp::from_unix_secs(self.now().unix_secs() + 600);
        let change = Change { payment, event: Event::Approved { until }, carrier: None };
        self.store().advance(vec![change], at).await.unwrap();
    }
}

#[tokio::test]
async fn all_notifiers_together_make_no_more_calls_at_once_than_the_owner_allows() {
    let (scene, receiver) = (Scene::new().await, Receiver::start().await);
    let endpoint = scene.endpoint(&scene.seller, receiver.url()).await;
    let terms = EndpointTerms { max_in_flight: Some(1), ..EndpointTerms::default() };
    scene.set_terms(&endpoint, terms).await;
    scene.accept(&scene.seller, 4).await;
    receiver.answer(Answer::Hang);

    let _running = [scene.notify(ROOMY), scene.notify(ROOMY), scene.notify(ROOMY)];
    receiver_gets_one_at_a_time(&scene, &endpoint, &receiver).await;
}

async fn receiver_gets_one_at_a_time(scene: &Scene, endpoint: &Endpoint, receiver: &Receiver) {
    for _ in 0..3 {
        scene.ring(endpoint).await;
    }
    receiver.wait_for(1, SOON).await;
    scene.hand.advance(Duration::from_secs(2));
    for _ in 0..3 {
        scene.ring(endpoint).await;
    }
    testkit::eventually(SOON, || async {
        let waiting = scene.queue.depth(&queue::Stream::Notify).await.unwrap();
        // All but the one call under way were answered.
        (waiting.length <= 1).then_some(())
    })
    .await;
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn the_events_of_a_payment_arrive_one_after_the_other_where_the_owner_wants_that() {
    let (scene, receiver) = (Scene::new().await, Receiver::start().await);
    let endpoint = scene.endpoint(&scene.seller, receiver.url()).await;
    let terms = EndpointTerms { ordering: DeliveryOrder::PerPayment, ..EndpointTerms::default() };
    scene.set_terms(&endpoint, terms).await;
    scene.two_events(scene.now()).await;
    receiver.answer(Answer::status(500));
    let _running = scene.notify(ROOMY);
    scene.ring(&endpoint).await;
    receiver.wait_for(1, SOON).await;
    scene.wait_for_silence().await;
    assert_eq!(receiver.requests().len(), 1, "the second waits while the first fails");

    receiver.answer(Answer::status(200));
    scene.hand.advance(Duration::from_secs(6));
    scene.ring_for(&[scene.deliveries(&endpoint).await[0].id]).await;
    scene.wait_for_state(&endpoint, "delivered").await;

    let types: Vec<_> = receiver.requests().iter().map(|got| got.json()["type"].clone()).collect();
    assert_eq!(types, ["payment.accepted", "payment.accepted", "payment.approved"]);
}

#[tokio::test]
async fn an_event_that_overtakes_another_says_so_and_is_signed_as_it_is_sent() {
    let (scene, receiver) = (Scene::new().await, Receiver::start().await);
    let endpoint = scene.endpoint(&scene.seller, receiver.url()).await;
    let terms = EndpointTerms { ordering: DeliveryOrder::PerPayment, ..EndpointTerms::default() };
    scene.set_terms(&endpoint, terms).await;
    scene.two_events(Timestamp::from_unix_secs(scene.now().unix_secs() - 601)).await;

    let _running = scene.notify(ROOMY);
    scene.ring_for(&[scene.deliveries(&endpoint).await[1].id]).await;
    let second = receiver.wait_for(1, SOON).await.remove(0);

    assert_eq!(second.json()["out_of_order"], true);
    assert!(second.is_signed_by(&endpoint.secret));
}

#[tokio::test]
async fn all_calls_come_though_the_owner_allows_few_a_second() {
    let (scene, receiver) = (Scene::new().await, Receiver::start().await);
    let endpoint = scene.endpoint(&scene.seller, receiver.url()).await;
    let terms = EndpointTerms { max_per_second: Some(20), ..EndpointTerms::default() };
    scene.set_terms(&endpoint, terms).await;
    scene.accept(&scene.seller, 8).await;

    let _running = [scene.notify(ROOMY), scene.notify(ROOMY)];
    testkit::eventually(SOON, || async {
        scene.ring(&endpoint).await;
        scene.hand.advance(Duration::from_millis(500));
        let rows = scene.deliveries(&endpoint).await;
        rows.iter().all(|row| row.state == "delivered").then_some(())
    })
    .await;

    assert_eq!(receiver.requests().len(), 8);
}
