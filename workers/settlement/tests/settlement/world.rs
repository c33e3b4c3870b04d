//! A seller, buyers, a chain, and settlement processes to start and stop.

mod others;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use chain::{BreakerPolicy, HttpClient, Node, NodeConfig, Signer};
use domain::{Address, Amount, Event, Payment, PaymentId, StateName, Timestamp, U256};
use queue::{Job, Queue, QueueConfig, Stream};
use runtime::Clock;
use secrecy::SecretString;
use settlement::{Policy, Settlement, SettlementNetwork};
use store::{Advance, Advanced, Change, OpenTransaction, Store, StoreError, TransactionState};
use testkit::{Anvil, AnvilBuilder, Buyer, Database, RedisServer, Seller, SignedAuthorization};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long a test waits for what must come.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) database: Database,
    pub(crate) redis: RedisServer,
    pub(crate) anvil: Anvil,
    pub(crate) seller: Seller,
    pub(crate) pay_to: Address,
    pub(crate) policy: Policy,
    /// What processes take for the time.
    pub(crate) clock: Clock,
    /// Who may deploy wallets.
    pub(crate) factories: Vec<Address>,
    keys: Vec<SecretString>,
}

/// A settlement process, as far as everybody else can tell.
pub(crate) struct Running {
    pub(crate) shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// Ends it where it stands, as a crash would.
    pub(crate) async fn crash(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::on(Anvil::builder().block_time(Some(Duration::from_secs(1)))).await
    }

    pub(crate) async fn on(anvil: AnvilBuilder) -> Self {
        let (database, redis, anvil) =
            tokio::join!(Database::create(), RedisServer::start(), anvil.start());
        let seller = Seller::create(&database.store).await;
        let policy = Policy {
            max_batch: 50,
            max_lanes: 4,
            max_in_flight: 4,
            lease: Duration::from_secs(2),
            bump_after_blocks: 2,
            min_remaining_secs: 4,
            confirmations: 1,
            max_fee_per_gas: 1_000_000_000_000,
            block_time: Duration::from_millis(250),
            gas_look_every: Duration::from_millis(250),
            gas_warn_wei: U256::ZERO,
            gas_pause_wei: U256::ZERO,
        };
        let pay_to = Address::repeat_byte(0x5e);
        let (clock, factories, keys) = (Clock::system(), Vec::new(), Vec::new());
        let mut world =
            Self { database, redis, anvil, seller, pay_to, policy, clock, factories, keys };
        world.add_signer().await;
        world
    }

    /// Adds a signer with money for gas.
    pub(crate) async fn add_signer(&mut self) -> Address {
        let number = self.keys.len() + 1;
        let key = SecretString::from(format!("{:064x}", 0xacce55 + number));
        let address = Signer::from_key(&key).unwrap().address();
        self.anvil.set_balance(address, U256::from(10u64.pow(18))).await;
        self.keys.push(key);
        address
    }

    pub(crate) fn signer(&self) -> Address {
        Signer::from_key(&self.keys[0]).unwrap().address()
    }

    pub(crate) fn store(&self) -> &Store {
        &self.database.store
    }

    pub(crate) fn queue(&self) -> Queue {
        Queue::connect(QueueConfig {
            lease: Duration::from_secs(2),
            drain_deadline: Duration::from_secs(10),
            ..QueueConfig::new(self.redis.url())
        })
        .unwrap()
    }

    /// Starts a settlement process.
    pub(crate) fn settle(&self) -> Running {
        self.settle_at(&self.anvil.url())
    }

    /// Starts a settlement process that knows the chain from this node.
    pub(crate) fn settle_at(&self, node: &str) -> Running {
        self.settle_behind(&[node.to_owned()], Duration::from_secs(60))
    }

