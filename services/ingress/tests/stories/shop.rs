//! A running payment API, and sellers that call it.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use access::ApiToken;
use chain::{BreakerPolicy, HttpClient, Node, NodeConfig};
use domain::{AccountId, Address, ApiKeyId, Payment, Scope, Timestamp};
use ingress::{App, Facilitator, FacilitatorSettings, OpenSettings, Payees, Settings, router};
use queue::{Queue, QueueConfig, Quota, Stream};
use reqwest::RequestBuilder;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use runtime::Clock;
use runtime::config::PublicUrl;
use secrecy::SecretString;
use serde_json::Value;
use sqlx::{Executor, Row};
use store::{NewApiKey, PaymentFilter, Store};
use testkit::{Anvil, Contract, Database};
use tokio_util::sync::{CancellationToken, DropGuard};
use watchtower::Watchtower;
use x402::{Assets, Limits, Wallets};

/// Nobody listens here: the queue is away, which no test but one may notice.
const NO_REDIS: &str = "redis://127.0.0.1:1";

/// The payment API on a port of its own, over a database of its own. It ends with this value.
#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) database: Arc<Database>,
    pub(crate) seller: Seller,
    address: SocketAddr,
    http: reqwest::Client,
    _running: DropGuard,
}

/// An account and a key of it.
#[derive(Clone, Debug)]
pub(crate) struct Seller {
    pub(crate) account: AccountId,
    pub(crate) key: ApiKeyId,
    pub(crate) token: ApiToken,
}

/// A shop before it opens.
#[derive(Debug)]
#[must_use]
pub(crate) struct ShopBuilder {
    redis_url: String,
    public_url: Option<PublicUrl>,
    pool: Option<(u32, Duration)>,
    max_in_flight: usize,
    max_backlog: u64,
    wallets: Wallets,
    nodes: Vec<Node>,
    open: Option<OpenSettings>,
    facilitated: Assets,
    longest_wait: Duration,
    factories: HashSet<Address>,
}

impl ShopBuilder {
    /// It works on so many submissions at once.
    pub(crate) fn max_in_flight(mut self, most: usize) -> Self {
        self.max_in_flight = most;
        self
    }

    /// It takes nothing while more than this wait.
    pub(crate) fn max_backlog(mut self, most: u64) -> Self {
        self.max_backlog = most;
        self
    }

    /// Whether payers may be contract wallets.
    pub(crate) fn wallets(mut self, wallets: Wallets) -> Self {
        self.wallets = wallets;
        self
    }

    /// Rings for new payments in this Redis.
    pub(crate) fn redis(mut self, url: String) -> Self {
        self.redis_url = url;
        self
    }

    /// Clients reach the API under this URL.
    pub(crate) fn public_url(mut self, url: &str) -> Self {
        self.public_url = Some(PublicUrl::parse(url).unwrap());
        self
    }

    /// The API has this many connections to the ledger, and waits this long for one.
    pub(crate) fn pool(mut self, connections: u32, wait: Duration) -> Self {
        self.pool = Some((connections, wait));
        self
    }

    /// Whoever comes without a key settles for this account.
    pub(crate) fn open_to_all(self, account: AccountId) -> Self {
        self.open_with(open_to_all(account))
    }

    /// Whoever comes without a key is let in so.
    pub(crate) fn open_with(mut self, settings: OpenSettings) -> Self {
        self.open = Some(settings);
        self
    }

    /// Stock servers may have these tokens paid.
    pub(crate) fn facilitated(mut self, assets: Assets) -> Self {
        self.facilitated = assets;
        self
    }

    /// Settlements are waited for so long.
    pub(crate) fn longest_wait(mut self, wait: Duration) -> Self {
        self.longest_wait = wait;
        self
    }

    /// This contract may deploy wallets. To be said before the chain is.
    pub(crate) fn factory(mut self, factory: Address) -> Self {
        self.factories.insert(factory);
        let factories = self.factories.iter().map(|listed| (Anvil::CHAIN, *listed)).collect();
        self.wallets(Wallets::Taken { factories })
    }

