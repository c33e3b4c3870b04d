//! Servers of our own, sellers who listen, buyers with money, and the roles that a question needs.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::{Address, U256};
use nix::sys::signal::Signal;
use queue::{Queue, QueueConfig};
use secrecy::SecretString;
use serde_json::{Value, json};
use sqlx::{Executor, Row};
use testkit::{Anvil, Database, RedisServer, Seller, http};

use crate::computing::{computed_by, computed_by_family, parent_of};
use crate::node_times::NodeTimes;
use crate::offer::Target;
use crate::order::Market;
use crate::receiver::Receiver;
use crate::role::Role;
use crate::scenario::Plan;
use crate::seed::{Seeded, seed};

/// Every role, in the order in which a payment passes them.
pub(crate) const ALL: [&str; 6] =
    ["ingress", "risk", "settlement", "results", "notifier", "reconciler"];

/// What an operator starts more of when there is more to do.
const WORKERS: [&str; 3] = ["risk", "settlement", "notifier"];

/// More than any of them spends.
const FUNDS: u64 = 1_000_000_000_000;

/// Wei of each signer: full blocks make gas dear.
const GAS_MONEY: u128 = 10u128.pow(24);

/// The keys of the signers are this and the numbers that follow.
const FIRST_KEY: u64 = 0x5e77_1e00;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) database: Database,
    pub(crate) anvil: Anvil,
    pub(crate) market: Market,
    pub(crate) target: Target,
    pub(crate) receiver: Receiver,
    pub(crate) signers: Vec<Address>,
    /// What the ledger held before the run.
    pub(crate) seeded: Option<Seeded>,
    roles: Vec<Role>,
    /// PostgreSQL's first process, where that runs on this machine.
    postgres: Option<u32>,
    http: reqwest::Client,
    redis: RedisServer,
}

/// How long each role has computed, in milliseconds, and the load generator and the servers.
pub(crate) type Computed = BTreeMap<&'static str, u64>;

/// How often each method of the node was called.
pub(crate) type Calls = BTreeMap<String, u64>;

