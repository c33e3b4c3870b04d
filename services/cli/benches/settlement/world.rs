//! Servers of our own, the roles that settle as processes, and rich buyers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::{Address, U256};
use testkit::{Anvil, Buyer, Database, RedisServer, Seller, eventually, http};

use crate::process::Process;

const PATIENCE: Duration = Duration::from_secs(30);

/// Buyers share the payments, so that none of them is a special case of the token.
const BUYERS: usize = 200;

/// More than any of them spends.
const FUNDS: u64 = 1_000_000_000;

/// The keys of the signers are this and the numbers that follow.
const FIRST_KEY: u64 = 0x5e77_1e00;

/// How often each method was called.
pub(crate) type Calls = BTreeMap<String, u64>;

pub(crate) struct World {
    pub(crate) database: Database,
    pub(crate) anvil: Anvil,
    pub(crate) seller: Seller,
    pub(crate) pay_to: Address,
    pub(crate) buyers: Vec<Buyer>,
    pub(crate) signers: Vec<Address>,
    pub(crate) http: reqwest::Client,
    /// Where payments are posted.
    pub(crate) ingress: String,
    redis: RedisServer,
    processes: Vec<Process>,
    /// Where the processes tell what they counted.
    metrics: Vec<String>,
    _folder: tempfile::TempDir,
}

impl World {
    pub(crate) async fn start(signers: u64) -> Self {
        let (database, redis, anvil) = tokio::join!(
            Database::create(),
            RedisServer::start(),
            Anvil::builder().block_time(Some(Duration::from_secs(1))).start(),
        );
        let seller = Seller::create(&database.store).await;
        let keys: Vec<String> =
            (1..=signers).map(|number| format!("{:064x}", FIRST_KEY + number)).collect();
        let signers: Vec<Address> = keys.iter().map(|key| address_of(key)).collect();
        for signer in &signers {
            anvil.set_balance(*signer, U256::from(10u64.pow(18))).await;
        }
        let buyers: Vec<Buyer> = (0..BUYERS).map(|_| Buyer::new()).collect();
        for buyer in &buyers {
            anvil.mint(buyer.address(), FUNDS).await;
        }
        let folder = tempfile::TempDir::new().unwrap();
        let config = folder.path().join("quittance.toml");
        std::fs::write(&config, settings(&anvil, signers.len())).unwrap();
        let variables = vec![
            ("QUITTANCE_CONFIG".to_owned(), config.display().to_string()),
            ("DATABASE_URL".to_owned(), database.url.clone()),
            ("REDIS_URL".to_owned(), redis.url()),
        ];
        let keys: Vec<String> = keys.iter().map(|key| format!("eip155:84532={key}")).collect();
        let with_keys = [variables.clone(), vec![("QUITTANCE_SIGNER_KEYS".into(), keys.join(","))]];
        let with_keys = with_keys.concat();
        let log = |name: &str| log_file(folder.path(), name);
        let ingress = Process::start(&["ingress"], &variables, &log("ingress"));
        let processes = vec![
            Process::start(&["worker", "risk"], &variables, &log("risk")),
            Process::start(&["worker", "settlement"], &with_keys, &log("settlement")),
            Process::start(&["worker", "reconciler"], &variables, &log("reconciler")),
        ];
        let url = format!("http://{}", address(&ingress, "taking payments").await);
        let mut metrics = Vec::new();
        for process in &processes {
            let address = address(process, "serving health and metrics").await;
            metrics.push(format!("http://{address}/metrics"));
        }
        let processes = processes.into_iter().chain([ingress]).collect();
        Self {
            database,
            anvil,
            seller,
            pay_to: Address::repeat_byte(0x5e),
            buyers,
            signers,
            http: http::client(),
            ingress: url,
            redis,
            processes,
            metrics,
            _folder: folder,
        }
    }

    /// How often the workers have asked a node so far, for what.
    pub(crate) async fn calls(&self) -> Calls {
        let mut calls = Calls::new();
        for url in &self.metrics {
            let text = self.http.get(url).send().await.unwrap().text().await.unwrap();
            for line in text.lines().filter(|line| line.starts_with("rpc_requests_total{")) {
                let method = line.split("method=\"").nth(1).and_then(|rest| rest.split('"').next());
                let count = line.rsplit(' ').next().and_then(|count| count.parse::<u64>().ok());
                *calls.entry(method.unwrap().to_owned()).or_default() += count.unwrap();
            }
        }
        calls
    }

    pub(crate) async fn end(self) {
        drop(self.processes);
        self.database.store.close().await;
        tokio::task::spawn_blocking(move || drop((self.database, self.redis, self.anvil)))
            .await
            .unwrap();
    }
}

async fn address(process: &Process, message: &str) -> String {
    eventually(PATIENCE, || std::future::ready(process.address(message))).await
}

fn log_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.log"))
}

fn address_of(key: &str) -> Address {
    chain::Signer::from_key(&secrecy::SecretString::from(key)).unwrap().address()
}

fn settings(anvil: &Anvil, signers: usize) -> String {
    format!(
        r#"
        [ingress]
        listen = "127.0.0.1:0"
        [metrics]
        listen = "127.0.0.1:0"
        [settlement]
        max_lanes = {signers}
        [[networks]]
        chain_id = 84532
        name = "base-sepolia"
        rpc_urls = ["{url}"]
        confirmations = 1
        block_time_ms = 1000
        [[networks.assets]]
        address = "{token}"
        name = "USDC"
        version = "2"
        decimals = 6
        symbol = "USDC"
        "#,
        url = anvil.url(),
        token = Anvil::TOKEN,
    )
}
