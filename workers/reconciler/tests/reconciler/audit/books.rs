//! A ledger and a chain that agree, and ways to make them differ.

use std::collections::HashSet;
use std::time::Duration;

use chain::{
    BreakerPolicy, Fees, HttpClient, Node, NodeConfig, Signer, TransactionPlan, find_payment,
};
use domain::{
    Address, B256, Event, Inclusion, Payment, SignerId, Submission, Timestamp, TransactionId, U256,
};
use reconciler::audit::{AuditNetwork, Difference, Tally, Unfinished, examine, newest_final};
use runtime::Clock;
use secrecy::SecretString;
use serde_json::json;
use sqlx::AssertSqlSafe;
use store::{
    AttemptKind, BlockRange, Change, FollowUp, Lane, LaneRequest, NewAttempt, Round, Store, Stored,
    TransactionState,
};
use testkit::{Anvil, Buyer, Database, Seller, SignedAuthorization};

/// Blocks after which one is final here.
const CONFIRMATIONS: u64 = 2;

const AMOUNT: u64 = 100;

pub(crate) struct Books {
    pub(crate) database: Database,
    pub(crate) anvil: Anvil,
    seller: Seller,
    pay_to: Address,
    signer: Signer,
    lane: Lane,
}

/// What an audit came to.
#[derive(Debug)]
pub(crate) struct Audit {
    pub(crate) differences: Vec<Difference>,
    pub(crate) tally: Tally,
    pub(crate) end: Result<(), Unfinished>,
}

impl Audit {
    /// The kinds of all differences, in the order of their names.
    pub(crate) fn kinds(&self) -> Vec<&'static str> {
        let mut kinds: Vec<_> = self.differences.iter().map(Difference::kind).collect();
        kinds.sort_unstable();
        kinds
    }

    pub(crate) fn finished(self) -> Tally {
        self.end.unwrap();
        self.tally
    }
}

/// A transaction that is on its way to being final.
pub(crate) struct Sent {
    payment: Payment,
    transaction: TransactionId,
    paid: Inclusion,
}

impl Books {
    pub(crate) async fn open() -> Self {
        let (database, anvil) = tokio::join!(Database::create(), Anvil::start());
        let seller = Seller::create(&database.store).await;
        let signer = signer("acce55");
        for address in [signer.address(), stranger().address()] {
            anvil.set_balance(address, U256::from(10u64.pow(18))).await;
        }
        let id = SignerId::new(runtime::new_uuid());
        database.store.register_signer(id, Anvil::CHAIN, signer.address()).await.unwrap();
        let wanted = LaneRequest {
            owner: runtime::new_uuid(),
            chain: Anvil::CHAIN,
            addresses: vec![signer.address()],
            limit: 1,
            lease: Duration::from_secs(600),
        };
        let lane = database.store.take_lanes(&wanted).await.unwrap().pop().unwrap();
        Self { database, anvil, seller, pay_to: Address::repeat_byte(0x5e), signer, lane }
    }

    fn store(&self) -> &Store {
        &self.database.store
    }

    /// A buyer with just enough money.
    pub(crate) async fn buyer(&self) -> Buyer {
        let buyer = Buyer::new();
        self.anvil.mint(buyer.address(), AMOUNT).await;
        buyer
    }

    /// What a buyer with just enough money signed.
    pub(crate) async fn signed(&self) -> SignedAuthorization {
        self.sign(&self.buyer().await)
    }

    /// What such a buyer signed for Permit2, which may move the money.
    pub(crate) async fn signed_for_permit2(&self) -> SignedAuthorization {
        let buyer = self.buyer().await;
        self.anvil.let_permit2_move(buyer.address(), AMOUNT).await;
        buyer.authorize().by_permit2().pay_to(self.pay_to).amount(AMOUNT).valid_for(600).sign()
    }

    /// What such a buyer signed for twice as much, for a stranger to take the usual amount of.
    pub(crate) async fn signed_up_to_twice_as_much(&self) -> SignedAuthorization {
        let (buyer, most) = (self.buyer().await, 2 * AMOUNT);
        self.anvil.let_permit2_move(buyer.address(), most).await;
        let authorization = buyer.authorize().upto(stranger().address(), most);
        authorization.pay_to(self.pay_to).amount(AMOUNT).valid_for(600).sign()
    }