    /// Starts a settlement process that knows the chain from several nodes, the preferred first;
    /// one that fails is left alone for so long.
    pub(crate) fn settle_behind(&self, nodes: &[String], rest: Duration) -> Running {
        let node = NodeConfig {
            chain: Anvil::CHAIN,
            urls: nodes.iter().map(|url| SecretString::from(url.as_str())).collect(),
            timeout: Duration::from_secs(5),
            block_time: self.policy.block_time,
            breaker: BreakerPolicy { rest, ..BreakerPolicy::default() },
            multicall: Anvil::MULTICALL,
            signature_factories: self.factories.iter().copied().collect(),
            log_lookback_blocks: 5_000,
            now: || Clock::system().now_unix_secs(),
        };
        let settlement = Settlement {
            // Its own connections, which end with it as a process's do.
            store: Store::connect(&self.database.url, 8, Duration::from_secs(5)).unwrap(),
            queue: self.queue(),
            clock: self.clock.clone(),
            networks: vec![SettlementNetwork {
                node: Node::new(&HttpClient::new(), node).unwrap(),
                signers: self.keys.iter().map(|key| Signer::from_key(key).unwrap()).collect(),
                policy: self.policy,
            }],
            concurrency: NonZeroUsize::new(256).unwrap(),
        };
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(settlement.run(shutdown.clone()));
        Running { shutdown, task }
    }

    /// A payment of a buyer with just enough money, approved by risk.
    pub(crate) async fn approved(&self, amount: u64) -> Payment {
        let buyer = Buyer::new();
        self.anvil.mint(buyer.address(), amount).await;
        self.approve(&self.sign(&buyer, amount)).await
    }

    /// Many of them, from one rich buyer.
    pub(crate) async fn approved_many(&self, count: u64) -> Vec<Payment> {
        let buyer = Buyer::new();
        self.anvil.mint(buyer.address(), count * 100).await;
        let mut payments = Vec::new();
        for _ in 0..count {
            payments.push(self.approve(&self.sign(&buyer, 100)).await);
        }
        payments
    }

    pub(crate) fn sign(&self, buyer: &Buyer, amount: u64) -> SignedAuthorization {
        buyer.authorize().pay_to(self.pay_to).amount(amount).valid_for(600).sign()
    }

    pub(crate) async fn approve(&self, signed: &SignedAuthorization) -> Payment {
        let payment = self.seller.accept(self.store(), signed).await;
        let advance = self.approve_accepted(payment).await.unwrap();
        match advance.outcomes.into_iter().next() {
            Some(Advanced::Moved(payment)) => *payment,
            other => panic!("an approval was expected: {other:?}"),
        }
    }

    /// What risk does with a payment that is accepted, or that is accepted again.
    pub(crate) async fn approve_accepted(&self, payment: Payment) -> Result<Advance, StoreError> {
        let now = now();
        let event = Event::Approved { until: now.plus(Duration::from_secs(600)) };
        let change = Change { payment, event, carrier: None };
        self.store().advance(vec![change], now).await
    }

    pub(crate) async fn ring(&self, queue: &Queue, payments: &[PaymentId]) {
        let jobs: Vec<Job> = payments.iter().map(|id| Job::new(id.to_string())).collect();
        // While Redis is away nothing can be rung; whoever waits rings again.
        let _ = queue.push(&Stream::settle(Anvil::CHAIN), &jobs).await;
    }

    /// Rings once more, as the reconciler does, if every bell before was dealt with.
    pub(crate) async fn ring_again(&self, queue: &Queue, payments: &[PaymentId]) {
        let depth = queue.depth(&Stream::settle(Anvil::CHAIN)).await;
        if depth.is_ok_and(|depth| depth.length == 0) {
            self.ring(queue, payments).await;
        }
    }