impl World {
    /// With these roles, of workers as many processes as the plan has, and so many signers.
    pub(crate) async fn start(names: &[&'static str], plan: &Plan, signers: u64) -> Self {
        let (database, redis, anvil, receiver) = tokio::join!(
            Database::create(),
            RedisServer::start(),
            Anvil::builder().block_time(Some(Duration::from_secs(1))).start(),
            Receiver::start(),
        );
        let keys: Vec<String> =
            (1..=signers).map(|number| format!("{:064x}", FIRST_KEY + number)).collect();
        let signers = give_gas_money(&anvil, &keys).await;
        let market = open_market(&anvil).await;
        let seeded = match plan.stored {
            0 => None,
            stored => Some(seed(database.store.pool(), stored, &market.addresses()).await),
        };
        std::fs::create_dir_all(&plan.logs).unwrap();
        // Every process gets its share of the signers.
        let lanes = signers.len().div_ceil(plan.workers).max(1);
        let config = plan.logs.join("quittance.toml");
        std::fs::write(&config, settings(&anvil, lanes)).unwrap();
        let keys: Vec<String> = keys.iter().map(|key| format!("eip155:84532={key}")).collect();
        let variables = |name: &str| {
            let mut variables = vec![
                ("QUITTANCE_CONFIG".to_owned(), config.display().to_string()),
                ("DATABASE_URL".to_owned(), database.url.clone()),
                ("REDIS_URL".to_owned(), redis.url()),
            ];
            if name == "settlement" {
                variables.push(("QUITTANCE_SIGNER_KEYS".to_owned(), keys.join(",")));
            }
            variables.extend(engine_settings(plan.engine.as_deref()));
            variables
        };
        let processes = |name| if WORKERS.contains(name) { plan.workers } else { 1 };
        let started = names.iter().flat_map(|name| std::iter::repeat_n(*name, processes(name)));
        let started = started.enumerate();
        let roles: Vec<Role> = started
            .map(|(number, name)| Role::start(name, &variables(name), &plan.logs, number))
            .collect();
        let mut sellers = Vec::new();
        for _ in &market.pay_to {
            sellers.push(Seller::create(&database.store).await);
        }
        let ingress = find(&roles, "ingress").expect("nothing is posted without it");
        let ingress = ingress.address("taking payments").await;
        let results = match find(&roles, "results") {
            Some(results) => Some(results.address("serving statuses").await),
            None => None,
        };
        let keys = sellers.iter().map(|seller| seller.key.clone()).collect();
        let world = Self {
            target: Target { ingress, results, keys },
            http: http::client(),
            postgres: postgres(&database).await,
            database,
            anvil,
            market,
            receiver,
            signers,
            seeded,
            roles,
            redis,
        };
        if results.is_some() {
            world.subscribe_each(&sellers).await;
        }
        for role in &world.roles {
            role.metrics().await;
        }
        world
    }

    async fn subscribe_each(&self, sellers: &[Seller]) {
        for seller in sellers {
            self.subscribe(seller).await;
        }
    }

    /// The seller hears of every end, at an endpoint with this name.
    pub(crate) async fn subscribe(&self, seller: &Seller) -> String {
        let url = format!("http://{}/{}", self.receiver.address, self.receiver.next_seller());
        let made = self.post("webhook_endpoints", seller, json!({ "url": url })).await;
        self.receiver.expect(made["secret"].as_str().unwrap());
        made["id"].as_str().unwrap().to_owned()
    }

    /// What results answers a seller who posts this.
    pub(crate) async fn post(&self, path: &str, seller: &Seller, body: Value) -> Value {
        self.answer(self.http.post(self.results_url(path)).json(&body), &seller.key).await
    }

    /// What results answers the seller with this key who puts this.
    pub(crate) async fn put(&self, path: &str, key: &str, body: &Value) -> Value {
        self.answer(self.http.put(self.results_url(path)).json(body), key).await
    }

    /// What results answers a seller who asks for this.
    pub(crate) async fn get(&self, path: &str, seller: &Seller) -> Value {
        self.answer(self.http.get(self.results_url(path)), &seller.key).await
    }

    fn results_url(&self, path: &str) -> String {
        let results = self.target.results.expect("somebody serves statuses");
        format!("http://{results}/v1/{path}")
    }

    async fn answer(&self, request: reqwest::RequestBuilder, key: &str) -> Value {
        let answer = request.bearer_auth(key).send().await.unwrap();
        answer.error_for_status().unwrap().json().await.unwrap()
    }

    /// A queue that the roles share.
    pub(crate) fn queue(&self) -> Queue {
        Queue::connect(QueueConfig::new(self.redis.url())).unwrap()
    }

    pub(crate) fn computed(&self) -> Computed {
        let server = |process: Option<u32>| ms(process.map(computed_by).unwrap_or_default());
        let mut computed = Computed::from([
            ("load generator", server(Some(std::process::id()))),
            ("node", server(self.anvil.process_id())),
            ("postgres", ms(self.postgres.map(computed_by_family).unwrap_or_default())),
            ("redis", server(self.redis.process_id())),
        ]);
        for role in &self.roles {
            *computed.entry(role.name).or_default() += ms(role.computed());
        }
        computed
    }

    /// The most memory that a process of each role has had so far, in MiB.
    pub(crate) fn most_memory_mib(&self) -> BTreeMap<&'static str, u64> {
        let mut most = BTreeMap::new();
        for role in &self.roles {
            let of_role = most.entry(role.name).or_default();
            *of_role = role.most_memory_mib().max(*of_role);
        }
        most
    }

    /// A metric without labels, summed over the processes of a role.
    pub(crate) async fn metric(&self, role: &str, name: &str) -> u64 {
        let mut sum = 0;
        for role in self.roles.iter().filter(|it| it.name == role) {
            let text = self.scrape(role).await;
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            sum += line.and_then(|value| value.parse::<u64>().ok()).unwrap_or_default();
        }
        sum
    }

    async fn scrape(&self, role: &Role) -> String {
        let url = format!("http://{}/metrics", role.metrics().await);
        self.http.get(url).send().await.unwrap().text().await.unwrap()
    }

