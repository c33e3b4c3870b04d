//! A seller, a chain, and risk processes to start and stop.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use chain::{BreakerPolicy, HttpClient, Node, NodeConfig};
use domain::{Address, Payment, PaymentId, StateName};
use queue::{Job, Queue, QueueConfig, Stream};
use risk::{ConsultedEngine, Risk, RiskNetwork};
use runtime::Clock;
use secrecy::SecretString;
use testkit::{Anvil, Buyer, Database, RedisServer, Seller, SignedAuthorization};
use tokio_util::sync::{CancellationToken, DropGuard};
use x402::TokenDomain;

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// How many payments a risk process has in work at most.
pub(crate) const CONCURRENCY: usize = 64;

pub(crate) struct World {
    pub(crate) database: Database,
    pub(crate) redis: RedisServer,
    pub(crate) anvil: Anvil,
    pub(crate) seller: Seller,
    pub(crate) confirmations: u64,
    /// Blocks back from the newest in which logs are searched.
    pub(crate) lookback: u64,
    pub(crate) clock: Clock,
    /// Who may deploy wallets.
    pub(crate) factories: Vec<Address>,
    /// Who is asked besides the chain.
    pub(crate) engine: Option<ConsultedEngine>,
}

impl World {
    pub(crate) async fn start() -> Self {
        let (database, redis, anvil) =
            tokio::join!(Database::create(), RedisServer::start(), Anvil::start());
        let seller = Seller::create(&database.store).await;
        let clock = Clock::system();
        Self {
            database,
            redis,
            anvil,
            seller,
            confirmations: 1,
            lookback: 5_000,
            clock,
            factories: Vec::new(),
            engine: None,
        }
    }

    /// Waits until a payment is in this state.
    pub(crate) async fn comes_to(&self, state: StateName, payment: PaymentId) -> Payment {
        testkit::eventually(DEADLINE, || async {
            let payment = self.load(payment).await;
            (payment.state.name() == state).then_some(payment)
        })
        .await
    }

    /// Why it was decided on as it was.
    pub(crate) async fn evidence(&self, payment: &Payment) -> Vec<store::Evaluation> {
        self.database.store.evaluations(payment.account, payment.id).await.unwrap()
    }

    pub(crate) fn queue(&self) -> Queue {
        Queue::connect(QueueConfig::new(self.redis.url())).unwrap()
    }

    /// Starts a risk process; it ends with what is returned.
    pub(crate) fn judge(&self) -> DropGuard {
        self.judge_at(self.anvil.url())
    }

    /// Starts a risk process that knows the chain from this node.
    pub(crate) fn judge_at(&self, url: String) -> DropGuard {
        let node = NodeConfig {
            chain: Anvil::CHAIN,
            urls: vec![SecretString::from(url)],
            timeout: Duration::from_secs(2),
            block_time: Duration::from_secs(1),
            breaker: BreakerPolicy::default(),
            multicall: Anvil::MULTICALL,
            signature_factories: self.factories.iter().copied().collect(),
            log_lookback_blocks: self.lookback,
            now: || Clock::system().now_unix_secs(),
        };
        let network = RiskNetwork {
            node: Node::new(&HttpClient::new(), node).unwrap(),
            confirmations: self.confirmations,
            tokens: Arc::new(HashMap::from([(Anvil::TOKEN, TokenDomain::new(&Anvil::token()))])),
            min_remaining_secs: 4,
        };
        let risk = Risk {
            store: self.database.store.clone(),
            queue: self.queue(),
            clock: self.clock.clone(),
            networks: HashMap::from([(Anvil::CHAIN, network)]),
            concurrency: NonZeroUsize::new(CONCURRENCY).unwrap(),
            max_batch: 50,
            decision_validity: Duration::from_secs(300),
            engine: self.engine.clone(),
        };
        let shutdown = CancellationToken::new();
        tokio::spawn(risk.run(shutdown.clone()));
        shutdown.drop_guard()
    }

    pub(crate) async fn accepted(&self, signed: &SignedAuthorization) -> Payment {
        self.seller.accept(&self.database.store, signed).await
    }

    pub(crate) async fn rich_buyer(&self) -> Buyer {
        let buyer = Buyer::new();
        self.anvil.mint(buyer.address(), 10_000u64).await;
        buyer
    }

    pub(crate) async fn ring(&self, payments: &[PaymentId]) {
        let jobs: Vec<Job> = payments.iter().map(|id| Job::new(id.to_string())).collect();
        self.queue().push(&Stream::Risk, &jobs).await.unwrap();
    }

    /// Waits until each job that was rung is done with.
    pub(crate) async fn quiet(&self) {
        let queue = self.queue();
        testkit::eventually(DEADLINE, || async {
            (queue.depth(&Stream::Risk).await.ok()?.length == 0).then_some(())
        })
        .await;
    }

    /// Rings for a payment until it is in this state.
    pub(crate) async fn wait_for(&self, state: StateName, payment: PaymentId) -> Payment {
        let queue = &self.queue();
        testkit::eventually(DEADLINE, || async move {
            let payment = self.load(payment).await;
            if payment.state.name() == state {
                return Some(payment);
            }
            if queue.depth(&Stream::Risk).await.ok()?.length == 0 {
                self.ring(&[payment.id]).await;
            }
            None
        })
        .await
    }

    pub(crate) async fn load(&self, id: PaymentId) -> Payment {
        self.database.store.load(&[id]).await.unwrap().pop().unwrap()
    }
}