    pub(crate) fn sign(&self, buyer: &Buyer) -> SignedAuthorization {
        buyer.authorize().pay_to(self.pay_to).amount(AMOUNT).valid_for(600).sign()
    }

    pub(crate) async fn approved(&self, signed: &SignedAuthorization) -> Payment {
        let payment = self.seller.accept(self.store(), signed).await;
        self.apply(&payment, Event::Approved { until: now().plus(Duration::from_secs(600)) }).await
    }

    pub(crate) async fn apply(&self, payment: &Payment, event: Event) -> Payment {
        let change = Change { payment: payment.clone(), event, carrier: None };
        let advance = self.store().advance(vec![change], now()).await.unwrap();
        advance.moved().next().unwrap().clone()
    }

    /// A payment that a transaction of ours made, and that the ledger knows to be settled.
    pub(crate) async fn settled(&self) -> Payment {
        let Sent { payment, transaction, paid } = self.submitted().await;
        let (hash, block_number, block_hash) = (paid.tx_hash, paid.block_number, paid.block_hash);
        let mined = TransactionState::Mined { hash, block_number, block_hash };
        let step = |from, to, payment: &Payment, event| FollowUp {
            transaction,
            from,
            to,
            changes: vec![Change { payment: payment.clone(), event, carrier: None }],
        };
        let included = step(TransactionState::Open, mined, &payment, Event::Included(paid));
        let confirmed = self.store().follow_up(included, now()).await.unwrap().unwrap();
        let confirmed = confirmed.moved().next().unwrap().clone();
        let last = TransactionState::Final { hash, block_number, block_hash };
        let finalized = step(mined, last, &confirmed, Event::Finalized);
        let settled = self.store().follow_up(finalized, now()).await.unwrap().unwrap();
        settled.moved().next().unwrap().clone()
    }

    /// A payment that a transaction of ours made, and that the ledger knows to be submitted.
    pub(crate) async fn submitted(&self) -> Sent {
        let signed = self.signed().await;
        let payment = self.approved(&signed).await;
        let nonce = self.anvil.nonce_of(self.signer.address()).await;
        let plan = plan(&signed, nonce);
        let bytes = self.signer.sign(&plan).await.unwrap();
        let transaction = TransactionId::new(runtime::new_uuid());
        let submission = Submission { transaction, approved_until: now() };
        let round = Round {
            transaction,
            nonce,
            target: plan.call.target,
            input: plan.call.input.to_vec(),
            gas_limit: plan.gas_limit,
            attempt: NewAttempt {
                kind: AttemptKind::Payload,
                hash: bytes.hash,
                raw: bytes.raw.clone(),
                max_fee_per_gas: plan.fees.max_fee,
                max_priority_fee_per_gas: plan.fees.priority,
                signed_at_block: self.anvil.block_number().await,
            },
            changes: vec![Change {
                payment,
                event: Event::Submitted(submission),
                carrier: Some(bytes.hash),
            }],
        };
        let stored = self.store().store_round(&self.lane, round, now()).await.unwrap();
        let Stored::Committed(advance) = stored else { panic!("no commit: {stored:?}") };
        let payment = advance.moved().next().unwrap().clone();
        let paid = self.send(&bytes.raw, &signed).await.unwrap();
        Sent { payment, transaction, paid }
    }

    /// Sends signed bytes, and says where they paid this, if they did.
    async fn send(&self, raw: &[u8], signed: &SignedAuthorization) -> Option<Inclusion> {
        let raw: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
        let hash = self.anvil.rpc("eth_sendRawTransaction", json!([format!("0x{raw}")])).await;
        let hash: B256 = serde_json::from_value(hash).unwrap();
        let node = node(&self.anvil.url());
        let receipt = testkit::eventually(Duration::from_secs(30), || async {
            node.receipt(hash).await.unwrap()
        })
        .await;
        assert!(receipt.success, "the transaction reverted");
        find_payment(&receipt, &signed.authorization)
    }

