//! A pipeline of real processes, a seller, and what the world says about its payments.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use domain::{Address, U256};
use serde_json::{Value, json};
use testkit::{Anvil, AnvilBuilder, Buyer, Database, Receiver, RedisServer, Seller, eventually};
use testkit::{SignedAuthorization, http};

use crate::process::Process;

/// How long everything together may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

pub(crate) const ROLES: [&[&str]; 6] = [
    &["ingress"],
    &["results"],
    &["worker", "risk"],
    &["worker", "settlement"],
    &["worker", "notifier"],
    &["worker", "reconciler"],
];

/// After how many blocks payments are final, unless a test says otherwise.
const CONFIRMATIONS: u32 = 4;

/// Whose money pays for gas; a well-known key of development chains.
pub(crate) const SIGNER_KEY: &str =
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
const SIGNER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

pub(crate) struct Pipeline {
    pub(crate) database: Database,
    pub(crate) redis: RedisServer,
    pub(crate) anvil: Anvil,
    pub(crate) seller: Seller,
    pub(crate) pay_to: Address,
    pub(crate) receiver: Receiver,
    pub(crate) secret: String,
    pub(crate) processes: BTreeMap<String, Process>,
    /// Settings of every process besides the usual ones.
    more: Vec<(&'static str, String)>,
    confirmations: u32,
    folder: tempfile::TempDir,
    http: reqwest::Client,
}

/// A chain as they are in the world: a block every so often.
pub(crate) fn ticking() -> AnvilBuilder {
    Anvil::builder().block_time(Some(Duration::from_secs(1)))
}

impl Pipeline {
    /// Every role in a process of its own, and a seller with a webhook endpoint.
    pub(crate) async fn start() -> Self {
        Self::with(Vec::new()).await
    }

