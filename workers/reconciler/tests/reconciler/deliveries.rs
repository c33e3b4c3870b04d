//! Deliveries whose attempt has come.

use std::time::Duration;

use domain::{EndpointId, JobId, Timestamp};
use queue::Stream;
use sqlx::Executor;
use store::{Announce, Begun, DueDeliveries, RecoverySpec};
use uuid::Uuid;

use crate::scene::{DUE, Scene, names};

/// So many endpoints that are disabled while they are told again what they missed.
const RESTING: usize = 100;

impl Scene {
    /// Begins to tell an endpoint again what was given up in the last minute.
    async fn recover(&self, endpoint: EndpointId) {
        let spec = RecoverySpec {
            account: self.seller.account,
            endpoint,
            since: Timestamp::from_unix_ms(self.now().unix_ms() - 60_000),
            until: self.now().plus(DUE),
            delivered_too: false,
            untold_too: false,
        };
        let begun = self.store().begin_recovery(JobId::new(Uuid::now_v7()), &spec, self.now());
        assert_eq!(begun.await.unwrap(), Begun::Running);
    }
}

#[tokio::test]
async fn every_due_delivery_is_rung_for() {
    let scene = Scene::new().await;
    let endpoint = scene.endpoint().await;
    scene.accept(50).await;
    let mut notify = scene.listen(Stream::Notify);

    let _running = scene.reconcile();

    assert_eq!(notify.hear(50).await, names(scene.deliveries_to(endpoint).await));
}

#[tokio::test]
async fn a_delivery_that_nobody_answers_for_is_not_rung_for_in_every_round() {
    let scene = Scene::new().await;
    scene.endpoint().await;
    scene.accept(3).await;
    let running = scene.reconcile();
    scene.wait_for_length(&Stream::Notify, 3).await;

    // Each ring for a payment that is due again is the mark of another round.
    for round in 1..=3 {
        scene.hand.advance(20 * DUE);
        scene.wait_for_length(&Stream::Risk, 3 * round).await;
    }
    running.stop().await;

    assert_eq!(scene.length(&Stream::Notify).await, 3);
}

#[tokio::test]
async fn a_delivery_under_way_is_rung_for_only_after_its_lease() {
    let scene = Scene::new().await;
    let endpoint = scene.endpoint().await;
    scene.accept(2).await;
    let deliveries = scene.deliveries_to(endpoint).await;
    let lease = scene.now().plus(DUE);
    scene.store().claim_deliveries(&deliveries[..1], scene.now(), lease).await.unwrap();
    let mut notify = scene.listen(Stream::Notify);

    let _running = scene.reconcile();
    let before = notify.hear(1).await;
    scene.hand.advance(2 * DUE);
    let after = notify.hear(1).await;

    assert_eq!((before, after), (names(&deliveries[1..]), names(&deliveries[..1])));
}

#[tokio::test]
async fn one_endpoints_backlog_does_not_hide_anothers_delivery() {
    let scene = Scene::new().await;
    let slow = scene.endpoint().await;
    scene.accept(30).await;
    let other = scene.endpoint().await;
    scene.accept(1).await;
    assert_eq!(scene.deliveries_to(slow).await.len(), 31);

    let wanted = DueDeliveries { limit: 2, share: 10, except: &[] };
    let due = scene.store().due_deliveries(wanted, scene.now().plus(DUE)).await.unwrap();

    assert!(due.contains(&scene.deliveries_to(other).await[0]));
}

#[tokio::test]
async fn nothing_is_rung_for_an_endpoint_that_is_disabled_or_deleted() {
    let scene = Scene::new().await;
    let [disabled, deleted] = [scene.endpoint().await, scene.endpoint().await];
    scene.accept(3).await;
    let kept = scene.endpoint().await;
    scene.accept(1).await;
    scene
        .store()
        .disable_endpoint(disabled, "a test", Announce::ToNobody, scene.now())
        .await
        .unwrap();
    scene.store().delete_endpoint(scene.seller.account, deleted, scene.now()).await.unwrap();

    let running = scene.reconcile();
    scene.wait_for_length(&Stream::Notify, 1).await;
    running.stop().await;

    assert_eq!(scene.length(&Stream::Notify).await, 1);
    let rung = scene.listen(Stream::Notify).hear(1).await;
    assert_eq!(rung, names(scene.deliveries_to(kept).await));
}

#[tokio::test]
async fn a_recovery_does_not_wait_for_those_of_endpoints_that_are_disabled() {
    let scene = Scene::new().await;
    for _ in 0..RESTING {
        let endpoint = scene.endpoint().await;
        scene.recover(endpoint).await;
        let disable =
            scene.store().disable_endpoint(endpoint, "why", Announce::ToNobody, scene.now());
        disable.await.unwrap();
    }
    let endpoint = scene.endpoint().await;
    scene.accept(1).await;
    let given_up =
        "update webhook_deliveries set state = 'exhausted', due_at = null, finished_at = now()";
    scene.store().pool().execute(sqlx::raw_sql(given_up)).await.unwrap();
    scene.hand.advance(Duration::from_millis(1));
    scene.recover(endpoint).await;
    let mut notify = scene.listen(Stream::Notify);

    let _running = scene.reconcile();

    assert_eq!(notify.hear(1).await, names(scene.deliveries_to(endpoint).await));
}