    /// Somebody else's transaction makes this payment.
    pub(crate) async fn send_as_stranger(&self, signed: &SignedAuthorization) -> Inclusion {
        let nonce = self.anvil.nonce_of(stranger().address()).await;
        let bytes = stranger().sign(&plan(signed, nonce)).await.unwrap();
        self.send(&bytes.raw, signed).await.unwrap()
    }

    pub(crate) async fn settle_as_paid_by(&self, payment: &Payment, paid: Inclusion) {
        let confirmed = self.apply(payment, Event::Included(paid)).await;
        self.apply(&confirmed, Event::Finalized).await;
    }

    /// Makes the ledger say that a transaction is one of ours.
    pub(crate) async fn sign_afterwards(&self, tx_hash: B256) {
        self.sql(&format!(
            "insert into transaction_attempts (transaction_id, number, kind, hash, raw,
                 max_fee_per_gas, max_priority_fee_per_gas, signed_at_block, created_at)
             select id, 2, 'payload', '\\x{tx_hash:x}', '', 1, 1, 1, now() from chain_transactions
             limit 1"
        ))
        .await;
    }

    /// Changes a payment behind the ledger's back.
    pub(crate) async fn tamper(&self, payment: &Payment, set: &str) {
        self.sql(&format!("update payments set {set} where id = '{}'", payment.id.uuid())).await;
    }

    pub(crate) async fn sql(&self, statement: &str) {
        let statement = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()));
        let done = statement.execute(self.store().pool()).await.unwrap();
        assert!(done.rows_affected() > 0, "nothing was changed");
    }

    pub(crate) async fn newest_final(&self) -> u64 {
        newest_final(&node(&self.anvil.url()), CONFIRMATIONS).await.unwrap().unwrap()
    }

    /// The chain, as this node tells of it.
    pub(crate) fn network(&self, url: &str) -> AuditNetwork {
        let assets = vec![Anvil::TOKEN];
        AuditNetwork { node: node(url), assets, confirmations: CONFIRMATIONS }
    }

    /// Compares every final block, and everything so far is in one.
    pub(crate) async fn audit(&self) -> Audit {
        self.audit_by(&self.anvil.url()).await
    }

    pub(crate) async fn audit_by(&self, url: &str) -> Audit {
        self.anvil.mine(CONFIRMATIONS).await;
        self.audit_blocks(url, 0, self.newest_final().await).await
    }

    pub(crate) async fn audit_blocks(&self, url: &str, from: u64, to: u64) -> Audit {
        let range = BlockRange { chain: Anvil::CHAIN, from, to };
        let (network, mut tally) = (self.network(url), Tally::default());
        let mut differences = Vec::new();
        let end = examine(self.store(), &network, range, &mut tally, |difference| {
            differences.push(difference.clone());
        })
        .await;
        Audit { differences, tally, end }
    }
}

fn node(url: &str) -> Node {
    let config = NodeConfig {
        chain: Anvil::CHAIN,
        urls: vec![SecretString::from(url)],
        timeout: Duration::from_secs(10),
        block_time: Duration::from_secs(1),
        breaker: BreakerPolicy::default(),
        multicall: Anvil::MULTICALL,
        signature_factories: HashSet::new(),
        log_lookback_blocks: 5_000,
        now: || Clock::system().now_unix_secs(),
    };
    Node::new(&HttpClient::new(), config).unwrap()
}

fn signer(digits: &str) -> Signer {
    Signer::from_key(&SecretString::from(format!("{digits:0>64}"))).unwrap()
}

fn stranger() -> Signer {
    signer("57a9e2")
}

fn plan(signed: &SignedAuthorization, nonce: u64) -> TransactionPlan {
    TransactionPlan {
        chain: Anvil::CHAIN,
        nonce,
        call: chain::transfer(&signed.authorization, &signed.signature),
        gas_limit: 200_000,
        fees: Fees { max_fee: 50_000_000_000, priority: 5_000_000_000 },
    }
}

fn now() -> Timestamp {
    Timestamp::from_unix_ms(Clock::system().now_unix_ms())
}