    /// The same with these settings besides the usual ones.
    pub(crate) async fn with(more: Vec<(&'static str, String)>) -> Self {
        let mut pipeline = Self::prepare(ticking()).await;
        pipeline.more = more;
        for role in ROLES {
            pipeline.start_role(role);
        }
        pipeline.subscribe().await;
        pipeline
    }

    /// The same with a risk engine here, which has a second to answer.
    pub(crate) async fn with_engine(url: &str) -> Self {
        let timeout = ("QUITTANCE_RISK__ENGINE__TIMEOUT_MS", "1000".to_owned());
        Self::with(vec![("RISK_ENGINE_URL", url.to_owned()), timeout]).await
    }

    /// Every role in one process.
    pub(crate) async fn in_one_process() -> Self {
        let mut pipeline = Self::on(ticking(), CONFIRMATIONS, Vec::new()).await;
        pipeline.subscribe().await;
        pipeline
    }

    /// Every role in one process, on a chain of this kind whose payments are final after so many blocks,
    /// with these settings besides the usual ones, and without an endpoint.
    pub(crate) async fn on(
        anvil: AnvilBuilder,
        confirmations: u32,
        more: Vec<(&'static str, String)>,
    ) -> Self {
        let mut pipeline = Self::prepare(anvil).await;
        (pipeline.more, pipeline.confirmations) = (more, confirmations);
        std::fs::write(pipeline.config_file(), pipeline.config()).unwrap();
        pipeline.start_role(&["all"]);
        pipeline
    }

    /// No process at all.
    pub(crate) async fn idle() -> Self {
        Self::prepare(ticking()).await
    }

    async fn prepare(anvil: AnvilBuilder) -> Self {
        let (database, redis, anvil, receiver) = tokio::join!(
            Database::create(),
            RedisServer::start(),
            anvil.start(),
            Receiver::start()
        );
        anvil.set_balance(SIGNER.parse().unwrap(), U256::from(10u64.pow(18))).await;
        let seller = Seller::create(&database.store).await;
        let pipeline = Self {
            database,
            redis,
            anvil,
            seller,
            pay_to: Address::repeat_byte(0x5e),
            receiver,
            secret: String::new(),
            processes: BTreeMap::new(),
            more: Vec::new(),
            confirmations: CONFIRMATIONS,
            folder: tempfile::TempDir::new().unwrap(),
            http: http::client(),
        };
        std::fs::write(pipeline.config_file(), pipeline.config()).unwrap();
        pipeline
    }

    fn config_file(&self) -> PathBuf {
        self.folder.path().join("quittance.toml")
    }

    fn settings(&self, role: &[&str]) -> Vec<(String, String)> {
        let mut settings = vec![
            ("QUITTANCE_CONFIG", self.config_file().display().to_string()),
            ("DATABASE_URL", self.database.url.clone()),
            ("REDIS_URL", self.redis.url()),
        ];
        if role.contains(&"settlement") || role.contains(&"all") {
            settings
                .push(("QUITTANCE_SIGNER_KEYS", format!("{}={SIGNER_KEY}", self.anvil.chain())));
        }
        settings.extend(self.more.iter().cloned());
        settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn config(&self) -> String {
        let (confirmations, factory) = (self.confirmations, Anvil::FACTORY);
        let network = format!(
            "confirmations = {confirmations}\nblock_time_ms = 1000\nsignature_factories = [\"{factory}\"]"
        );
        format!(
            r#"
            [ingress]
            listen = "127.0.0.1:0"
            [results]
            listen = "127.0.0.1:0"
            [metrics]
            listen = "127.0.0.1:0"
            [settlement]
            lease_secs = 3
            max_batch = 20
            [notifier]
            allow_private_targets = true
            [reconciler]
            audit_interval_secs = 1
            {network}
            "#,
            network = Anvil::settings_on(self.anvil.chain(), &self.anvil.url(), &network),
        )
    }

    /// Sets this and nothing else besides the usual settings, for processes that are started from now on.
    pub(crate) fn set(&mut self, name: &'static str, value: String) {
        self.more = vec![(name, value)];
    }

    pub(crate) fn start_role(&mut self, role: &[&str]) {
        self.start_beside(role, &role.join(" "));
    }

    /// Starts another process of a role, which has this name here.
    pub(crate) fn start_beside(&mut self, role: &[&str], name: &str) {
        let process = Process::start(role, &self.settings(role));
        self.processes.insert(name.to_owned(), process);
    }

    /// Runs a command to its end; gives its exit status and what it printed.
    pub(crate) async fn command(&self, arguments: &[&str]) -> (ExitStatus, String) {
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_quittance"))
            .args(arguments)
            .env_clear()
            .envs(self.settings(arguments))
            .output()
            .await
            .unwrap();
        (output.status, String::from_utf8(output.stdout).unwrap())
    }

    pub(crate) fn crash(&mut self, role: &[&str]) {
        self.processes.remove(&role.join(" ")).unwrap().crash();
    }

    /// The base URL of the process that logs this message.
    async fn url(&self, role: &str, message: &str) -> String {
        let process = self.processes.get(role).or_else(|| self.processes.get("all")).unwrap();
        format!("http://{}", process.address(message).await)
    }

    pub(crate) async fn ingress(&self) -> String {
        self.url("ingress", "taking payments").await
    }

    pub(crate) async fn results(&self) -> String {
        self.url("results", "serving statuses").await
    }

    pub(crate) async fn operator(&self, role: &str) -> String {
        self.url(role, "serving health and metrics").await
    }

    async fn subscribe(&mut self) {
        let url = format!("{}/v1/webhook_endpoints", self.results().await);
        let made = self.post(&url, &json!({ "url": self.receiver.url() })).await.unwrap();
        assert_eq!(made.0, 201, "{}", made.1);
        self.secret = made.1["secret"].as_str().unwrap().to_owned();
    }

    /// A buyer with this much money.
    pub(crate) async fn buyer(&self, amount: u64) -> Buyer {
        let buyer = Buyer::new();
        self.anvil.mint(buyer.address(), amount).await;
        buyer
    }

    pub(crate) fn sign(&self, buyer: &Buyer, amount: u64) -> SignedAuthorization {
        buyer.authorize().pay_to(self.pay_to).amount(amount).valid_for(600).sign()
    }

    /// Status and body, or `None` while nobody answers.
    pub(crate) async fn post(&self, url: &str, body: &Value) -> Option<(u16, Value)> {
        let request = self.http.post(url).bearer_auth(&self.seller.key).json(body);
        let answer = request.send().await.ok()?;
        Some((answer.status().as_u16(), answer.json().await.ok()?))
    }

    /// Writes the seller's rules, and gives their version.
    pub(crate) async fn rule(&self, policy: &Value) -> u64 {
        let url = format!("{}/v1/risk/policy", self.results().await);
        let request = self.http.put(url).bearer_auth(&self.seller.key).json(policy);
        let answer = request.send().await.unwrap();
        let (status, body): (_, Value) = (answer.status(), answer.json().await.unwrap());
        assert_eq!(status, 200, "{body}");
        body["version"].as_u64().unwrap()
    }

    pub(crate) async fn get(&self, url: &str) -> Option<(u16, Value)> {
        let answer = self.http.get(url).bearer_auth(&self.seller.key).send().await.ok()?;
        Some((answer.status().as_u16(), answer.json().await.ok()?))
    }

    /// The body, whatever it is.
    pub(crate) async fn text(&self, url: &str) -> Option<String> {
        self.http.get(url).send().await.ok()?.text().await.ok()
    }

    /// Posts a payment, again and again until it is accepted, as a seller does with one key.
    pub(crate) async fn pay(&self, body: &Value) -> String {
        self.pay_with(body, &[]).await
    }

    /// The same with these headers.
    pub(crate) async fn pay_with(&self, body: &Value, headers: &[(&str, String)]) -> String {
        let key = testkit::key_prefix();
        let accepted = eventually(DEADLINE, || async {
            let url = format!("{}/v1/payments", self.ingress().await);
            let mut request = self.http.post(url).bearer_auth(&self.seller.key).json(body);
            for (name, value) in headers {
                request = request.header(*name, value);
            }
            let answer = request.header("Idempotency-Key", &key).send().await.ok()?;
            let (status, answer): (u16, Value) =
                (answer.status().as_u16(), answer.json().await.ok()?);
            match status {
                202 => Some(answer),
                500..=599 => None,
                refused => panic!("refused with {refused}: {answer}"),
            }
        })
        .await;
        accepted["id"].as_str().unwrap().to_owned()
    }

    /// Polls until every payment is over, and gives each as it is then.
    pub(crate) async fn wait_until_over(&self, payments: &[String]) -> HashMap<String, Value> {
        let mut over = HashMap::new();
        for payment in payments {
            let resource = eventually(DEADLINE, || async {
                let url = format!("{}/v1/payments/{payment}?wait=2", self.results().await);
                let (_, resource) = self.get(&url).await.filter(|(status, _)| *status == 200)?;
                (resource["terminal"] == true).then_some(resource)
            })
            .await;
            over.insert(payment.clone(), resource);
        }
        over
    }

    /// Every payment is settled, its money moved once and where the ledger says, and the seller
    /// was told in a webhook that verifies.
    pub(crate) async fn assert_settled_and_told(&self, payments: &[String]) {
        let over = self.wait_until_over(payments).await;
        let mut recorded: Vec<(String, u64)> = Vec::new();
        for resource in over.values() {
            assert_eq!(resource["status"], "settled", "{resource}");
            let transaction = &resource["transaction"];
            let hash = transaction["hash"].as_str().unwrap().to_owned();
            recorded.push((hash, transaction["log_index"].as_u64().unwrap()));
        }
        let moved = self.anvil.transfers_to(self.pay_to).await;
        let mut moved: Vec<(String, u64)> =
            moved.iter().map(|moved| (moved.tx_hash.to_string(), moved.log_index)).collect();
        recorded.sort();
        moved.sort();
        assert_eq!(recorded, moved, "ledger and chain differ");

        let told = self.receiver.wait_for_events(payments.len(), DEADLINE).await;
        for webhook in &told {
            assert!(webhook.is_signed_by(&self.secret));
            let body = webhook.json();
            assert_eq!(body["type"], "payment.settled");
            assert!(over.contains_key(body["data"]["id"].as_str().unwrap()));
        }
        assert_eq!(told.len(), payments.len());
    }
}