    /// How often the roles have asked a node so far, for what.
    pub(crate) async fn calls(&self) -> Calls {
        let mut calls = Calls::new();
        for role in &self.roles {
            let text = self.scrape(role).await;
            for line in text.lines().filter(|line| line.starts_with("rpc_requests_total{")) {
                let method = line.split("method=\"").nth(1).and_then(|rest| rest.split('"').next());
                let count = line.rsplit(' ').next().and_then(|count| count.parse::<u64>().ok());
                *calls.entry(method.unwrap().to_owned()).or_default() += count.unwrap();
            }
        }
        calls
    }

    /// How long nodes have taken for this method, as the processes of a role have measured it so far.
    pub(crate) async fn node_times(&self, role: &str, method: &str) -> NodeTimes {
        let mut times = NodeTimes::default();
        for role in self.roles.iter().filter(|it| it.name == role) {
            times.add(&self.scrape(role).await, method);
        }
        times
    }

    /// Stops a role, or lets it go on.
    pub(crate) fn signal(&self, role: &str, signal: Signal) {
        self.roles.iter().filter(|it| it.name == role).for_each(|it| it.signal(signal));
    }

    /// Ends every other role, and stops the chain, whose empty blocks cost the more the more was paid on it.
    pub(crate) fn leave(&mut self, name: &str) {
        self.roles.retain(|role| role.name == name);
        self.anvil.freeze();
        self.target.results = None;
    }

    pub(crate) async fn end(self) {
        drop(self.roles);
        self.database.store.close().await;
        tokio::task::spawn_blocking(move || drop((self.database, self.redis, self.anvil)))
            .await
            .unwrap();
    }
}

/// The variables of a process that asks this engine.
fn engine_settings(engine: Option<&str>) -> Vec<(String, String)> {
    let Some(engine) = engine else { return Vec::new() };
    vec![
        ("RISK_ENGINE_URL".to_owned(), engine.to_owned()),
        ("QUITTANCE_RISK__ENGINE__DIALECT".to_owned(), "score".to_owned()),
    ]
}

/// The process that has started the one at the other end of a connection.
async fn postgres(database: &Database) -> Option<u32> {
    let own = sqlx::raw_sql("select pg_backend_pid() as id");
    let backend: i32 = database.store.pool().fetch_one(own).await.ok()?.get("id");
    parent_of(u32::try_from(backend).ok()?)
}

/// What was counted between two counts.
pub(crate) fn between<K: Clone + Ord>(
    before: &BTreeMap<K, u64>,
    after: &BTreeMap<K, u64>,
) -> BTreeMap<K, u64> {
    let since = |(what, count): (&K, &u64)| {
        (what.clone(), count.saturating_sub(before.get(what).copied().unwrap_or_default()))
    };
    after.iter().map(since).collect()
}

async fn give_gas_money(anvil: &Anvil, keys: &[String]) -> Vec<Address> {
    let signers: Vec<Address> = keys.iter().map(|key| address_of(key)).collect();
    for signer in &signers {
        anvil.set_balance(*signer, U256::from(GAS_MONEY)).await;
    }
    signers
}

async fn open_market(anvil: &Anvil) -> Market {
    let market = Market::of_strangers();
    for buyer in market.addresses() {
        anvil.mint(buyer, FUNDS).await;
    }
    // What is given is in no block: from the next one on it is in every node's history.
    anvil.mine(1).await;
    market
}

fn find<'a>(roles: &'a [Role], name: &str) -> Option<&'a Role> {
    roles.iter().find(|role| role.name == name)
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn address_of(key: &str) -> Address {
    chain::Signer::from_key(&SecretString::from(key)).unwrap().address()
}

/// What waits is no reason to take nothing: in some scenarios nobody works. What somebody else
/// signed is refused at once, so that each bad request has its own right answer.
fn settings(anvil: &Anvil, lanes: usize) -> String {
    format!(
        r#"
        [ingress]
        listen = "127.0.0.1:0"
        max_backlog = 4294967295
        contract_wallets = false
        [results]
        listen = "127.0.0.1:0"
        max_waiters = 100000
        [metrics]
        listen = "127.0.0.1:0"
        [notifier]
        allow_private_targets = true
        [settlement]
        max_lanes = {lanes}
        {network}
        "#,
        network = Anvil::settings(&anvil.url(), "confirmations = 1\nblock_time_ms = 1000"),
    )
}
