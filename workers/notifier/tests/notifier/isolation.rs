//! Many deliveries at once, and endpoints that are slow.

use std::time::Duration;

use domain::{DeliveryId, EventId};
use store::{Announce, NewTrial, Redelivery, Trial};
use testkit::{Answer, Receiver, Seller};
use uuid::Uuid;

use crate::scene::{Endpoint, ROOMY, Running, SOON, Scene, Settings};

/// Eight slots, of which one endpoint gets two.
const NARROW: Settings = Settings { concurrency: 8, ..ROOMY };

#[tokio::test]
async fn an_endpoint_that_hangs_keeps_no_other_waiting() {
    let (scene, good, bad) = (Scene::new().await, Receiver::start().await, Receiver::start().await);
    let other = Seller::create(scene.store()).await;
    let hanging = scene.endpoint(&scene.seller, bad.url()).await;
    let healthy = scene.endpoint(&other, good.url()).await;
    scene.accept(&scene.seller, 40).await;
    scene.accept(&other, 40).await;
    bad.answer(Answer::Hang);
    scene.ring(&hanging).await;
    scene.ring(&healthy).await;

    let _running = scene.notify(NARROW);
    scene.wait_for_state(&healthy, "delivered").await;

    assert_eq!(bad.wait_for(2, SOON).await.len(), 2);
}

#[tokio::test]
async fn a_burst_to_one_endpoint_arrives_though_each_is_rung_for_once() {
    let (scene, receiver) = (Scene::new().await, Receiver::start().await);
    let endpoint = scene.endpoint(&scene.seller, receiver.url()).await;
    scene.accept(&scene.seller, 100).await;

    let _running = scene.notify(NARROW);
    scene.ring(&endpoint).await;
    scene.wait_for_state(&endpoint, "delivered").await;

    assert_eq!(receiver.requests().len(), 100);
}

#[tokio::test]
async fn what_waits_for_a_busy_endpoint_goes_to_another_notifier_when_one_stops() {
    let (scene, receiver) = (Scene::new().await, Receiver::start().await);
    let endpoint = scene.endpoint(&scene.seller, receiver.url()).await;
    scene.accept(&scene.seller, 20).await;
    receiver.answer(Answer::Hang);
    let stopping = scene.notify(Settings { timeout_ms: 1_000, ..NARROW });
    scene.ring(&endpoint).await;
    receiver.wait_for(2, SOON).await;
    receiver.answer(Answer::status(200));

    stopping.stop().await;
    let _running = scene.notify(NARROW);

    let arrived = receiver.wait_for_events(20, SOON).await;
    assert_eq!(arrived.len(), 20);
}

#[tokio::test]
async fn two_notifiers_at_once_send_each_delivery_once() {
    let (scene, receiver) = (Scene::new().await, Receiver::start().await);
    let endpoint = scene.endpoint(&scene.seller, receiver.url()).await;
    scene.accept(&scene.seller, 100).await;
    for _ in 0..3 {
        scene.ring(&endpoint).await;
    }

    let _running = [scene.notify(ROOMY), scene.notify(ROOMY)];
    scene.wait_for_state(&endpoint, "delivered").await;
    scene.wait_for_silence().await;

    assert_eq!(receiver.requests().len(), 100);
}

/// Lets ten deliveries fail, after which the endpoint is left alone.
async fn left_alone(scene: &Scene, receiver: &Receiver) -> (Endpoint, Running) {
    let endpoint = scene.endpoint(&scene.seller, receiver.url()).await;
    scene.accept(&scene.seller, 10).await;
    receiver.answer(Answer::status(500));
    let running = scene.notify(ROOMY);
    scene.ring(&endpoint).await;
    receiver.wait_for_events(10, SOON).await;
    scene.wait_for_silence().await;
    receiver.answer(Answer::status(200));
    (endpoint, running)
}

#[tokio::test]
async fn a_delivery_that_is_asked_for_again_is_made_though_its_endpoint_is_left_alone() {
    let (scene, receiver) = (Scene::new().await, Receiver::start().await);
    let (endpoint, _running) = left_alone(&scene, &receiver).await;
    let delivery = scene.deliveries(&endpoint).await[0].id;

    let again = scene.store().redeliver(scene.seller.account, delivery, scene.now()).await;
    assert_eq!(again.unwrap(), Redelivery::Due);
    scene.ring_for(&[delivery]).await;

    assert_eq!(receiver.wait_for(11, SOON).await.len(), 11);
}

#[tokio::test]
async fn an_endpoint_that_is_enabled_or_moved_is_no_longer_left_alone() {
    for moves in [true, false] {
        let scene = Scene::new().await;
        let (receiver, elsewhere) = (Receiver::start().await, Receiver::start().await);
        let (endpoint, _running) = left_alone(&scene, &receiver).await;
        let (store, account) = (scene.store(), scene.seller.account);
        if moves {
            scene.move_to(&endpoint, elsewhere.url()).await;
        } else {
            let nobody = Announce::ToNobody;
            store.disable_endpoint(endpoint.id, "why", nobody, scene.now()).await.unwrap();
            scene.hand.advance(Duration::from_millis(1));
            assert!(store.enable_endpoint(account, endpoint.id, scene.now()).await.unwrap());
        }
        scene.accept(&scene.seller, 1).await;
        let newest = scene.deliveries(&endpoint).await.into_iter().find(|row| row.attempts == 0);
        scene.ring_for(&[newest.unwrap().id]).await;

        let (to, count) = if moves { (&elsewhere, 1) } else { (&receiver, 11) };
        assert_eq!(to.wait_for(count, SOON).await.len(), count);
    }
}

#[tokio::test]
async fn an_endpoint_that_is_left_alone_can_be_tried() {
    let (scene, receiver) = (Scene::new().await, Receiver::start().await);
    let (endpoint, _running) = left_alone(&scene, &receiver).await;
    let trial = NewTrial {
        delivery: DeliveryId::new(Uuid::now_v7()),
        event: EventId::new(Uuid::now_v7()),
        account: scene.seller.account,
        endpoint: endpoint.id,
        event_type: "webhook_endpoint.test".to_owned(),
        body: b"{}".to_vec(),
    };
    assert_eq!(scene.store().try_endpoint(&trial, scene.now()).await.unwrap(), Trial::Due);
    scene.ring_for(&[trial.delivery]).await;

    testkit::eventually(SOON, || async {
        let rows = scene.deliveries(&endpoint).await;
        rows.iter().any(|row| row.id == trial.delivery && row.state == "delivered").then_some(())
    })
    .await;
}
