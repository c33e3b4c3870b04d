//! The same API as a proxy asks it: many requests over one connection of HTTP/2.

use domain::Event;
use reqwest::{Client, RequestBuilder};
use testkit::http::proxy;
use tokio::task::JoinSet;

use crate::api::{Api, Told, included};
use crate::waiting::{all_are_waiting, deaf};

fn ask(proxy: &Client, api: &Api, path: &str) -> RequestBuilder {
    proxy.get(api.url(path)).bearer_auth(&api.seller.key)
}

#[tokio::test]
async fn many_polls_wait_over_one_connection_and_only_the_one_with_news_is_answered() {
    let api = Api::start().await;
    let (proxy, payment, other) = (proxy(), api.payment().await, api.payment().await);
    let mut polls = JoinSet::new();
    for _ in 0..90 {
        let path = format!("/v1/payments/{}?wait=3600", other.id);
        polls.spawn(Told::by(ask(&proxy, &api, &path)));
    }
    let path = format!("/v1/payments/{}?wait=3600", payment.id);
    let poll = tokio::spawn(Told::by(ask(&proxy, &api, &path)));
    all_are_waiting(&api, 91).await;

    api.advance_untold(&payment, included()).await;
    let told = poll.await.unwrap();
    assert_eq!((told.status, told.text("status")), (200, "confirmed"));
    assert!(told.header("x-request-id").is_some_and(|id| id.starts_with("req_")));
    all_are_waiting(&api, 90).await;

    api.advance_untold(&other, Event::Canceled).await;
    assert!(polls.join_all().await.iter().all(|told| told.text("status") == "canceled"));
    all_are_waiting(&api, 0).await;
}

#[tokio::test]
async fn polls_that_are_taken_back_leave_their_places_while_the_connection_stays() {
    let api = Api::with(deaf()).await;
    let (proxy, payment) = (proxy(), api.payment().await);
    let path = format!("/v1/payments/{}?wait=3600", payment.id);
    let mut polls = JoinSet::new();
    for _ in 0..10 {
        polls.spawn(Told::by(ask(&proxy, &api, &path)));
    }
    all_are_waiting(&api, 10).await;
    polls.shutdown().await;
    all_are_waiting(&api, 0).await;
    let told = Told::by(ask(&proxy, &api, &format!("/v1/payments/{}", payment.id))).await;
    assert_eq!(told.status, 200);
}

#[tokio::test]
async fn who_waits_over_one_connection_is_answered_when_the_process_stops() {
    let api = Api::with(deaf()).await;
    let (proxy, payment) = (proxy(), api.payment().await);
    let path = format!("/v1/payments/{}?wait=3600", payment.id);
    let mut polls = JoinSet::new();
    for _ in 0..50 {
        polls.spawn(Told::by(ask(&proxy, &api, &path)));
    }
    let stream = ask(&proxy, &api, &format!("/v1/payments/{}/stream", payment.id));
    let stream = stream.send().await.unwrap();
    all_are_waiting(&api, 51).await;

    api.stop.cancel();
    let told = polls.join_all().await;
    assert!(told.iter().all(|told| (told.status, told.text("status")) == (200, "accepted")));
    assert!(stream.text().await.unwrap().contains("event: payment.accepted"));
}
