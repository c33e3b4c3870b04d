//! Many deliveries at once, and endpoints that are slow.

use domain::{DeliveryId, EventId};
use store::{NewTrial, Trial};
use testkit::{Answer, Receiver, Seller};
use uuid::Uuid;

use crate::scene::{ROOMY, SOON, Scene, Settings};

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

#[tokio::test]
async fn an_endpoint_that_is_left_alone_can_be_tried() {
    let (scene, receiver) = (Scene::new().await, Receiver::start().await);
    let endpoint = scene.endpoint(&scene.seller, receiver.url()).await;
    scene.accept(&scene.seller, 10).await;
    receiver.answer(Answer::status(500));
    let _running = scene.notify(ROOMY);
    scene.ring(&endpoint).await;
    receiver.wait_for_events(10, SOON).await;
    scene.wait_for_silence().await;

    receiver.answer(Answer::status(200));
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
