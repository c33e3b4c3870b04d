//! A running status API, and what happens to its payments.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use domain::{B256, Event, Inclusion, Payment, Timestamp};
use queue::{Herald, Queue, QueueConfig};
use reqwest::{Method, RequestBuilder};
use results::{App, Settings, router};
use runtime::Clock;
use runtime::egress::Targets;
use serde_json::Value;
use store::{Advance, Advanced, Change};
use testkit::{Anvil, Buyer, Contract, Database, Seller};
use tokio_util::sync::CancellationToken;

/// Nobody listens here: the status channel is away.
const NO_REDIS: &str = "redis+unix:///nowhere/redis.sock";

/// Longer than the tests' client waits for any answer.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(3_600);

/// How soon a change is seen without the status channel.
const SOON: Duration = Duration::from_millis(20);

/// The status API on a port of its own, over a database of its own. It ends with this value.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) database: Database,
    pub(crate) seller: Seller,
    /// Stops the API.
    pub(crate) stop: CancellationToken,
    pub(crate) herald: Herald,
    pub(crate) app: App,
    address: SocketAddr,
    http: reqwest::Client,
}

impl Drop for Api {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Api {
    /// Without a status channel: changes are seen by looking into the ledger, which is often.
    pub(crate) async fn start() -> Self {
        Self::with(settings()).await
    }

    /// The same with other settings.
    pub(crate) async fn with(settings: Settings) -> Self {
        Self::serve(settings, NO_REDIS.to_owned()).await
    }

    /// The same with a status channel.
    pub(crate) async fn serve(settings: Settings, redis_url: String) -> Self {
        Self::serve_timed(settings, redis_url, Clock::system()).await
    }

    /// Without a status channel, by another clock.
    pub(crate) async fn timed(settings: Settings, clock: Clock) -> Self {
        Self::serve_timed(settings, NO_REDIS.to_owned(), clock).await
    }

    async fn serve_timed(settings: Settings, redis_url: String, clock: Clock) -> Self {
        let database = Database::create().await;
        let seller = Seller::create(&database.store).await;
        let queue = Queue::connect(QueueConfig::new(redis_url)).unwrap();
        let (store, stop) = (database.store.clone(), CancellationToken::new());
        let app = App::new(settings, store, &queue, clock, stop.clone());
        let listener = runtime::http::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(runtime::http::serve(listener, router(app.clone()), stop.clone()));
        let (herald, http) = (Herald::new(&queue), testkit::http::client());
        Self { database, seller, stop, herald, app, address, http }
    }

    /// The base URL of the same API in another process, over the same ledger. It ends with this one.
    pub(crate) async fn another_process(&self, settings: Settings) -> String {
        let queue = Queue::connect(QueueConfig::new(NO_REDIS.to_owned())).unwrap();
        let (store, stop) = (self.database.store.clone(), self.stop.clone());
        let app = App::new(settings, store, &queue, Clock::system(), stop.clone());
        let listener = runtime::http::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(runtime::http::serve(listener, router(app), stop));
        format!("http://{address}")
    }

    /// A new payment of this API's seller.
    pub(crate) async fn payment(&self) -> Payment {
        self.seller.accept(&self.database.store, &Buyer::new().authorize().sign()).await
    }

    /// Lets something happen to a payment, and tells of it as a worker would.
    pub(crate) async fn advance(&self, payment: &Payment, event: Event) -> Payment {
        let (next, advance) = self.advance_untold(payment, event).await;
        self.herald.announce(advance.moved(), &advance.deliveries);
        next
    }

    /// Lets something happen to a payment, and tells nobody.
    pub(crate) async fn advance_untold(
        &self,
        payment: &Payment,
        event: Event,
    ) -> (Payment, Advance) {
        let change = Change { payment: payment.clone(), event, carrier: None };
        let advance = self.database.store.advance(vec![change], now()).await.unwrap();
        match &advance.outcomes[..] {
            [Advanced::Moved(next)] => (next.as_ref().clone(), advance),
            other => panic!("it did not happen: {other:?}"),
        }
    }

    /// A request by this API's seller.
    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path, &self.seller.key)
    }

    /// A request with this key.
    pub(crate) fn request(&self, method: Method, path: &str, key: &str) -> RequestBuilder {
        self.anonymous(method, path).bearer_auth(key)
    }

    /// A request without a key.
    pub(crate) fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.url(path))
    }

    /// Where this is to be asked for.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Makes a webhook endpoint, and gives what the API says of it.
    pub(crate) async fn endpoint(&self, body: Value) -> Told {
        let request = self.request(Method::POST, "/v1/webhook_endpoints", &self.seller.key);
        Told::by(request.json(&body)).await
    }
}

/// Settings for tests without a status channel.
pub(crate) fn settings() -> Settings {
    Settings {
        max_wait: FOR_EVER,
        recheck: SOON,
        max_waiters: 100,
        max_waiters_per_key: 100,
        block_times: [(Anvil::CHAIN, Duration::from_millis(1_200))].into(),
        targets: Targets::Public,
        signing_keys_kept: FOR_EVER,
        local_risk: None,
    }
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_unix_ms(Clock::system().now_unix_ms())
}

/// The block that paid.
pub(crate) fn included() -> Event {
    Event::Included(Inclusion {
        tx_hash: B256::repeat_byte(7),
        log_index: 3,
        block_number: 11,
        block_hash: B256::repeat_byte(8),
    })
}

/// What every answer is held against.
static CONTRACT: LazyLock<Contract> = LazyLock::new(Contract::committed);

/// An answer.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: u16,
    headers: reqwest::header::HeaderMap,
    /// The body; null where there is none, or no document.
    pub(crate) body: Value,
    /// The body as it came.
    pub(crate) bytes: Vec<u8>,
}

impl Told {
    pub(crate) async fn by(request: RequestBuilder) -> Self {
        let (status, headers, bytes) = CONTRACT.send(request).await;
        let is_json =
            headers.get("content-type").is_some_and(|kind| kind.as_bytes().ends_with(b"json"));
        let body = if is_json { serde_json::from_slice(&bytes).unwrap() } else { Value::Null };
        Self { status: status.as_u16(), headers, body, bytes: bytes.into() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The status and the problem's code.
    pub(crate) fn problem(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or_default())
    }

    /// The text of this member.
    pub(crate) fn text(&self, member: &str) -> &str {
        self.body[member].as_str().unwrap()
    }
}