    /// Waits until every payment is in this state; meanwhile rings for those that are not, as the
    /// reconciler does.
    pub(crate) async fn wait_for(&self, state: StateName, payments: &[PaymentId]) -> Vec<Payment> {
        let queue = self.queue();
        let queue = &queue;
        testkit::eventually(DEADLINE, || async move {
            let loaded = self.store().load(payments).await.ok()?;
            let waiting: Vec<PaymentId> = loaded
                .iter()
                .filter(|payment| payment.state.name() != state)
                .map(|payment| payment.id)
                .collect();
            if waiting.is_empty() {
                return Some(loaded);
            }
            self.ring_again(queue, &waiting).await;
            None
        })
        .await
    }

    /// Ends every other connection to the database, whatever it is doing.
    pub(crate) async fn cut_connections(&self) {
        let cut = "select pg_terminate_backend(pid) from pg_stat_activity
                   where datname = current_database() and pid <> pg_backend_pid()";
        // The cut may hit one of the test's own idle connections first.
        let _ = sqlx::raw_sql(cut).execute(self.store().pool()).await;
    }

    /// Waits until the mempool has so many transactions: the ledger says *submitted* before they
    /// are sent.
    pub(crate) async fn wait_for_mempool(&self, count: u64) {
        testkit::eventually(DEADLINE, || async {
            let status = self.anvil.rpc("txpool_status", serde_json::json!([])).await;
            (status["pending"] == format!("{count:#x}")).then_some(())
        })
        .await;
    }

    /// Waits until no block is known to hold the newest transaction any more.
    pub(crate) async fn wait_for_reorg(&self) {
        testkit::eventually(DEADLINE, || async {
            matches!(self.newest_transaction().await?.state, TransactionState::Open).then_some(())
        })
        .await;
    }

    /// Makes blocks until one holds the newest transaction, and says at which height.
    pub(crate) async fn mine_until_mined(&self) -> u64 {
        let pause = self.policy.poll_interval() * 6;
        testkit::eventually(DEADLINE, || async {
            if let TransactionState::Mined { block_number, .. } =
                self.newest_transaction().await?.state
            {
                return Some(block_number);
            }
            self.anvil.mine(1).await;
            tokio::time::sleep(pause).await;
            None
        })
        .await
    }

    /// The newest transaction of the newest signer.
    pub(crate) async fn newest_transaction(&self) -> Option<OpenTransaction> {
        let signer = self.store().list_signers().await.ok()?.pop()?;
        self.store().transactions_from(signer.id, 0).await.ok()?.pop()
    }

    pub(crate) async fn load(&self, id: PaymentId) -> Payment {
        self.store().load(&[id]).await.unwrap().pop().unwrap()
    }

    /// Every settled payment moved its money once, where the ledger says, and nothing else did.
    pub(crate) async fn assert_ledger_is_chain(&self, payments: &[PaymentId]) {
        let payments = self.store().load(payments).await.unwrap();
        let recorded: HashMap<_, _> = payments
            .iter()
            .filter(|payment| payment.state.name() == StateName::Settled)
            .map(|payment| {
                let inclusion = payment.state.inclusion().unwrap();
                ((inclusion.tx_hash, inclusion.log_index), payment.authorization.amount)
            })
            .collect();
        let moved: HashMap<_, _> = self
            .anvil
            .transfers_to(self.pay_to)
            .await
            .into_iter()
            .map(|moved| ((moved.tx_hash, moved.log_index), moved.amount))
            .collect();
        assert_eq!(recorded, moved);
        let total: U256 = recorded.values().map(|amount| amount.units()).sum();
        assert_eq!(self.anvil.balance_of(self.pay_to).await, Amount::new(total));
    }

    pub(crate) async fn states(&self, id: PaymentId) -> Vec<String> {
        let timeline = self.store().timeline(id).await.unwrap();
        timeline.into_iter().map(|entry| entry.status).collect()
    }
}

pub(crate) fn ids(payments: &[Payment]) -> Vec<PaymentId> {
    payments.iter().map(|payment| payment.id).collect()
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_unix_ms(Clock::system().now_unix_ms())
}
