//! The feed of what happened, page by page.

use domain::{Event, Payment};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Row;
use testkit::{RedisServer, Seller, eventually};

use crate::api::{Api, Told, included};
use crate::waiting::{SOON, deaf, waiting};

/// The feed from a cursor on, once it holds so many: other tests' transactions hold it back too.
pub(crate) async fn feed(api: &Api, query: &str, count: usize) -> Told {
    eventually(SOON, || async {
        let told = Told::by(api.get(&format!("/v1/events?{query}"))).await;
        assert_eq!(told.status, 200, "{}", told.body);
        (told.body["data"].as_array().unwrap().len() == count).then_some(told)
    })
    .await
}

/// Of which payments an answer tells what.
fn told_of(told: &Told) -> Vec<(String, String)> {
    let text = |of: &Value| of.as_str().unwrap().to_owned();
    let events = told.body["data"].as_array().unwrap().iter();
    events.map(|event| (text(&event["data"]["id"]), text(&event["type"]))).collect()
}

fn of(payment: &Payment, kind: &str) -> (String, String) {
    (payment.id.to_string(), format!("payment.{kind}"))
}

#[tokio::test]
async fn what_happened_is_told_in_order_and_on_from_where_the_client_was() {
    let api = Api::start().await;
    let first = api.payment().await;
    let second = api.payment().await;
    api.advance_untold(&first, Event::Canceled).await;

    let page = feed(&api, "limit=2", 2).await;
    assert_eq!(told_of(&page), [of(&first, "accepted"), of(&second, "accepted")]);
    let cursor = page.text("next_cursor");
    let rest = feed(&api, &format!("cursor={cursor}"), 1).await;
    assert_eq!(told_of(&rest), [of(&first, "canceled")]);
    assert_eq!(rest.body["has_more"], false);
    // The end is a place to come back to.
    let end = rest.text("next_cursor");
    assert_eq!(feed(&api, &format!("cursor={end}"), 0).await.text("next_cursor"), end);
    api.advance_untold(&second, Event::Canceled).await;
    let news = feed(&api, &format!("cursor={end}"), 1).await;
    assert_eq!(told_of(&news), [of(&second, "canceled")]);
}

#[tokio::test]
async fn an_event_reads_as_its_webhook_whatever_became_of_the_payment() {
    let api = Api::start().await;
    let url = "https://seller.example/hook";
    api.endpoint(json!({"url": url, "event_types": ["payment.confirmed"]})).await;
    let payment = api.payment().await;
    let (payment, _) = api.advance_untold(&payment, included()).await;
    api.advance_untold(&payment, Event::Finalized).await;

    let sent = sqlx::raw_sql("select body from webhook_deliveries");
    let sent = sent.fetch_one(api.database.store.pool()).await.unwrap();
    let sent: Value = serde_json::from_slice(sent.get::<Vec<u8>, _>("body").as_slice()).unwrap();
    let listed = feed(&api, "types=payment.confirmed", 1).await;
    assert_eq!(listed.body["data"][0], sent);
    let path = format!("/v1/events/{}", sent["id"].as_str().unwrap());
    assert_eq!(Told::by(api.get(&path)).await.body, sent);
}

#[tokio::test]
async fn only_what_a_client_wants_is_told_and_it_comes_on_all_the_same() {
    let api = Api::start().await;
    let payment = api.payment().await;
    feed(&api, "", 1).await;
    let nothing = feed(&api, "types=payment.settled,payment.failed", 0).await;
    api.advance_untold(&payment, Event::Canceled).await;

    let query = format!("types=payment.canceled&cursor={}", nothing.text("next_cursor"));
    assert_eq!(told_of(&feed(&api, &query, 1).await), [of(&payment, "canceled")]);
}

#[tokio::test]
async fn who_begins_now_hears_nothing_of_before() {
    let api = Api::start().await;
    let payment = api.payment().await;
    feed(&api, "", 1).await;
    let now = feed(&api, "cursor=now", 0).await;
    api.advance_untold(&payment, Event::Canceled).await;

    let query = format!("cursor={}", now.text("next_cursor"));
    assert_eq!(told_of(&feed(&api, &query, 1).await), [of(&payment, "canceled")]);
}

#[tokio::test]
async fn who_waits_for_the_next_event_is_told_at_once() {
    let redis = RedisServer::start().await;
    let api = Api::serve(deaf(), redis.url()).await;
    let payment = api.payment().await;
    let cursor = feed(&api, "", 1).await.text("next_cursor").to_owned();
    let poll = waiting(&api, api.get(&format!("/v1/events?wait=3600&cursor={cursor}"))).await;

    let (moved, _) = api.advance_untold(&payment, Event::Canceled).await;
    eventually(SOON, || async {
        // Told again, as the API may not be listening yet.
        api.herald.announce([&moved], &[]);
        poll.is_finished().then_some(())
    })
    .await;
    assert_eq!(told_of(&poll.await.unwrap()), [of(&payment, "canceled")]);
}

#[tokio::test]
async fn nobody_reads_of_another_accounts_payments() {
    let api = Api::start().await;
    api.payment().await;
    let event = feed(&api, "", 1).await.body["data"][0]["id"].as_str().unwrap().to_owned();
    let stranger = Seller::create(&api.database.store).await;

    let told = Told::by(api.request(Method::GET, "/v1/events", &stranger.key)).await;
    assert_eq!((told.status, &told.body["data"]), (200, &json!([])));
    let path = format!("/v1/events/{event}");
    let told = Told::by(api.request(Method::GET, &path, &stranger.key)).await;
    assert_eq!(told.problem(), (404, "not_found"));
}

#[tokio::test]
async fn what_an_older_transaction_holds_back_is_told_as_soon_as_that_is_over() {
    let api = Api::with(deaf()).await;
    let payment = api.payment().await;
    let cursor = feed(&api, "", 1).await.text("next_cursor").to_owned();
    let mut older = api.database.store.pool().begin().await.unwrap();
    sqlx::raw_sql("select pg_current_xact_id()").execute(&mut *older).await.unwrap();
    api.advance_untold(&payment, Event::Canceled).await;
    assert_eq!(told_of(&feed(&api, &format!("cursor={cursor}"), 0).await), []);
    let poll = waiting(&api, api.get(&format!("/v1/events?wait=3600&cursor={cursor}"))).await;

    older.commit().await.unwrap();
    assert_eq!(told_of(&poll.await.unwrap()), [of(&payment, "canceled")]);
}

#[tokio::test]
async fn a_cursor_that_is_none_of_the_feeds_is_refused() {
    let api = Api::start().await;
    api.payment().await;
    api.payment().await;
    let of_a_list = Told::by(api.get("/v1/payments?limit=1")).await;
    for cursor in [of_a_list.text("next_cursor"), "x", ""] {
        for path in ["/v1/events", "/v1/events/stream"] {
            let told = Told::by(api.get(&format!("{path}?cursor={cursor}"))).await;
            assert_eq!(told.problem(), (400, "invalid_cursor"), "{path} {cursor}");
        }
    }
    let told = Told::by(api.get("/v1/events/stream").header("last-event-id", "x")).await;
    assert_eq!(told.problem(), (400, "invalid_cursor"));
}
