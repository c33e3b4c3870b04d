//! Failures, and when it is tried again.

use std::sync::Arc;
use std::time::Duration;

use domain::Timestamp;
use store::EndpointState;
use testkit::{Answer, Receiver};
use tokio::sync::Notify;

use crate::scene::{Endpoint, ROOMY, SOON, Scene, Settings};

/// Longer than any delay of the schedule.
const A_LONG_TIME: Duration = Duration::from_secs(30 * 3600);

impl Scene {
    /// In how many seconds the only delivery is tried again.
    async fn wait_of(&self, endpoint: &Endpoint) -> i64 {
        let due: Timestamp = self.delivery(endpoint).await.due_at.unwrap();
        (due.unix_ms() - self.now().unix_ms()) / 1000
    }

    async fn state(&self, endpoint: &Endpoint) -> EndpointState {
        let endpoints = self.store().list_endpoints(self.seller.account).await.unwrap();
        endpoints.into_iter().find(|listed| listed.id == endpoint.id).unwrap().state
    }
}

#[tokio::test]
async fn a_failed_delivery_is_retried_on_the_schedule_until_the_receiver_heals() {
    let (scene, receiver) = (Scene::new().await, Receiver::start().await);
    let endpoint = scene.endpoint(&scene.seller, receiver.url()).await;
    scene.accept(&scene.seller, 1).await;
    let _running = scene.notify(ROOMY);

    receiver.answer(Answer::status(500));
    scene.ring(&endpoint).await;
    scene.wait_for_attempts(&endpoint, 1).await;
    assert!((4..=6).contains(&scene.wait_of(&endpoint).await));

    scene.hand.advance(Duration::from_secs(6));
    scene.ring(&endpoint).await;
    scene.wait_for_attempts(&endpoint, 2).await;
    assert!((24..=36).contains(&scene.wait_of(&endpoint).await));

    receiver.answer(Answer::status(200));
    scene.hand.advance(Duration::from_secs(36));
    scene.ring(&endpoint).await;
    scene.wait_for_state(&endpoint, "delivered").await;

    let requests = receiver.requests();
    let numbers: Vec<_> = requests.iter().map(|r| r.header("webhook-attempt")).collect();
    assert_eq!(numbers, ["1", "2", "3"]);
    assert!(requests.iter().all(|request| request.is_signed_by(&endpoint.secret)));
    assert!(requests.iter().all(|request| request.event_id() == requests[0].event_id()));
    assert!(requests.iter().all(|request| request.body == requests[0].body));
    let outcomes: Vec<_> =
        scene.attempts(&endpoint).await.into_iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, ["refused", "refused", "delivered"]);
}

