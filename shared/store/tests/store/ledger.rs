//! A ledger of the test's own, with a seller in it, and what tests put there.

use std::time::Duration;

use domain::{
    AccountId, Address, Amount, Authorization, B256, ChainId, EndpointId, EndpointTerms, Event,
    EventId, EventType, Finality, Payment, PaymentId, RiskContext, Signature, Timestamp,
    TokenPermit, TransferMethod, U256,
};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row};
use store::{Acceptance, Advance, Advanced, Change, Idempotency, Intake, NewEndpoint, Store};
use testkit::Database;
use uuid::Uuid;

/// When most of what a test tells happens: the ledger takes its time from its callers.
pub(crate) const NOW: Timestamp = Timestamp::from_unix_secs(1_772_366_400);

/// The longest that a test waits for something to come about.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How many endpoints a seller may have, where a test does not care.
const MOST_ENDPOINTS: i64 = 100;

/// So many seconds after [`NOW`].
pub(crate) fn later(secs: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(secs))
}

pub(crate) fn chain() -> ChainId {
    ChainId::new(84_532).unwrap()
}

/// Bytes that nothing else has.
pub(crate) fn unique_hash() -> B256 {
    let (one, other) = (Uuid::new_v4(), Uuid::new_v4());
    B256::from_slice(&[one.into_bytes(), other.into_bytes()].concat())
}

pub(crate) fn unique_address() -> Address {
    Address::from_slice(&unique_hash()[..20])
}

/// An authorization that nobody has submitted yet.
pub(crate) fn authorization() -> Authorization {
    Authorization {
        method: TransferMethod::Eip3009,
        chain: chain(),
        asset: Address::repeat_byte(0xA5),
        payer: Address::repeat_byte(0xBB),
        pay_to: Address::repeat_byte(0xCC),
        amount: Amount::from(10_000),
        valid_after: 0,
        valid_before: later(3600).unix_secs(),
        nonce: unique_hash(),
    }
}

/// A submission of this authorization, with nothing asked that need not be.
pub(crate) fn intake(account: AccountId, authorization: &Authorization) -> Intake {
    Intake {
        id: PaymentId::new(Uuid::now_v7()),
        event: EventId::new(Uuid::now_v7()),
        account,
        authorization: authorization.clone(),
        signature: Signature::new(vec![7; 65]),
        permit: None,
        x402_version: 2,
        finality: Finality::Confirmed,
        reference: None,
        metadata: None,
        resource_host: None,
        risk_context: RiskContext::default(),
        request_id: "req_test".to_owned(),
        idempotency: Vec::new(),
        accepted_at: NOW,
    }
}

/// A submission of a payment by Permit2, with a permit of the token of this nonce.
pub(crate) fn with_permit(account: AccountId, nonce: u64) -> Intake {
    let method = TransferMethod::Permit2 { spender: Address::repeat_byte(0xDD) };
    let permit = TokenPermit {
        nonce: U256::from(nonce),
        deadline: U256::MAX,
        signature: Signature::new(vec![8; 65]),
    };
    let authorization = Authorization { method, ..authorization() };
    Intake { permit: Some(permit), ..intake(account, &authorization) }
}

/// The same with a further key, under which it says what `body` stands for.
pub(crate) fn keyed(mut intake: Intake, key: &str, body: u8) -> Intake {
    intake.idempotency.push(Idempotency { key: key.to_owned(), body_digest: [body; 32] });
    intake
}

/// A ledger that no other test sees.
pub(crate) struct Ledger {
    database: Database,
    /// An account in it.
    pub(crate) seller: AccountId,
}

impl Ledger {
    pub(crate) async fn open() -> Self {
        let database = Database::create().await;
        let seller = create_account(&database.store).await;
        Self { database, seller }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.database.store
    }

    /// Another process's handle on the same ledger.
    pub(crate) fn handle(&self, connections: u32) -> Store {
        Store::connect(&self.database.url, connections, PATIENCE).unwrap()
    }

    pub(crate) async fn account(&self) -> AccountId {
        create_account(self.store()).await
    }

    /// An endpoint of the account that hears of these.
    pub(crate) async fn endpoint(&self, account: AccountId, hears: &[EventType]) -> EndpointId {
        let endpoint = NewEndpoint {
            id: EndpointId::new(Uuid::now_v7()),
            account,
            url: "https://seller.example/hook".to_owned(),
            event_types: hears.to_vec(),
            secret: vec![9; 32],
            terms: EndpointTerms::default(),
        };
        assert!(self.store().create_endpoint(&endpoint, MOST_ENDPOINTS, NOW).await.unwrap());
        endpoint.id
    }

