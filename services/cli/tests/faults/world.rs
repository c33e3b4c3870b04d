//! Servers of our own, every role as a process, and a seller.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use domain::{Address, U256};
use nix::sys::signal::Signal;
use runtime::FailPoint;
use serde_json::{Value, json};
use testkit::{Anvil, Database, FaultyNode, Receiver, RedisServer, Seller, eventually, http};

use crate::process::Process;
use crate::role::Role;

/// How long a process may take to start, to come to a point, or to end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Whose money pays for gas; well-known keys of development chains, with their addresses.
const SIGNERS: [(&str, &str); 2] = [
    (
        "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
        "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    ),
    (
        "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
        "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
    ),
];

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) database: Database,
    pub(crate) redis: tokio::sync::Mutex<RedisServer>,
    pub(crate) anvil: Anvil,
    pub(crate) node: FaultyNode,
    pub(crate) seller: Seller,
    pub(crate) receiver: Receiver,
    pub(crate) confirmations: u64,
    redis_url: String,
    processes: Mutex<BTreeMap<Role, Process>>,
    /// Those whose process was started with a point armed.
    armed: Mutex<BTreeSet<Role>>,
    /// How many of the signers each settlement process has the keys of.
    keys: AtomicUsize,
    /// What kills PostgreSQL and starts it again.
    stack: Option<PathBuf>,
    starts: AtomicU64,
    logs: PathBuf,
    folder: tempfile::TempDir,
    http: reqwest::Client,
}

impl World {
    /// Every role as a process; a payment is settled after so many blocks.
    pub(crate) async fn start(confirmations: u64, logs: &Path) -> Self {
        let (database, redis, anvil, receiver) = tokio::join!(
            Database::create(),
            RedisServer::start(),
            Anvil::builder().block_time(Some(Duration::from_secs(1))).start(),
            Receiver::start()
        );
        for (_, address) in SIGNERS {
            anvil.set_balance(address.parse().unwrap(), U256::from(10u64.pow(18))).await;
        }
        let node = FaultyNode::before(anvil.url()).await;
        let seller = Seller::create(&database.store).await;
        std::fs::create_dir_all(logs).unwrap();
        let world = Self {
            redis_url: redis.url(),
            redis: tokio::sync::Mutex::new(redis),
            database,
            anvil,
            node,
            seller,
            receiver,
            confirmations,
            processes: Mutex::default(),
            armed: Mutex::default(),
            keys: AtomicUsize::new(SIGNERS.len()),
            stack: None,
            starts: AtomicU64::new(0),
            logs: logs.to_owned(),
            folder: tempfile::TempDir::new().unwrap(),
            http: http::client(),
        };
        std::fs::write(world.config_file(), world.config()).unwrap();
        Role::ALL.into_iter().for_each(|role| world.start_role(role));
        world.subscribe().await;
        world
    }

    /// May kill PostgreSQL and start it again with this program.
    #[must_use]
    pub(crate) fn with_stack(mut self, stack: Option<&Path>) -> Self {
        self.stack = stack.map(Path::to_owned);
        self
    }

    /// Kills PostgreSQL, or starts it again.
    pub(crate) async fn command_stack(&self, verb: &str) {
        let stack = self.stack.as_ref().expect("nobody asks for this without a stack");
        let done = tokio::process::Command::new(stack).args([verb, "postgres"]).status().await;
        assert!(done.unwrap().success(), "the stack did not {verb} PostgreSQL");
    }

    /// Ends everything. Dropping a database waits for the server, which must hold up nobody here.
    pub(crate) async fn end(self) {
        self.processes.lock().unwrap().clear();
        self.database.store.close().await;
        tokio::task::spawn_blocking(move || drop(self)).await.unwrap();
    }

    /// The signer that is there however many keys a process has.
    pub(crate) fn first_signer() -> Address {
        SIGNERS[0].1.parse().unwrap()
    }

    fn config_file(&self) -> PathBuf {
        self.folder.path().join("quittance.toml")
    }

    fn config(&self) -> String {
        let confirmations = self.confirmations;
        let network =
            format!("rpc_timeout_ms = 1000\nconfirmations = {confirmations}\nblock_time_ms = 1000");
        format!(
            r#"
            [log]
            level = "info,notifier=debug"
            [database]
            max_connections = 6
            [ingress]
            listen = "127.0.0.1:0"
            [results]
            listen = "127.0.0.1:0"
            [metrics]
            listen = "127.0.0.1:0"
            [settlement]
            lease_secs = 2
            max_batch = 3
            max_lanes = 1
            max_in_flight = 8
            bump_after_blocks = 1
            [notifier]
            allow_private_targets = true
            timeout_ms = 2000
            {network}
            "#,
            network = Anvil::settings(&self.node.url(), &network),
        )
    }