#[tokio::test]
async fn a_ring_before_the_time_changes_nothing() {
    let (scene, receiver) = (Scene::new().await, Receiver::start().await);
    let endpoint = scene.endpoint(&scene.seller, receiver.url()).await;
    scene.accept(&scene.seller, 1).await;
    let _running = scene.notify(ROOMY);
    receiver.answer(Answer::status(500));
    scene.ring(&endpoint).await;
    scene.wait_for_attempts(&endpoint, 1).await;

    scene.hand.advance(Duration::from_secs(3));
    scene.ring(&endpoint).await;
    scene.wait_for_silence().await;

    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn a_receiver_that_asks_for_a_pause_gets_it() {
    let (scene, receiver) = (Scene::new().await, Receiver::start().await);
    let endpoint = scene.endpoint(&scene.seller, receiver.url()).await;
    scene.accept(&scene.seller, 1).await;
    let _running = scene.notify(ROOMY);
    receiver.answer(Answer::RetryAfter(503, 600));
    scene.ring(&endpoint).await;
    scene.wait_for_attempts(&endpoint, 1).await;
    assert_eq!(scene.wait_of(&endpoint).await, 600);
}

#[tokio::test]
async fn a_receiver_that_never_answers_times_out_and_is_spared_for_a_minute() {
    let (scene, receiver) = (Scene::new().await, Receiver::start().await);
    let endpoint = scene.endpoint(&scene.seller, receiver.url()).await;
    scene.accept(&scene.seller, 1).await;
    receiver.answer(Answer::Hang);

    let _running = scene.notify(Settings { timeout_ms: 200, ..ROOMY });
    scene.ring(&endpoint).await;
    scene.wait_for_attempts(&endpoint, 1).await;

    assert_eq!(scene.attempts(&endpoint).await[0].outcome, "timeout");
    assert_eq!(scene.wait_of(&endpoint).await, 60);
}

#[tokio::test]
async fn a_receiver_that_is_not_there_is_tried_again() {
    let (scene, receiver) = (Scene::new().await, Receiver::start().await);
    let endpoint = scene.endpoint(&scene.seller, receiver.url()).await;
    scene.accept(&scene.seller, 1).await;
    drop(receiver);

    let _running = scene.notify(ROOMY);
    scene.ring(&endpoint).await;
    scene.wait_for_attempts(&endpoint, 1).await;

    let attempt = scene.attempts(&endpoint).await.remove(0);
    assert_eq!((attempt.outcome.as_str(), attempt.status), ("unreachable", None));
    assert!(!attempt.error.unwrap().contains("/hook"));
    assert!((4..=6).contains(&scene.wait_of(&endpoint).await));
}

#[tokio::test]
async fn after_twelve_attempts_a_delivery_is_given_up() {
    let (scene, receiver) = (Scene::new().await, Receiver::start().await);
    let endpoint = scene.endpoint(&scene.seller, receiver.url()).await;
    scene.accept(&scene.seller, 1).await;
    receiver.answer(Answer::status(500));
    let _running = scene.notify(ROOMY);

    for attempt in 1..=12 {
        let due = scene.delivery(&endpoint).await.due_at.unwrap();
        scene.hand.advance(due.since(scene.now()));
        scene.ring(&endpoint).await;
        scene.wait_for_attempts(&endpoint, attempt).await;
    }

    assert_eq!(scene.delivery(&endpoint).await.state, "exhausted");
    assert_eq!(receiver.requests().len(), 12);
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_disabled_and_everything_for_it_held() {
    let (scene, receiver) = (Scene::new().await, Receiver::start().await);
    let endpoint = scene.endpoint(&scene.seller, receiver.url()).await;
    scene.accept(&scene.seller, 3).await;
    receiver.answer(Answer::status(410));
    let first = scene.deliveries(&endpoint).await[0].id;

    let _running = scene.notify(ROOMY);
    scene.ring_for(&[first]).await;
    scene.wait_for_state(&endpoint, "held").await;
    scene.hand.advance(A_LONG_TIME);
    scene.ring(&endpoint).await;
    scene.wait_for_silence().await;

    let reason = "the endpoint answered 410 Gone".to_owned();
    assert_eq!(scene.state(&endpoint).await, EndpointState::Disabled(reason));
    let attempts: Vec<_> = scene.deliveries(&endpoint).await.iter().map(|d| d.attempts).collect();
    assert_eq!(attempts, [1, 0, 0]);
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn a_url_that_the_endpoint_has_left_meanwhile_cannot_disable_it() {
    let (scene, old, new) = (Scene::new().await, Receiver::start().await, Receiver::start().await);
    let endpoint = scene.endpoint(&scene.seller, old.url()).await;
    scene.accept(&scene.seller, 1).await;
    let answers = Arc::new(Notify::new());
    old.answer(Answer::Held(410, Arc::clone(&answers)));

    let _running = scene.notify(ROOMY);
    scene.ring(&endpoint).await;
    old.wait_for(1, SOON).await;
    scene.move_to(&endpoint, new.url()).await;
    answers.notify_one();
    scene.wait_for_attempts(&endpoint, 1).await;
    scene.hand.advance(A_LONG_TIME);
    scene.ring(&endpoint).await;
    scene.wait_for_state(&endpoint, "delivered").await;

    assert_eq!(scene.state(&endpoint).await, EndpointState::Enabled);
    assert_eq!((old.requests().len(), new.requests().len()), (1, 1));
}

#[tokio::test]
async fn a_receiver_that_wants_no_more_of_a_message_is_heard() {
    let (scene, receiver) = (Scene::new().await, Receiver::start().await);
    let endpoint = scene.endpoint(&scene.seller, receiver.url()).await;
    scene.accept(&scene.seller, 1).await;
    receiver.answer(Answer::Header(400, "webhook-delivery", "abort-message".to_owned()));

    let _running = scene.notify(ROOMY);
    scene.ring(&endpoint).await;
    scene.wait_for_state(&endpoint, "aborted").await;

    assert_eq!(scene.state(&endpoint).await, EndpointState::Enabled);
}
