//! Both APIs as processes over one ledger, and tenants with something of each kind.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::{Event, Timestamp};
use reqwest::{Method, RequestBuilder};
use runtime::Clock;
use serde_json::{Value, json};
use store::Change;
use testkit::{Buyer, Database, RedisServer, Seller, eventually, http};

use crate::process::Process;

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A process of each API, and the servers that they need.
pub(crate) struct Apis {
    pub(crate) database: Database,
    _redis: RedisServer,
    pub(crate) ingress: String,
    pub(crate) results: String,
    _processes: [Process; 2],
    http: reqwest::Client,
}

impl Apis {
    /// With these settings besides the usual ones.
    pub(crate) async fn start(more: &[(&str, &str)]) -> Self {
        let (database, redis) = tokio::join!(Database::create(), RedisServer::start());
        let mut settings: Vec<(String, String)> = vec![
            ("DATABASE_URL".to_owned(), database.url.clone()),
            ("REDIS_URL".to_owned(), redis.url()),
        ];
        for section in ["INGRESS", "RESULTS", "METRICS"] {
            settings.push((format!("QUITTANCE_{section}__LISTEN"), "127.0.0.1:0".to_owned()));
        }
        let local = ("QUITTANCE_RISK__ENGINE__DIALECT", "local");
        let more = more.iter().copied().chain([local]);
        settings.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let processes = ["ingress", "results"].map(|role| Process::start(&[role], &settings));
        let ingress = format!("http://{}", processes[0].address("taking payments").await);
        let results = format!("http://{}", processes[1].address("serving statuses").await);
        Self {
            database,
            _redis: redis,
            ingress,
            results,
            _processes: processes,
            http: http::client(),
        }
    }

    pub(crate) fn request(&self, method: Method, url: &str) -> RequestBuilder {
        self.http.request(method, url)
    }

    async fn made(&self, path: &str, key: &str, body: &Value) -> Value {
        let request = self
            .request(Method::POST, &format!("{}{path}", self.results))
            .bearer_auth(key)
            .json(body);
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// A tenant with something of each kind that a path can name, by the kind's name.
    pub(crate) async fn tenant(&self) -> (Seller, BTreeMap<&'static str, String>) {
        let store = &self.database.store;
        let seller = Seller::create(store).await;
        let key = seller.key.as_str();
        let text = |value: &Value, member: &str| value[member].as_str().unwrap().to_owned();

        let endpoint =
            json!({"url": "https://seller.example/hook", "event_types": ["payment.canceled"]});
        let endpoint = text(&self.made("/v1/webhook_endpoints", key, &endpoint).await, "id");
        let payment = seller.accept(store, &Buyer::new().authorize().sign()).await;
        let id = payment.id.to_string();
        let now = Timestamp::from_unix_ms(Clock::system().now_unix_ms());
        let change = Change { payment, event: Event::Canceled, carrier: None };
        let advance = store.advance(vec![change], now).await.unwrap();

        let since = now.minus(Duration::from_secs(60));
        let recovery = json!({"since": since});
        let path = format!("/v1/webhook_endpoints/{endpoint}/recover");
        let job = text(&self.made(&path, key, &recovery).await, "id");
        let wallet = format!("0x{}", "1f".repeat(20));
        let session = json!({"agent_did": "did:example:agent", "wallet_address": wallet});
        let session = text(&self.made("/risk/session", key, &session).await, "sid");
        let trace = json!({"sid": session, "agent_trace": {}});
        let trace = text(&self.made("/risk/trace", key, &trace).await, "tid");
        // Others' transactions hold the newest events back for a moment.
        let event = eventually(LIMIT, || async {
            let events = format!("{}/v1/events", self.results);
            let events = self.request(Method::GET, &events).bearer_auth(key).send().await.unwrap();
            let events: Value = events.json().await.unwrap();
            events["data"][0]["id"].as_str().map(str::to_owned)
        })
        .await;

        let things = BTreeMap::from([
            ("payment", id),
            ("endpoint", endpoint),
            ("delivery", advance.deliveries[0].to_string()),
            ("event", event),
            ("job", job),
            ("session", session),
            ("trace", trace),
        ]);
        (seller, things)
    }
}