    /// The API asks this chain what would become of payments.
    pub(crate) fn node(mut self, anvil: &Anvil) -> Self {
        let config = NodeConfig {
            chain: Anvil::CHAIN,
            urls: vec![SecretString::from(anvil.url())],
            // On a busy machine a node that is there must not be taken for one that is away.
            timeout: Duration::from_secs(20),
            block_time: Duration::from_secs(1),
            breaker: BreakerPolicy::default(),
            multicall: Anvil::MULTICALL,
            signature_factories: self.factories.clone(),
            log_lookback_blocks: 5_000,
            now: || Clock::system().now_unix_secs(),
        };
        self.nodes.push(Node::new(&HttpClient::new(), config).unwrap());
        self
    }

    /// A second process over the ledger of this shop.
    pub(crate) async fn open_beside(self, shop: &Shop) -> Shop {
        let (address, running) = self.serve(shop.database.store.clone()).await;
        let (database, seller) = (Arc::clone(&shop.database), shop.seller.clone());
        Shop { database, seller, address, http: testkit::http::client(), _running: running }
    }

    /// Opens the shop; the second value is the API's own handle on the ledger.
    pub(crate) async fn open(self) -> (Shop, Store) {
        let database = Arc::new(Database::create().await);
        let seller = new_seller(&database.store, &[Scope::PaymentsWrite]).await;
        let store = self.pool.map_or_else(
            || database.store.clone(),
            |(connections, wait)| Store::connect(&database.url, connections, wait).unwrap(),
        );
        let (address, running) = self.serve(store.clone()).await;
        let http = testkit::http::client();
        (Shop { database, seller, address, http, _running: running }, store)
    }

    async fn serve(self, store: Store) -> (SocketAddr, DropGuard) {
        let settings = Settings {
            assets: Assets::new([Anvil::token()]),
            limits: Limits { min_validity_secs: 6, max_validity_secs: 3_600 },
            wallets: self.wallets,
            public_url: self.public_url,
            max_body_bytes: 65_536,
            max_batch: 64,
            max_in_flight: self.max_in_flight,
            max_backlog: self.max_backlog,
            status_retry_after_secs: 1,
            unavailable_retry_after_secs: 2,
        };
        let mut queue = QueueConfig::new(self.redis_url);
        // On a busy machine a Redis that is there must not be taken for one that is away.
        queue.limit_timeout = Duration::from_secs(5);
        let queue = Queue::connect(queue).unwrap();
        let app = App::new(settings, store.clone(), queue.bell(), Clock::system());
        let shutdown = CancellationToken::new();
        let second = Duration::from_secs(1);
        let watchtower =
            Watchtower::new(queue.subscribe(), store.clone(), second, shutdown.clone());
        let facilitating = FacilitatorSettings {
            open: self.open,
            assets: self.facilitated,
            longest_wait: self.longest_wait,
        };
        let facilitating = (facilitating, &queue);
        let facilitator =
            Facilitator::new(app.clone(), store, self.nodes, watchtower, facilitating);
        let listener = runtime::http::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (door, stop) = (app.clone(), shutdown.clone());
        tokio::spawn(async move { door.heed_backlog(queue, vec![Stream::Risk], stop).await });
        tokio::spawn(runtime::http::serve(listener, router(app, facilitator), shutdown.clone()));
        (address, shutdown.drop_guard())
    }
}

impl Shop {
    /// A shop with one seller and no queue.
    pub(crate) async fn open() -> Self {
        Self::builder().open().await.0
    }

    pub(crate) fn builder() -> ShopBuilder {
        ShopBuilder {
            redis_url: NO_REDIS.to_owned(),
            public_url: None,
            pool: None,
            max_in_flight: 1_024,
            max_backlog: 1_000,
            wallets: Wallets::Taken { factories: HashSet::new() },
            nodes: Vec::new(),
            open: None,
            facilitated: Assets::new([Anvil::token()]),
            longest_wait: Duration::from_secs(1),
            factories: HashSet::new(),
        }
    }

