//! Long polls.

use std::time::Duration;

use domain::Event;
use reqwest::RequestBuilder;
use results::Settings;
use testkit::{RedisServer, eventually};
use tokio::task::JoinHandle;

use crate::api::{Api, FOR_EVER, Told, included, settings};

/// How long a request may take to begin to wait, and a notice to be heard.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Nothing is seen but what is told.
pub(crate) fn deaf() -> Settings {
    Settings { recheck: FOR_EVER, ..settings() }
}

/// Sends a request that waits, and comes back once it does.
pub(crate) async fn waiting(api: &Api, request: RequestBuilder) -> JoinHandle<Told> {
    let sent = tokio::spawn(Told::by(request));
    all_are_waiting(api, 1).await;
    sent
}

/// Comes back once this many requests wait.
pub(crate) async fn all_are_waiting(api: &Api, count: usize) {
    eventually(SOON, || std::future::ready((api.app.waiting() == count).then_some(()))).await;
}

#[tokio::test]
async fn a_change_that_is_told_wakes_who_waits_for_it() {
    let redis = RedisServer::start().await;
    let api = Api::serve(deaf(), redis.url()).await;
    let payment = api.payment().await;
    let path = format!("/v1/payments/{}?wait=3600", payment.id);
    let poll = waiting(&api, api.get(&path)).await;

    let (moved, _) = api.advance_untold(&payment, included()).await;
    eventually(SOON, || async {
        // Told again, as the API may not be listening yet.
        api.herald.announce([&moved], &[]);
        poll.is_finished().then_some(())
    })
    .await;
    let told = poll.await.unwrap();
    assert_eq!((told.status, told.text("status")), (200, "confirmed"));
}

#[tokio::test]
async fn a_change_that_nobody_told_of_is_found_in_the_ledger() {
    let api = Api::start().await;
    let payment = api.payment().await;
    let path = format!("/v1/payments/{}?wait=3600&since_version=1", payment.id);
    let poll = waiting(&api, api.get(&path)).await;

    api.advance_untold(&payment, Event::Canceled).await;
    let told = poll.await.unwrap();
    assert_eq!((told.status, told.text("status")), (200, "canceled"));
}

#[tokio::test]
async fn a_client_that_is_behind_is_answered_at_once() {
    let api = Api::with(deaf()).await;
    let payment = api.payment().await;
    api.advance_untold(&payment, included()).await;
    let path = format!("/v1/payments/{}", payment.id);
    let by_version = Told::by(api.get(&format!("{path}?wait=3600&since_version=1"))).await;
    let by_tag =
        Told::by(api.get(&path).header("prefer", "wait=3600").header("if-none-match", "\"v1\""))
            .await;
    assert_eq!((by_version.status, by_version.text("status")), (200, "confirmed"));
    assert_eq!((by_tag.status, by_tag.text("status")), (200, "confirmed"));
    assert_eq!(by_tag.header("preference-applied"), Some("wait=3600"));
}

#[tokio::test]
async fn nobody_waits_for_a_payment_that_is_over() {
    let api = Api::with(deaf()).await;
    let payment = api.payment().await;
    api.advance_untold(&payment, Event::Canceled).await;
    let path = format!("/v1/payments/{}?wait=3600", payment.id);
    assert_eq!(Told::by(api.get(&path)).await.status, 200);
    assert_eq!(Told::by(api.get(&path).header("if-none-match", "\"v2\"")).await.status, 304);
}

#[tokio::test]
async fn a_wait_without_news_ends_as_the_client_can_read_it() {
    let api = Api::start().await;
    let path = format!("/v1/payments/{}?wait=1", api.payment().await.id);
    let plain = Told::by(api.get(&path)).await;
    let by_version = Told::by(api.get(&format!("{path}&since_version=1"))).await;
    let by_tag = Told::by(api.get(&path).header("if-none-match", "\"v1\"")).await;
    assert_eq!([plain.status, by_version.status, by_tag.status], [200, 200, 304]);
    assert_eq!(plain.text("status"), "accepted");
}

#[tokio::test]
async fn no_wait_is_longer_than_the_operator_allows() {
    let api = Api::with(Settings { max_wait: Duration::from_secs(1), ..settings() }).await;
    let path = format!("/v1/payments/{}", api.payment().await.id);
    let told = Told::by(api.get(&path).header("prefer", "respond-async, wait=3600")).await;
    assert_eq!((told.status, told.header("preference-applied")), (200, Some("wait=1")));
}

#[tokio::test]
async fn a_waiter_too_many_is_answered_at_once_and_asked_to_come_again() {
    let api = Api::with(Settings { max_waiters: 0, ..settings() }).await;
    let path = format!("/v1/payments/{}", api.payment().await.id);
    let told = Told::by(api.get(&format!("{path}?wait=3600"))).await;
    assert_eq!((told.status, told.header("retry-after")), (200, Some("2")));
    let told = Told::by(api.get(&path).header("prefer", "wait=3600")).await;
    assert_eq!((told.status, told.header("preference-applied")), (200, None));
}

#[tokio::test]
async fn one_key_cannot_take_the_places_of_all() {
    let api = Api::with(Settings { max_waiters_per_key: 0, ..settings() }).await;
    let path = format!("/v1/payments/{}?wait=3600", api.payment().await.id);
    assert_eq!(Told::by(api.get(&path)).await.status, 200);
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_its_place() {
    let api = Api::start().await;
    let path = format!("/v1/payments/{}", api.payment().await.id);
    let poll = waiting(&api, api.get(&format!("{path}?wait=3600"))).await;
    poll.abort();
    all_are_waiting(&api, 0).await;
}

#[tokio::test]
async fn who_waits_is_answered_when_the_process_stops() {
    let api = Api::with(deaf()).await;
    let path = format!("/v1/payments/{}?wait=3600", api.payment().await.id);
    let poll = waiting(&api, api.get(&path)).await;
    api.stop.cancel();
    assert_eq!(poll.await.unwrap().status, 200);
}