    fn settings(&self, role: Role, armed: Option<&str>) -> Vec<(String, String)> {
        let mut settings = vec![
            ("QUITTANCE_CONFIG", self.config_file().display().to_string()),
            ("DATABASE_URL", self.database.url.clone()),
            ("REDIS_URL", self.redis_url.clone()),
        ];
        if role.settles() {
            let keys = SIGNERS[..self.keys.load(Ordering::Relaxed)].iter();
            let keys: Vec<_> = keys.map(|(key, _)| format!("eip155:84532={key}")).collect();
            settings.push(("QUITTANCE_SIGNER_KEYS", keys.join(",")));
        }
        if let Some(armed) = armed {
            settings.push(("QUITTANCE_FAIL_POINT", armed.to_owned()));
        }
        settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    async fn subscribe(&self) {
        let hook = json!({ "url": self.receiver.url() });
        eventually(PATIENCE, || async {
            let made = self.post(Role::Results, "/v1/webhook_endpoints", &hook, None).await?;
            (made.0 == 201).then_some(())
        })
        .await;
    }

    /// Starts a role, in place of the process it may have.
    pub(crate) fn start_role(&self, role: Role) {
        self.start_with(role, None);
    }

    /// Starts a role that dies or stops at this point.
    pub(crate) fn start_armed(&self, role: Role, point: FailPoint, action: &str) {
        self.start_with(role, Some(&format!("{}={action}", point.name())));
    }

    fn start_with(&self, role: Role, armed: Option<&str>) {
        let number = self.starts.fetch_add(1, Ordering::Relaxed);
        let log = self.logs.join(format!("{number:03}-{}.log", role.name()));
        let process = Process::start(role.arguments(), &self.settings(role, armed), &log);
        self.processes.lock().unwrap().insert(role, process);
        let mut armed_roles = self.armed.lock().unwrap();
        match armed {
            Some(_) => armed_roles.insert(role),
            None => armed_roles.remove(&role),
        };
    }

    /// Kills a role's process (SIGKILL).
    pub(crate) fn crash(&self, role: Role) {
        self.processes.lock().unwrap().remove(&role);
    }

    /// Asks a role's process to end (SIGTERM).
    pub(crate) fn ask_to_end(&self, role: Role) {
        self.signal(role, Signal::SIGTERM);
    }

    pub(crate) fn signal(&self, role: Role, signal: Signal) {
        self.processes.lock().unwrap()[&role].signal(signal);
    }

    /// Brings up whatever is down, with so many keys for settlement.
    pub(crate) async fn repair(&self, keys: usize) {
        if self.keys.load(Ordering::Relaxed) != keys {
            self.end_settlement(keys).await;
        }
        for role in Role::ALL {
            if self.is_down(role) {
                self.start_role(role);
            }
        }
    }

    /// Replaces whatever was started with a point armed.
    pub(crate) fn disarm(&self) {
        let armed = std::mem::take(&mut *self.armed.lock().unwrap());
        armed.into_iter().for_each(|role| self.start_role(role));
    }

    /// Ends both settlement processes as an operator does; later ones have so many keys.
    pub(crate) async fn end_settlement(&self, keys: usize) {
        for role in [Role::SettlementA, Role::SettlementB] {
            if !self.is_down(role) {
                self.ask_to_end(role);
            }
        }
        for role in [Role::SettlementA, Role::SettlementB] {
            eventually(PATIENCE, || std::future::ready(self.is_down(role).then_some(()))).await;
            self.crash(role);
        }
        self.keys.store(keys, Ordering::Relaxed);
    }

    /// Whether no process of this role runs.
    pub(crate) fn is_down(&self, role: Role) -> bool {
        let mut processes = self.processes.lock().unwrap();
        processes.get_mut(&role).is_none_or(|process| process.ended().is_some())
    }

    /// The signal that ended a role's process, once it has ended; 0 where it ended by itself.
    pub(crate) fn killed_by(&self, role: Role) -> Option<i32> {
        let status = self.processes.lock().unwrap().get_mut(&role)?.ended()?;
        Some(status.signal().unwrap_or_default())
    }

    pub(crate) fn is_stopped(&self, role: Role) -> bool {
        self.processes.lock().unwrap().get(&role).is_some_and(Process::is_stopped)
    }

    /// How often a role's process has logged this message.
    pub(crate) fn said(&self, role: Role, message: &str) -> usize {
        self.processes.lock().unwrap().get(&role).map_or(0, |process| process.said(message))
    }

    /// Waits until so many more blocks are there.
    pub(crate) async fn pass_blocks(&self, blocks: u64) {
        let from = self.anvil.block_number().await;
        eventually(PATIENCE, || async {
            (self.anvil.block_number().await >= from + blocks).then_some(())
        })
        .await;
    }

    /// Status and answer of a role's API, or `None` while nobody answers.
    pub(crate) async fn post(
        &self,
        role: Role,
        path: &str,
        body: &Value,
        key: Option<&str>,
    ) -> Option<(u16, Value)> {
        let message = match role {
            Role::Ingress => "taking payments",
            _ => "serving statuses",
        };
        let address = self.processes.lock().unwrap().get(&role)?.address(message)?;
        let url = format!("http://{address}{path}");
        let mut request = self.http.post(url).bearer_auth(&self.seller.key).json(body);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let answer = request.send().await.ok()?;
        Some((answer.status().as_u16(), answer.json().await.ok()?))
    }
}
