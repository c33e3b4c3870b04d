//! Risk on a real chain, a real ledger and a real queue: nothing is approved without proof.

#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the test")]

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use chain::{BreakerPolicy, HttpClient, Node, NodeConfig};
use domain::{Address, FailureCode, Payment, PaymentId, PaymentState, StateName};
use queue::{Job, Queue, QueueConfig, Stream};
use risk::{Risk, RiskNetwork};
use runtime::Clock;
use secrecy::SecretString;
use testkit::{Anvil, Buyer, Database, RedisServer, Seller, SignedAuthorization};
use tokio_util::sync::{CancellationToken, DropGuard};

const DEADLINE: Duration = Duration::from_secs(30);

struct World {
    database: Database,
    redis: RedisServer,
    anvil: Anvil,
    seller: Seller,
    confirmations: u64,
    /// Blocks back from the newest in which logs are searched.
    lookback: u64,
    clock: Clock,
}

impl World {
    async fn start() -> Self {
        let (database, redis, anvil) =
            tokio::join!(Database::create(), RedisServer::start(), Anvil::start());
        let seller = Seller::create(&database.store).await;
        let clock = Clock::system();
        Self { database, redis, anvil, seller, confirmations: 1, lookback: 5_000, clock }
    }

    fn queue(&self) -> Queue {
        Queue::connect(QueueConfig::new(self.redis.url())).unwrap()
    }

    /// Starts a risk process; it ends with what is returned.
    fn judge(&self) -> DropGuard {
        let node = NodeConfig {
            chain: Anvil::CHAIN,
            urls: vec![SecretString::from(self.anvil.url())],
            timeout: Duration::from_secs(2),
            block_time: Duration::from_secs(1),
            breaker: BreakerPolicy::default(),
            multicall: Anvil::MULTICALL,
            log_lookback_blocks: self.lookback,
            now: || Clock::system().now_unix_secs(),
        };
        let network = RiskNetwork {
            node: Node::new(&HttpClient::new(), node).unwrap(),
            confirmations: self.confirmations,
            min_remaining_secs: 4,
        };
        let risk = Risk {
            store: self.database.store.clone(),
            queue: self.queue(),
            clock: self.clock.clone(),
            networks: HashMap::from([(Anvil::CHAIN, network)]),
            concurrency: NonZeroUsize::new(64).unwrap(),
            max_batch: 50,
            decision_validity: Duration::from_secs(300),
        };
        let shutdown = CancellationToken::new();
        tokio::spawn(risk.run(shutdown.clone()));
        shutdown.drop_guard()
    }

    async fn accepted(&self, signed: &SignedAuthorization) -> Payment {
        self.seller.accept(&self.database.store, signed).await
    }

    async fn rich_buyer(&self) -> Buyer {
        let buyer = Buyer::new();
        self.anvil.mint(buyer.address(), 10_000u64).await;
        buyer
    }

    async fn ring(&self, payments: &[PaymentId]) {
        let jobs: Vec<Job> = payments.iter().map(|id| Job::new(id.to_string())).collect();
        self.queue().push(&Stream::Risk, &jobs).await.unwrap();
    }

    /// Waits until each job that was rung is done with.
    async fn quiet(&self) {
        let queue = self.queue();
        testkit::eventually(DEADLINE, || async {
            (queue.depth(&Stream::Risk).await.ok()?.length == 0).then_some(())
        })
        .await;
    }

