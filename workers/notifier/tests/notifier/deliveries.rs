//! What a receiver gets, and what it does not.

use testkit::{Answer, Receiver};

use crate::scene::{ROOMY, SOON, Scene, Settings};

#[tokio::test]
async fn a_webhook_arrives_signed_and_is_logged() {
    let (scene, receiver) = (Scene::new().await, Receiver::start().await);
    let endpoint = scene.endpoint(&scene.seller, receiver.url()).await;
    scene.accept(&scene.seller, 1).await;
    receiver.answer(Answer::Status(202, "thanks".to_owned()));

    let _running = scene.notify(ROOMY);
    scene.ring(&endpoint).await;
    scene.wait_for_state(&endpoint, "delivered").await;

    let received = receiver.requests().remove(0);
    let delivery = scene.delivery(&endpoint).await;
    assert!(received.is_signed_by(&endpoint.secret));
    assert_eq!(received.event_id(), delivery.event.to_string());
    assert_eq!(received.header("webhook-timestamp"), scene.now().unix_secs().to_string());
    assert_eq!(received.header("webhook-attempt"), "1");
    assert_eq!(received.header("content-type"), "application/json");
    assert_eq!(received.header("user-agent"), "Quittance-Webhooks/1.0");
    let body = received.json();
    assert_eq!(body["id"], delivery.event.to_string());
    assert_eq!(body["type"], "payment.accepted");
    let attempt = scene.attempts(&endpoint).await.remove(0);
    assert_eq!((attempt.number, attempt.outcome.as_str()), (1, "delivered"));
    assert_eq!((attempt.status, attempt.response.as_deref()), (Some(202), Some("thanks")));
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_not_followed() {
    let (scene, receiver) = (Scene::new().await, Receiver::start().await);
    let elsewhere = Receiver::start().await;
    let endpoint = scene.endpoint(&scene.seller, receiver.url()).await;
    scene.accept(&scene.seller, 1).await;
    receiver.answer(Answer::Redirect(elsewhere.url()));

    let running = scene.notify(ROOMY);
    scene.ring(&endpoint).await;
    scene.wait_for_attempts(&endpoint, 1).await;
    running.stop().await;

    assert_eq!(scene.attempts(&endpoint).await[0].outcome, "redirected");
    assert_eq!(scene.delivery(&endpoint).await.state, "pending");
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn nothing_is_sent_to_a_private_address() {
    let (scene, receiver) = (Scene::new().await, Receiver::start().await);
    let url = receiver.url().replace("http://", "https://");
    let endpoint = scene.endpoint(&scene.seller, url).await;
    scene.accept(&scene.seller, 1).await;

    let _running = scene.notify(Settings { allow_private_targets: false, ..ROOMY });
    scene.ring(&endpoint).await;
    scene.wait_for_attempts(&endpoint, 1).await;

    let attempt = scene.attempts(&endpoint).await.remove(0);
    assert_eq!((attempt.outcome.as_str(), attempt.status), ("egress_blocked", None));
    assert_eq!(attempt.error.as_deref(), Some("blocked: the host's address is not public"));
    assert!(receiver.requests().is_empty());
}

#[tokio::test]
async fn a_deleted_endpoint_is_sent_nothing_more() {
    let (scene, receiver) = (Scene::new().await, Receiver::start().await);
    let deleted = scene.endpoint(&scene.seller, receiver.url_of("/deleted")).await;
    let kept = scene.endpoint(&scene.seller, receiver.url_of("/kept")).await;
    scene.accept(&scene.seller, 5).await;
    scene.ring(&deleted).await;
    scene.ring(&kept).await;
    let account = scene.seller.account;
    assert!(scene.store().delete_endpoint(account, deleted.id, scene.now()).await.unwrap());

    let _running = scene.notify(ROOMY);
    scene.wait_for_state(&kept, "delivered").await;
    scene.wait_for_silence().await;

    scene.wait_for_state(&deleted, "canceled").await;
    assert_eq!(receiver.requests().len(), 5);
    assert!(receiver.requests().iter().all(|request| request.target == "/kept"));
}

#[tokio::test]
async fn an_endless_answer_is_cut_and_counts() {
    let (scene, receiver) = (Scene::new().await, Receiver::start().await);
    let endpoint = scene.endpoint(&scene.seller, receiver.url()).await;
    scene.accept(&scene.seller, 1).await;
    receiver.answer(Answer::Endless);

    let _running = scene.notify(ROOMY);
    scene.ring(&endpoint).await;
    scene.wait_for_state(&endpoint, "delivered").await;

    let attempt = scene.attempts(&endpoint).await.remove(0);
    assert_eq!(attempt.response.unwrap().len(), 4_096);
}

#[tokio::test]
async fn an_answer_that_the_ledger_could_not_store_is_logged_as_far_as_it_can() {
    let (scene, receiver) = (Scene::new().await, Receiver::start().await);
    let endpoint = scene.endpoint(&scene.seller, receiver.url()).await;
    scene.accept(&scene.seller, 1).await;
    // PostgreSQL takes no NUL in a text, and what replaces one is three bytes long.
    receiver.answer(Answer::Status(500, "\0".repeat(5_000)));

    let _running = scene.notify(ROOMY);
    scene.ring(&endpoint).await;
    scene.wait_for_attempts(&endpoint, 1).await;

    let attempt = scene.attempts(&endpoint).await.remove(0);
    assert_eq!((attempt.outcome.as_str(), attempt.status), ("refused", Some(500)));
    assert!(attempt.response.unwrap().len() <= 4_096);
}

#[tokio::test]
async fn jobs_that_name_no_delivery_stop_nothing() {
    let (scene, receiver) = (Scene::new().await, Receiver::start().await);
    let endpoint = scene.endpoint(&scene.seller, receiver.url()).await;
    scene.accept(&scene.seller, 1).await;
    let ids = ["", "whd_", "pay_00000000000000000000000001", "whd_00000000000000000000000001"];
    let jobs = ids.map(queue::Job::new);
    scene.queue.push(&queue::Stream::Notify, &jobs).await.unwrap();

    let _running = scene.notify(ROOMY);
    scene.ring(&endpoint).await;

    receiver.wait_for(1, SOON).await;
    scene.wait_for_silence().await;
}

#[tokio::test]
async fn what_became_of_webhooks_can_be_measured() {
    let metrics = runtime::metrics::install().unwrap();
    notifier::begin_metrics();
    let (scene, receiver) = (Scene::new().await, Receiver::start().await);
    let endpoint = scene.endpoint(&scene.seller, receiver.url()).await;
    scene.accept(&scene.seller, 1).await;

    let running = scene.notify(ROOMY);
    scene.ring(&endpoint).await;
    scene.wait_for_state(&endpoint, "delivered").await;
    running.stop().await;

    let text = metrics.render();
    for line in [
        "webhook_deliveries_total{outcome=\"delivered\"} ",
        "webhook_attempt_seconds_count ",
        "webhook_delivery_seconds_count ",
    ] {
        assert!(text.contains(&format!("\n{line}")), "{line} is missing");
    }
}
