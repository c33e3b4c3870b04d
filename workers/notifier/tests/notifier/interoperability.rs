//! Receivers that verify with other people's libraries.

use std::time::Duration;

use testkit::Receiver;
use tokio::net::TcpListener;

use crate::node::{Case, NodeReceiver, RECEIVER, judge};
use crate::receiver::receiver;
use crate::scene::{Endpoint, ROOMY, Scene, Secret};

/// What the library says of a signature that is none.
const UNSIGNED: &str = "No matching signature found";

/// The time between rotation and the end of the earlier secret.
const OVERLAP: Duration = Duration::from_secs(60);

impl Scene {
    /// Two endpoints whose secret was changed: one's receiver has the earlier, the other's the new.
    async fn rotated(&self) -> [(Endpoint, NodeReceiver); 2] {
        let (earlier, new) = (Secret::random(), Secret::random());
        let mut endpoints = Vec::new();
        for known in [&earlier, &new] {
            let receiver = NodeReceiver::start(&known.text()).await;
            let endpoint = self.endpoint_with(&earlier, &self.seller, receiver.url()).await;
            self.rotate(&endpoint, &new, OVERLAP).await;
            endpoints.push((endpoint, receiver));
        }
        endpoints.try_into().ok().unwrap()
    }
}

/// Serves the documentation's receiver in Rust as long as the test runs, and gives its URL.
async fn rust_receiver(secret: &Secret) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = receiver(&secret.text()).unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}/hook")
}

#[test]
fn the_documentation_shows_the_receivers_that_are_tested() {
    let page = include_str!("../../../../docs/webhooks.md");
    let shown = [("js", RECEIVER), ("rust", include_str!("receiver.rs"))];
    for (language, code) in shown {
        let block = format!("```{language}\n{code}```\n");
        assert!(page.contains(&block), "docs/webhooks.md lacks:\n{block}");
    }
}

#[tokio::test]
async fn a_receiver_in_rust_verifies_a_webhook_with_its_secret_alone() {
    let (scene, secret) = (Scene::new().await, Secret::random());
    let url = rust_receiver(&secret).await;
    let known = scene.endpoint_with(&secret, &scene.seller, url.clone()).await;
    let stranger = scene.endpoint(&scene.seller, url).await;
    scene.accept(&scene.seller, 1).await;

    let _running = scene.notify(ROOMY);
    scene.ring(&known).await;
    scene.ring(&stranger).await;

    scene.wait_for_attempts(&known, 1).await;
    scene.wait_for_attempts(&stranger, 1).await;
    assert_eq!(scene.attempts(&known).await[0].status, Some(204));
    assert_eq!(scene.attempts(&stranger).await[0].status, Some(400));
}

#[tokio::test]
async fn a_receiver_in_node_verifies_a_webhook() {
    let (scene, secret) = (Scene::new().await, Secret::random());
    let mut receiver = NodeReceiver::start(&secret.text()).await;
    let endpoint = scene.endpoint_with(&secret, &scene.seller, receiver.url()).await;
    scene.accept(&scene.seller, 1).await;

    let _running = scene.notify(ROOMY);
    scene.ring(&endpoint).await;
    scene.wait_for_state(&endpoint, "delivered").await;

    assert_eq!(scene.attempts(&endpoint).await[0].status, Some(204));
    let event = scene.delivery(&endpoint).await.event;
    assert_eq!(receiver.heard().await, format!("{event} payment.accepted"));
}

#[tokio::test]
async fn a_receiver_in_node_with_another_secret_refuses() {
    let (scene, receiver) =
        (Scene::new().await, NodeReceiver::start(&Secret::random().text()).await);
    let endpoint = scene.endpoint(&scene.seller, receiver.url()).await;
    scene.accept(&scene.seller, 1).await;

    let _running = scene.notify(ROOMY);
    scene.ring(&endpoint).await;
    scene.wait_for_attempts(&endpoint, 1).await;

    assert_eq!(scene.attempts(&endpoint).await[0].status, Some(400));
}

#[tokio::test]
async fn while_a_secret_is_rotated_receivers_in_node_verify_with_either() {
    let scene = Scene::new().await;
    let [(with_earlier, _one), (with_new, _other)] = scene.rotated().await;
    scene.accept(&scene.seller, 1).await;

    let _running = scene.notify(ROOMY);
    for endpoint in [with_earlier, with_new] {
        scene.ring(&endpoint).await;
        scene.wait_for_state(&endpoint, "delivered").await;
    }
}

#[tokio::test]
async fn after_a_rotation_receivers_in_node_verify_with_the_new_secret_alone() {
    let scene = Scene::new().await;
    let [(with_earlier, _one), (with_new, _other)] = scene.rotated().await;
    scene.accept(&scene.seller, 1).await;
    scene.hand.advance(OVERLAP);

    let _running = scene.notify(ROOMY);
    scene.ring(&with_earlier).await;
    scene.ring(&with_new).await;

    scene.wait_for_attempts(&with_earlier, 1).await;
    assert_eq!(scene.attempts(&with_earlier).await[0].status, Some(400));
    scene.wait_for_state(&with_new, "delivered").await;
}

#[tokio::test]
async fn the_library_for_node_refuses_what_was_changed_or_comes_at_another_time() {
    let (scene, receiver) = (Scene::new().await, Receiver::start().await);
    let endpoint = scene.endpoint(&scene.seller, receiver.url()).await;
    scene.accept(&scene.seller, 1).await;
    let _running = scene.notify(ROOMY);
    scene.ring(&endpoint).await;
    scene.wait_for_state(&endpoint, "delivered").await;

    let sent = Case::of(&receiver.requests()[0], &endpoint.secret);
    let verdicts = judge(&[
        sent.clone(),
        Case { body: sent.body.replacen("accepted", "settled", 1), ..sent.clone() },
        Case { id: sent.id.replacen("evt_", "evt-", 1), ..sent.clone() },
        Case { timestamp_secs: sent.timestamp_secs + 1, ..sent.clone() },
        Case { secret: Secret::random().text(), ..sent.clone() },
        Case { now_secs: sent.now_secs + 301, ..sent.clone() },
        Case { now_secs: sent.now_secs - 301, ..sent.clone() },
    ])
    .await;

    let (late, early) = ("Message timestamp too old", "Message timestamp too new");
    let verdicts: Vec<_> = verdicts.iter().map(Option::as_deref).collect();
    assert_eq!(verdicts[..2], [None, Some(UNSIGNED)]);
    assert_eq!(verdicts[2..5], [Some(UNSIGNED); 3]);
    assert_eq!(verdicts[5..], [Some(late), Some(early)]);
}

#[tokio::test]
async fn the_library_for_node_verifies_the_vectors_that_our_signatures_are_compared_with() {
    let vectors: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("../vectors.json")).unwrap();
    let text = |vector: &serde_json::Value, key: &str| vector[key].as_str().unwrap().to_owned();
    let cases: Vec<_> = vectors
        .iter()
        .map(|vector| {
            let timestamp_secs = vector["timestamp"].as_i64().unwrap();
            Case {
                secret: text(vector, "secret"),
                now_secs: timestamp_secs,
                id: text(vector, "id"),
                timestamp_secs,
                signature: text(vector, "signature"),
                body: text(vector, "body"),
            }
        })
        .collect();

    assert_eq!(judge(&cases).await, [None, None]);
}