    /// Rings for a payment until it is in this state.
    async fn wait_for(&self, state: StateName, payment: PaymentId) -> Payment {
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

    async fn load(&self, id: PaymentId) -> Payment {
        self.database.store.load(&[id]).await.unwrap().pop().unwrap()
    }
}

#[tokio::test]
async fn a_payment_that_the_chain_can_pay_is_approved_and_settlement_is_rung() {
    let world = World::start().await;
    let payment = world.accepted(&world.rich_buyer().await.authorize().sign()).await;
    let _risk = world.judge();
    world.ring(&[payment.id]).await;

    let approved = world.wait_for(StateName::Approved, payment.id).await;

    assert!(
        matches!(approved.state, PaymentState::Approved { until } if until > approved.updated_at)
    );
    let queue = world.queue();
    testkit::eventually(DEADLINE, || async {
        let depth = queue.depth(&Stream::settle(Anvil::CHAIN)).await.ok()?;
        (depth.length == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn each_payment_of_a_batch_is_judged_by_itself() {
    let world = World::start().await;
    let rich = world.rich_buyer().await;
    let good = world.accepted(&rich.authorize().amount(10_000u64).sign()).await;
    let dear = world.accepted(&rich.authorize().amount(10_001u64).sign()).await;
    let empty = world.accepted(&Buyer::new().authorize().sign()).await;
    world.ring(&[good.id, dear.id, empty.id]).await;

    let _risk = world.judge();

    world.wait_for(StateName::Approved, good.id).await;
    for poor in [dear, empty] {
        let rejected = world.wait_for(StateName::Rejected, poor.id).await;
        assert_eq!(rejected.state, PaymentState::Rejected(FailureCode::InsufficientFunds));
    }
}

#[tokio::test]
async fn a_payment_that_was_made_already_is_confirmed_with_the_transaction_that_made_it() {
    let world = World::start().await;
    let signed = world.rich_buyer().await.authorize().sign();
    let payment = world.accepted(&signed).await;
    let call = chain::transfer(&signed.authorization, &signed.signature);
    let theirs = world.anvil.transact(call.target, &call.input).await;
    let _risk = world.judge();

    let confirmed = world.wait_for(StateName::Confirmed, payment.id).await;

    assert_eq!(confirmed.state.inclusion().unwrap().tx_hash, theirs);
}

#[tokio::test]
async fn an_authorization_that_paid_somebody_else_is_rejected_and_safe_to_sign_again() {
    let world = World::start().await;
    let buyer = world.rich_buyer().await;
    let nonce = domain::B256::repeat_byte(7);
    let elsewhere = buyer.authorize().pay_to(Address::repeat_byte(9)).nonce(nonce).sign();
    let call = chain::transfer(&elsewhere.authorization, &elsewhere.signature);
    world.anvil.transact(call.target, &call.input).await;
    let payment = world.accepted(&buyer.authorize().nonce(nonce).sign()).await;
    let _risk = world.judge();

    let rejected = world.wait_for(StateName::Rejected, payment.id).await;

    assert_eq!(rejected.state, PaymentState::Rejected(FailureCode::AuthorizationUsed));
    assert!(rejected.state.failure().unwrap().safe_to_resign());
}

#[tokio::test]
async fn nobody_is_told_to_sign_again_because_a_use_is_older_than_what_is_searched() {
    let mut world = World::start().await;
    world.lookback = 2;
    let (clock, hand) = Clock::manual(Clock::system().now_unix_ms());
    world.clock = clock;
    // It has paid this very seller, long ago.
    let signed = world.rich_buyer().await.authorize().valid_for(60).sign();
    let call = chain::transfer(&signed.authorization, &signed.signature);
    world.anvil.transact(call.target, &call.input).await;
    world.anvil.mine(10).await;
    let payment = world.accepted(&signed).await;
    let _risk = world.judge();
    world.ring(&[payment.id]).await;
    world.quiet().await;
    assert_eq!(world.load(payment.id).await.state, PaymentState::Accepted);

    hand.advance(Duration::from_secs(100));
    world.anvil.rpc("evm_increaseTime", serde_json::json!([100])).await;
    world.anvil.mine(1).await;

    let rejected = world.wait_for(StateName::Rejected, payment.id).await;
    assert!(!rejected.state.failure().unwrap().safe_to_resign());
}

#[tokio::test]
async fn nothing_is_decided_from_a_use_that_may_still_be_undone() {
    let mut world = World::start().await;
    world.confirmations = 3;
    let buyer = world.rich_buyer().await;
    let nonce = domain::B256::repeat_byte(7);
    let elsewhere = buyer.authorize().pay_to(Address::repeat_byte(9)).nonce(nonce).sign();
    let call = chain::transfer(&elsewhere.authorization, &elsewhere.signature);
    world.anvil.transact(call.target, &call.input).await;
    let payment = world.accepted(&buyer.authorize().nonce(nonce).sign()).await;
    let _risk = world.judge();
    world.ring(&[payment.id]).await;
    world.quiet().await;
    assert_eq!(world.load(payment.id).await.state, PaymentState::Accepted);

    world.anvil.mine(2).await;

    world.wait_for(StateName::Rejected, payment.id).await;
}

#[tokio::test]
async fn nothing_is_approved_while_the_node_does_not_answer() {
    let mut world = World::start().await;
    let payment = world.accepted(&world.rich_buyer().await.authorize().sign()).await;
    world.anvil.kill().await;
    let _risk = world.judge();
    world.ring(&[payment.id]).await;
    world.quiet().await;
    assert_eq!(world.load(payment.id).await.state, PaymentState::Accepted);

    world.anvil.start_again().await;

    world.wait_for(StateName::Approved, payment.id).await;
}

#[tokio::test]
async fn a_payment_that_rings_many_times_is_decided_once() {
    let world = World::start().await;
    let payment = world.accepted(&world.rich_buyer().await.authorize().sign()).await;
    world.ring(&[payment.id; 50]).await;
    let _processes = [world.judge(), world.judge()];

    world.wait_for(StateName::Approved, payment.id).await;
    world.quiet().await;

    assert_eq!(world.load(payment.id).await.version, 2);
}

#[tokio::test]
async fn two_payments_that_do_not_fit_together_are_not_both_approved() {
    let world = World::start().await;
    let buyer = world.rich_buyer().await;
    let mut payments = Vec::new();
    for _ in 0..2 {
        payments.push(world.accepted(&buyer.authorize().amount(6_000u64).sign()).await.id);
    }
    let _processes = [world.judge(), world.judge()];
    world.ring(&payments).await;
    world.quiet().await;
    let mut states = Vec::new();
    for payment in &payments {
        states.push(world.load(*payment).await.state.name());
    }
    states.sort_by_key(|state| *state != StateName::Approved);
    assert_eq!(states, [StateName::Approved, StateName::Accepted]);
}

#[tokio::test]
async fn a_payment_above_the_bound_waits_for_somebody_and_goes_on_when_they_approve() {
    let world = World::start().await;
    let (store, account) = (&world.database.store, world.seller.account);
    let policy = serde_json::json!({"limits": [{
        "network": Anvil::CHAIN, "asset": Anvil::TOKEN, "per": "account", "approve_above": "5000",
    }]});
    let policy: domain::Policy = serde_json::from_value(policy).unwrap();
    let by = world.seller.another_key(store, &[domain::Scope::Ops]).await.key_id;
    let now = domain::Timestamp::from_unix_ms(world.clock.now_unix_ms());
    let new = store::NewPolicy { account, policy: &policy, seen: None, by };
    store.write_policy(new, now).await.unwrap();
    let signed = world.rich_buyer().await.authorize().amount(6_000u64).sign();
    let payment = world.accepted(&signed).await.id;
    let _risk = world.judge();
    world.wait_for(StateName::Held, payment).await;

    let reason = "they are known".to_owned();
    let decision = store::HoldDecision { payment, approved: true, reason, by };
    store.decide_hold(&decision, now).await.unwrap();

    world.wait_for(StateName::Approved, payment).await;
}