    /// What becomes of one submission.
    pub(crate) async fn accept(&self, intake: Intake) -> Acceptance {
        self.store().accept(vec![intake]).await.unwrap().remove(0)
    }

    /// A payment that was just accepted.
    pub(crate) async fn payment(&self) -> Payment {
        self.payments(1).await.remove(0)
    }

    /// As many payments that were just accepted.
    pub(crate) async fn payments(&self, count: usize) -> Vec<Payment> {
        let batch = (0..count).map(|_| intake(self.seller, &authorization())).collect();
        let accepted = self.store().accept(batch).await.unwrap();
        accepted.into_iter().map(new).collect()
    }

    /// Applies one event to each of these payments, and gives them as they are then.
    pub(crate) async fn apply(&self, payments: &[Payment], event: Event) -> Vec<Payment> {
        let changes = payments.iter().map(|payment| change(payment, event)).collect();
        let advance = self.store().advance(changes, NOW).await.unwrap();
        all_moved(advance)
    }

    /// As many payments that risk has allowed.
    pub(crate) async fn approved(&self, count: usize) -> Vec<Payment> {
        let accepted = self.payments(count).await;
        self.apply(&accepted, Event::Approved { until: later(600) }).await
    }

    /// The payment as it stands.
    pub(crate) async fn reload(&self, payment: PaymentId) -> Payment {
        self.store().load(&[payment]).await.unwrap().remove(0)
    }

    /// Runs statements that the ledger's functions would not.
    pub(crate) async fn sql(&self, statements: &str) -> Result<(), sqlx::Error> {
        let statements = sqlx::raw_sql(AssertSqlSafe(statements.to_owned()));
        statements.execute(self.store().pool()).await.map(|_| ())
    }

    /// A transaction that has run these statements and not ended: whoever needs what they touched
    /// waits for it.
    pub(crate) async fn hold(&self, statements: &str) -> sqlx::PgTransaction<'static> {
        let mut transaction = self.store().pool().begin().await.unwrap();
        let statements = sqlx::raw_sql(AssertSqlSafe(statements.to_owned()));
        statements.execute(&mut *transaction).await.unwrap();
        transaction
    }

    pub(crate) async fn rows(&self, query: &str) -> Vec<PgRow> {
        let query = sqlx::raw_sql(AssertSqlSafe(query.to_owned()));
        query.fetch_all(self.store().pool()).await.unwrap()
    }

    /// How many rows of this table fulfil this condition.
    pub(crate) async fn count(&self, table: &str, condition: &str) -> i64 {
        let query = format!("select count(*) from {table} where {condition}");
        self.rows(&query).await[0].get(0)
    }

    /// Fails unless each payment's journal tells of every version up to the payment's own, and ends
    /// with its state.
    pub(crate) async fn assert_journal_is_whole(&self) {
        let torn = self
            .count(
                "payments p",
                "(select array_agg(e.version order by e.version) from payment_events e
                  where e.payment_id = p.id)
                     is distinct from (select array_agg(v) from generate_series(1, p.version) v)
                 or p.state is distinct from (select e.state from payment_events e
                  where e.payment_id = p.id order by e.version desc limit 1)",
            )
            .await;
        assert_eq!(torn, 0, "payments whose journal is torn");
    }

    /// How many statements of this ledger wait for a lock.
    pub(crate) async fn waiting(&self) -> i64 {
        let blocked = "datname = current_database() and wait_event_type = 'Lock'";
        self.count("pg_stat_activity", blocked).await
    }

    /// Waits until as many statements of this ledger wait for a lock.
    pub(crate) async fn until_waiting(&self, statements: i64) {
        testkit::eventually(PATIENCE, || async {
            (self.waiting().await >= statements).then_some(())
        })
        .await;
    }
}

async fn create_account(store: &Store) -> AccountId {
    let account = AccountId::new(Uuid::now_v7());
    store.create_account(account, "A seller", NOW).await.unwrap();
    account
}

pub(crate) fn change(payment: &Payment, event: Event) -> Change {
    Change { payment: payment.clone(), event, carrier: None }
}

/// The payment that was new.
pub(crate) fn new(acceptance: Acceptance) -> Payment {
    match acceptance {
        Acceptance::New(payment) => payment,
        other => panic!("a new payment was expected: {other:?}"),
    }
}

/// The payments as they are after changes that all took place.
pub(crate) fn all_moved(advance: Advance) -> Vec<Payment> {
    let moved = |outcome| match outcome {
        Advanced::Moved(payment) => *payment,
        other => panic!("every payment was to move: {other:?}"),
    };
    advance.outcomes.into_iter().map(moved).collect()
}
