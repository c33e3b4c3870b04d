//! Whoever asks too often is turned away before anything is done for it.

#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the test")]

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use access::{ApiKeys, LimitSettings, Porter};
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use domain::{Scope, Timestamp};
use queue::{Queue, QueueConfig, Quota};
use runtime::{Clock, Problem};
use testkit::{Database, Seller, eventually};
use tower::ServiceExt;

/// Nobody listens here: every process is alone.
const NO_REDIS: &str = "redis://127.0.0.1:1";

const NOW: i64 = 1_700_000_000_000;

/// So slow that nothing is earned while a test runs.
const fn slow(burst: u32) -> Quota {
    Quota { per_period: 10, period: Duration::from_secs(864_000), burst }
}

const SETTINGS: LimitSettings = LimitSettings {
    submit: slow(2),
    read: slow(3),
    change: slow(1),
    anonymous: slow(3),
    guesses: slow(2),
    trusted_proxies: 1,
};

/// One process: a router that lets in whoever may read.
struct Process {
    database: Database,
    router: Router,
}

impl Process {
    async fn start() -> Self {
        let database = Database::create().await;
        let keys = ApiKeys::new(database.store.clone(), Clock::fixed(NOW));
        let queue = Queue::connect(QueueConfig::new(NO_REDIS.to_owned())).unwrap();
        let porter = Porter::new(SETTINGS, keys.clone(), &queue, Clock::fixed(NOW));
        let handler = move |headers: HeaderMap| async move {
            match keys.authorize(&headers, Scope::PaymentsRead).await {
                Ok(_) => StatusCode::OK.into_response(),
                Err(denied) => Problem::from(denied).into_response(),
            }
        };
        let router = Router::new()
            .route("/v1/payments", any(handler))
            .route("/supported", any(|| async { "for everybody" }));
        Self { database, router: porter.before(router) }
    }

    async fn ask(&self, method: &str, key: Option<&str>, client: &str) -> Response {
        self.ask_at("/v1/payments", method, key, client).await
    }

