//! Our own risk engine as the worker asks it: over what agents told the ledger.

#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the test")]

use std::time::Duration;

use domain::risk_engine::{RiskDecision, RiskSession};
use domain::{Payment, RiskContext, Timestamp};
use risk::engine::{Case, Engine, NoDecision, Outcome};
use runtime::Clock;
use runtime::config::{Dialect, HttpClientConfig, RiskEngineConfig};
use sha2::{Digest, Sha256};
use store::{NewRiskTrace, RiskSessionRow, Store};
use testkit::{Buyer, Database, Seller};
use uuid::Uuid;

const CONNECTIONS: HttpClientConfig =
    HttpClientConfig { timeout_ms: 10_000, max_idle_per_host: 20, idle_timeout_secs: 30 };

struct World {
    database: Database,
    engine: Engine,
    seller: Seller,
    payment: Payment,
    now: Timestamp,
}

impl World {
    async fn start() -> Self {
        let database = Database::create().await;
        let seller = Seller::create(&database.store).await;
        let payment = seller.accept(&database.store, &Buyer::new().authorize().sign()).await;
        let engine = engine(&database.store);
        let now = Timestamp::from_unix_ms(Clock::system().now_unix_ms());
        Self { database, engine, seller, payment, now }
    }

    /// A session of this seller, for the payer's wallet or another.
    async fn session(&self, seller: &Seller, is_payers: bool) -> Uuid {
        let payer = self.payment.authorization.payer;
        let session = RiskSession {
            id: Uuid::new_v4(),
            wallet: if is_payers { payer } else { Buyer::new().address() },
            agent_did: "did:web:agent".to_owned(),
            expires_at: self.now.plus(Duration::from_secs(900)),
        };
        let (id, created_at) = (session.id, self.now);
        let (agent_endpoint, app_id, device) = (None, None, None);
        let row = RiskSessionRow { session, agent_endpoint, app_id, device, created_at };
        assert!(self.database.store.begin_risk_session(seller.account, &row).await.unwrap());
        id
    }

    async fn trace(&self, session: Uuid, body: &str) -> Uuid {
        let (id, body) = (Uuid::new_v4(), body.as_bytes());
        let sha256 = Sha256::digest(body).into();
        let new = NewRiskTrace { id, session, body, sha256, request_id: None };
        self.database.store.tell_risk_trace(self.seller.account, &new, self.now).await.unwrap();
        id
    }

    async fn ask(&self, session: Option<Uuid>, trace: Option<Uuid>, now: Timestamp) -> Outcome {
        let context = RiskContext { session, trace, ..RiskContext::default() };
        let case = Case {
            payment: &self.payment,
            x402_version: Some(2),
            resource: None,
            context: &context,
        };
        self.engine.ask(&case, 0, now).await.outcome
    }
}

fn engine(store: &Store) -> Engine {
    let config = RiskEngineConfig {
        dialect: Dialect::Local,
        url: None,
        token: String::new().into(),
        timeout_ms: 10_000,
        max_in_flight: 1,
        review_from: 0.8,
        deny_from: 0.9,
        require_session: false,
        receipt_path: String::new(),
        session_ttl_secs: 900,
        models: Vec::new(),
    };
    Engine::from_config(&config, &CONNECTIONS, store).unwrap().unwrap()
}

fn decision(outcome: &Outcome) -> (RiskDecision, &[String]) {
    let Outcome::Decided(answer) = outcome else { panic!("undecided: {outcome:?}") };
    (answer.decision, &answer.reasons)
}

#[tokio::test]
async fn the_sessions_wallet_must_be_the_payer() {
    let world = World::start().await;
    let own = world.session(&world.seller, true).await;
    let outcome = world.ask(Some(own), None, world.now).await;
    assert_eq!(decision(&outcome), (RiskDecision::Allow, &[][..]));
    let other = world.session(&world.seller, false).await;
    let outcome = world.ask(Some(other), None, world.now).await;
    assert_eq!(decision(&outcome), (RiskDecision::Deny, &["wallet_mismatch".to_owned()][..]));
}

#[tokio::test]
async fn a_trace_counts_and_one_of_another_session_is_no_decision() {
    let world = World::start().await;
    let session = world.session(&world.seller, true).await;
    let trace = world.trace(session, "{\"agent_trace\":{\"events\":[]}}").await;
    let outcome = world.ask(Some(session), Some(trace), world.now).await;
    assert_eq!(decision(&outcome), (RiskDecision::Review, &["reasoning_missing".to_owned()][..]));
    let second = world.session(&world.seller, true).await;
    let outcome = world.ask(Some(second), Some(trace), world.now).await;
    assert_eq!(outcome, Outcome::Undecided(NoDecision::ForeignTrace));
}

#[tokio::test]
async fn what_is_not_there_is_no_decision_and_never_an_allowance() {
    let world = World::start().await;
    let session = world.session(&world.seller, true).await;
    let stranger = Seller::create(&world.database.store).await;
    let strangers = world.session(&stranger, true).await;
    let end = world.now.plus(Duration::from_secs(900));
    for (session, trace, now, why) in [
        (None, None, world.now, NoDecision::NoSession),
        (Some(Uuid::new_v4()), None, world.now, NoDecision::UnknownSession),
        (Some(strangers), None, world.now, NoDecision::UnknownSession),
        (Some(session), None, end, NoDecision::UnknownSession),
        (Some(session), Some(Uuid::new_v4()), world.now, NoDecision::UnknownTrace),
    ] {
        assert_eq!(world.ask(session, trace, now).await, Outcome::Undecided(why));
    }
}

#[tokio::test]
async fn a_ledger_that_is_away_is_asked_again() {
    let mut world = World::start().await;
    let session = world.session(&world.seller, true).await;
    let away = Store::connect("postgres://127.0.0.1:1/q", 1, Duration::from_secs(1)).unwrap();
    world.engine = engine(&away);
    let outcome = world.ask(Some(session), None, world.now).await;
    assert!(
        matches!(outcome, Outcome::Again { why: NoDecision::LedgerAway, tries: 1, .. }),
        "{outcome:?}"
    );
}