    /// `POST /v1/payments` by the shop's own seller.
    pub(crate) fn post(&self, body: &Value) -> RequestBuilder {
        self.post_as(&self.seller, body)
    }

    /// `POST /v1/payments` by this seller.
    pub(crate) fn post_as(&self, seller: &Seller, body: &Value) -> RequestBuilder {
        self.post_bare(body.to_string())
            .header(AUTHORIZATION, format!("Bearer {}", seller.token.reveal()))
    }

    /// `POST /v1/payments` by nobody.
    pub(crate) fn post_bare(&self, body: impl Into<reqwest::Body>) -> RequestBuilder {
        let request = self.http.post(self.url("/v1/payments"));
        request.header(CONTENT_TYPE, "application/json").body(body)
    }

    /// `POST /v1/payments` by the shop's own seller, of something else than JSON.
    pub(crate) fn post_with_type(&self, content_type: &str, body: String) -> RequestBuilder {
        let bearer = format!("Bearer {}", self.seller.token.reveal());
        let request = self.http.post(self.url("/v1/payments")).header(AUTHORIZATION, bearer);
        request.header(CONTENT_TYPE, content_type).body(body)
    }

    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The payments of the shop's own seller, newest first.
    pub(crate) async fn payments(&self) -> Vec<Payment> {
        let all = PaymentFilter::default();
        self.database.store.list_payments(self.seller.account, &all, 1_000).await.unwrap()
    }

    /// How many rows this table has.
    pub(crate) async fn count(&self, table: &'static str) -> i64 {
        let query = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        let row = self.database.store.pool().fetch_one(sqlx::raw_sql(query)).await.unwrap();
        row.get(0)
    }

    /// Does something to the ledger that no code of ours does.
    pub(crate) async fn tamper(&self, sql: String) {
        let query = sqlx::raw_sql(sqlx::AssertSqlSafe(sql));
        self.database.store.pool().execute(query).await.unwrap();
    }
}

/// Everybody is let in without a key, as often as they like.
pub(crate) fn open_to_all(account: AccountId) -> OpenSettings {
    let often = Quota { per_period: 60_000, period: Duration::from_secs(60), burst: 60_000 };
    OpenSettings {
        account,
        payees: Payees::All,
        by_address: often,
        to_payee: often,
        verifies_per_settle: 1,
        trusted_proxies: 0,
    }
}

/// A new account with a key for these scopes.
pub(crate) async fn new_seller(store: &Store, scopes: &[Scope]) -> Seller {
    let (account, key) = (AccountId::new(runtime::new_uuid()), ApiKeyId::new(runtime::new_uuid()));
    let (token, now) = (ApiToken::generate(), now());
    store.create_account(account, "a shop", now).await.unwrap();
    let new = NewApiKey {
        id: key,
        account,
        token_sha256: token.sha256(),
        last_four: token.last_four().to_owned(),
        scopes: scopes.to_vec(),
        expires_at: None,
    };
    store.create_api_key(&new, now).await.unwrap();
    Seller { account, key, token }
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_unix_ms(Clock::system().now_unix_ms())
}

/// What every answer is held against.
static CONTRACT: LazyLock<Contract> = LazyLock::new(Contract::committed);

/// A response taken apart.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Told {
    /// Sends the request and reads the whole answer.
    pub(crate) async fn by(request: RequestBuilder) -> Self {
        let (status, headers, body) = CONTRACT.send(request).await;
        let body = serde_json::from_slice(&body).unwrap();
        Self { status: status.as_u16(), headers, body }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The payment's id.
    pub(crate) fn id(&self) -> &str {
        self.body["id"].as_str().unwrap()
    }

    /// The problem's code.
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}
