//! Payments that are over are read once, and remembered.

use std::time::Duration;

use domain::{Event, Payment};
use futures::future::join_all;
use reqwest::Method;
use results::Settings;
use store::Change;
use testkit::{RedisServer, Seller, eventually};

use crate::api::{Api, FOR_EVER, Told, now, settings};

/// How long it may take until many requests wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many wait at once.
const CROWD: usize = 300;

impl Api {
    /// A payment that is over, and its path.
    async fn over(&self) -> (Payment, String) {
        let over = self.advance(&self.payment().await, Event::Canceled).await;
        let path = format!("/v1/payments/{}", over.id);
        (over, path)
    }
}

#[tokio::test]
async fn who_has_a_payment_that_is_over_is_told_so_without_the_ledger() {
    let api = Api::start().await;
    let (_, path) = api.over().await;
    let told = Told::by(api.get(&path)).await;
    assert_eq!((told.status, told.text("status")), (200, "canceled"));

    api.database.refuse_connections().await;
    let tag = told.header("etag").unwrap();
    let again = Told::by(api.get(&path).header("if-none-match", tag)).await;

    assert_eq!(again.status, 304);
    api.database.accept_connections().await;
}

#[tokio::test]
async fn a_payment_that_is_remembered_is_still_nobody_elses() {
    let api = Api::start().await;
    let (_, path) = api.over().await;
    for _ in 0..2 {
        let own = Told::by(api.get(&path)).await;
        assert_eq!(own.body["timeline"].as_array().unwrap().len(), 2);
    }

    let stranger = Seller::create(&api.database.store).await;
    let told = Told::by(api.request(Method::GET, &path, &stranger.key)).await;

    assert_eq!(told.problem(), (404, "not_found"));
}

#[tokio::test]
async fn a_payment_that_can_still_change_is_not_remembered() {
    let api = Api::start().await;
    let payment = api.payment().await;
    let path = format!("/v1/payments/{}", payment.id);
    assert_eq!(Told::by(api.get(&path)).await.text("status"), "accepted");

    api.advance_untold(&payment, Event::Canceled).await;

    assert_eq!(Told::by(api.get(&path)).await.text("status"), "canceled");
}

#[tokio::test]
async fn a_crowd_that_waits_for_as_many_payments_is_answered_when_all_change_at_once() {
    let redis = RedisServer::start().await;
    let deaf = Settings {
        recheck: FOR_EVER,
        max_waiters: CROWD,
        max_waiters_per_key: CROWD,
        ..settings()
    };
    let api = Api::serve(deaf, redis.url()).await;
    let mut payments = Vec::new();
    for _ in 0..CROWD {
        payments.push(api.payment().await);
    }
    let polls = payments.iter().map(|payment| {
        let path = format!("/v1/payments/{}?wait=3600&since_version=1", payment.id);
        tokio::spawn(Told::by(api.get(&path)))
    });
    let polls: Vec<_> = polls.collect();
    eventually(PATIENCE, || std::future::ready((api.app.waiting() == CROWD).then_some(()))).await;

    let cancel = |payment: Payment| Change { payment, event: Event::Canceled, carrier: None };
    let changes = payments.into_iter().map(cancel).collect();
    let advance = api.database.store.advance(changes, now()).await.unwrap();
    eventually(PATIENCE, || async {
        // Told again, as the API may not be listening yet.
        api.herald.announce(advance.moved(), &[]);
        polls.iter().all(tokio::task::JoinHandle::is_finished).then_some(())
    })
    .await;

    for told in join_all(polls).await {
        let told = told.unwrap();
        assert_eq!((told.status, told.text("status")), (200, "canceled"));
    }
}