    async fn ask_at(&self, path: &str, method: &str, key: Option<&str>, client: &str) -> Response {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header("x-forwarded-for", client);
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let mut request = request.body(Body::empty()).unwrap();
        let peer: SocketAddr = "127.0.0.1:1".parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(peer));
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// The statuses of so many requests, one after the other.
    async fn ask_often(&self, times: usize, key: Option<&str>, client: &str) -> Vec<u16> {
        let mut statuses = Vec::new();
        for _ in 0..times {
            statuses.push(self.ask("GET", key, client).await.status().as_u16());
        }
        statuses
    }
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_key_may_ask_so_often_for_each_kind_and_is_told_with_every_answer() {
    let process = Process::start().await;
    let seller = Seller::create(&process.database.store).await;
    let key = Some(seller.key.as_str());
    for left in ["2", "1", "0"] {
        let answer = process.ask("GET", key, "192.0.2.1").await;
        assert_eq!(answer.status(), 200);
        assert_eq!(header(&answer, "x-ratelimit-limit"), "10");
        assert_eq!(header(&answer, "x-ratelimit-remaining"), left);
        let reset: i64 = header(&answer, "x-ratelimit-reset").parse().unwrap();
        assert!((1_700_086_390..=1_700_259_200).contains(&reset), "{reset}");
        assert!(header(&answer, "ratelimit").starts_with(&format!("\"read\";r={left};t=")));
        assert_eq!(header(&answer, "ratelimit-policy"), "\"read\";q=10;w=864000");
    }
    let refused = process.ask("GET", key, "192.0.2.1").await;
    assert_eq!(refused.status(), 429);
    assert!(header(&refused, "retry-after").parse::<u32>().unwrap() > 86_000);
    assert_eq!(header(&refused, "x-ratelimit-remaining"), "0");
    // From wherever it asks; but what it asks for otherwise is counted by itself.
    assert_eq!(process.ask("GET", key, "192.0.2.2").await.status(), 429);
    assert_eq!(process.ask("POST", key, "192.0.2.1").await.status(), 200);
    assert_eq!(process.ask("POST", key, "192.0.2.1").await.status(), 200);
    assert_eq!(process.ask("POST", key, "192.0.2.1").await.status(), 429);
    assert_eq!(process.ask("DELETE", key, "192.0.2.1").await.status(), 200);
    assert_eq!(process.ask("DELETE", key, "192.0.2.1").await.status(), 429);
    // And another key of the same account by itself.
    let store = &process.database.store;
    let another = seller.another_key(store, &[Scope::PaymentsRead]).await;
    assert_eq!(process.ask_often(4, Some(&another.key), "192.0.2.1").await, [200, 200, 200, 429]);
}

#[tokio::test]
async fn all_keys_of_an_account_with_a_limit_of_its_own_share_it() {
    let process = Process::start().await;
    let store = &process.database.store;
    let seller = Seller::create(store).await;
    assert!(store.limit_account(seller.account, NonZeroU32::new(1_000_000)).await.unwrap());
    let another = seller.another_key(store, &[Scope::PaymentsRead]).await;
    let all = process.ask_often(5, Some(&seller.key), "192.0.2.1").await;
    assert_eq!(all, [200; 5], "more than every key may by itself");
    let answer = process.ask("GET", Some(&another.key), "192.0.2.1").await;
    assert_eq!(header(&answer, "x-ratelimit-limit"), "1000000");
}

#[tokio::test]
async fn keys_that_are_guessed_cost_their_address_before_the_ledger_is_asked() {
    let process = Process::start().await;
    let seller = Seller::create(&process.database.store).await;
    assert_eq!(process.ask_often(1, Some(&seller.key), "192.0.2.1").await, [200]);
    for (guess, status) in [("qtk_a", 401), ("qtk_b", 401), ("qtk_c", 429), ("qtk_d", 429)] {
        let answer = process.ask("GET", Some(guess), "192.0.2.1").await;
        assert_eq!(answer.status(), status, "{guess}");
    }
    // Nobody else is held up, and no key that is known.
    assert_eq!(process.ask_often(1, Some(&seller.key), "192.0.2.1").await, [200]);
    assert_eq!(process.ask_often(1, Some("qtk_c"), "192.0.2.2").await, [401]);
    process.database.store.close().await;
    assert_eq!(process.ask_often(1, Some("qtk_e"), "192.0.2.1").await, [429]);
    assert_eq!(process.ask_often(1, Some("qtk_e"), "192.0.2.3").await, [503]);
}

#[tokio::test]
async fn the_same_wrong_key_over_and_over_is_counted_like_no_key() {
    let process = Process::start().await;
    let statuses = process.ask_often(6, Some("qtk_wrong"), "192.0.2.1").await;
    assert_eq!(statuses, [401, 401, 401, 429, 429, 429]);
}

#[tokio::test]
async fn a_key_that_nobody_looks_up_is_counted_like_no_key() {
    let process = Process::start().await;
    let mut statuses = Vec::new();
    for key in ["qtk_a", "qtk_b", "qtk_c", "qtk_d", "qtk_e"] {
        let answer = process.ask_at("/supported", "GET", Some(key), "192.0.2.1").await;
        statuses.push(answer.status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
}

#[tokio::test]
async fn a_key_that_turns_out_to_be_good_costs_its_address_nothing() {
    let process = Process::start().await;
    for _ in 0..5 {
        let seller = Seller::create(&process.database.store).await;
        assert_eq!(process.ask_often(1, Some(&seller.key), "192.0.2.1").await, [200]);
    }
    // Nor does one that nobody could look up.
    process.database.store.close().await;
    for unknown in ["qtk_a", "qtk_b", "qtk_c", "qtk_d"] {
        assert_eq!(process.ask_often(1, Some(unknown), "192.0.2.1").await, [503]);
    }
}

#[tokio::test]
async fn whoever_brings_no_key_is_counted_by_its_address() {
    let process = Process::start().await;
    assert_eq!(process.ask_often(4, None, "192.0.2.1").await, [401, 401, 401, 429]);
    assert_eq!(process.ask_often(1, Some("qtp_token"), "192.0.2.1").await, [429]);
    // What the client writes itself changes nothing.
    assert_eq!(process.ask_often(1, None, "203.0.113.9, 192.0.2.1").await, [429]);
    let answer = process.ask("GET", None, "192.0.2.2").await;
    assert_eq!((answer.status().as_u16(), header(&answer, "x-ratelimit-remaining")), (401, "2"));
}

#[tokio::test]
async fn a_key_that_was_good_is_trusted_until_it_is_refused_and_then_is_a_guess() {
    let process = Process::start().await;
    let store = &process.database.store;
    let seller = Seller::create(store).await;
    // Its own limit is not what ends this.
    store.limit_account(seller.account, NonZeroU32::new(1_000_000)).await.unwrap();
    assert_eq!(process.ask_often(1, Some(&seller.key), "192.0.2.1").await, [200]);
    store.revoke_api_key(seller.key_id, Timestamp::from_unix_ms(NOW)).await.unwrap();
    eventually(Duration::from_secs(30), || async {
        let answer = process.ask("GET", Some(&seller.key), "192.0.2.1").await;
        (answer.status() == 401).then_some(())
    })
    .await;
    let statuses = process.ask_often(4, Some(&seller.key), "192.0.2.1").await;
    assert_eq!(statuses, [401, 401, 401, 429]);
}
