//! What becomes of payments about which a risk engine is asked, good and bad.

use std::time::Duration;

use domain::risk_engine::RiskSession;
use domain::{
    Address, FailureCode, Payment, PaymentState, RequestTrace, RiskContext, StateName, Timestamp,
};
use risk::ConsultedEngine;
use runtime::Clock;
use runtime::config::{Dialect, HttpClientConfig, PublicUrl, RiskEngineConfig};
use serde_json::{Value, json};
use store::{Intake, RiskSessionRow};
use testkit::{Answer, Buyer, Receiver};
use uuid::Uuid;

use crate::world::{CONCURRENCY, DEADLINE, World};

/// Where engines take receipts.
pub(crate) const RECEIPTS: &str = "/receipts";

const JSON: &str = "application/json";

/// As long as two tries can be apart.
const NEXT_TRY: Duration = Duration::from_secs(11);

impl World {
    /// Has risk ask this engine.
    pub(crate) fn ask(&mut self, dialect: Dialect, url: &str, timeout_ms: u64) {
        self.consult(dialect, Some(PublicUrl::parse(url).unwrap()), timeout_ms);
    }

    fn consult(&mut self, dialect: Dialect, url: Option<PublicUrl>, timeout_ms: u64) {
        let config = RiskEngineConfig {
            dialect,
            url,
            token: "hunter2".into(),
            timeout_ms,
            max_in_flight: 4,
            review_from: 0.8,
            deny_from: 0.9,
            require_session: false,
            receipt_path: RECEIPTS.to_owned(),
            session_ttl_secs: 900,
            models: Vec::new(),
        };
        let connections =
            HttpClientConfig { timeout_ms: 10_000, max_idle_per_host: 20, idle_timeout_secs: 30 };
        let store = &self.database.store;
        self.engine = ConsultedEngine::from_config(&config, &connections, store).unwrap();
    }

    /// A payment that came with a session and a trace context.
    pub(crate) async fn in_a_session(&self) -> Payment {
        self.in_session(&self.rich_buyer().await, Uuid::new_v4()).await
    }

    async fn in_session(&self, buyer: &Buyer, session: Uuid) -> Payment {
        let signed = buyer.authorize().valid_for(3_000).sign();
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned();
        let risk_context = RiskContext {
            session: Some(session),
            request: Some(RequestTrace { parent, state: None }),
            ..RiskContext::default()
        };
        let intake = Intake { risk_context, ..self.seller.intake(&signed) };
        self.seller.accept_intake(&self.database.store, intake).await
    }

    /// A session with our own engine that this wallet may pay in.
    async fn begin_session(&self, wallet: Address) -> Uuid {
        let created_at = Timestamp::from_unix_ms(self.clock.now_unix_ms());
        let session = RiskSession {
            id: Uuid::new_v4(),
            wallet,
            agent_did: "did:web:agent".to_owned(),
            expires_at: created_at.plus(Duration::from_secs(900)),
        };
        let (id, agent_endpoint, app_id, device) = (session.id, None, None, None);
        let row = RiskSessionRow { session, agent_endpoint, app_id, device, created_at };
        let begun = self.database.store.begin_risk_session(self.seller.account, &row).await;
        assert!(begun.unwrap());
        id
    }

    /// Rings for a payment, and waits until it has been looked at.
    pub(crate) async fn look_at(&self, payment: &Payment) -> PaymentState {
        self.ring(&[payment.id]).await;
        self.quiet().await;
        self.load(payment.id).await.state
    }
}

pub(crate) fn decision(decision: &str) -> Answer {
    with(decision, &json!({}))
}

/// A decision with these members besides.
fn with(decision: &str, members: &Value) -> Answer {
    let mut body = json!({"decision": decision, "decision_id": "d-1", "risk_level": "medium"});
    for (name, value) in members.as_object().unwrap() {
        body[name] = value.clone();
    }
    Answer::Typed(200, JSON, body.to_string())
}

fn scored(score: &str) -> Answer {
    let body = format!(r#"{{"risk_score": {score}, "factors": [], "evidence_id": "e-1"}}"#);
    Answer::Typed(200, JSON, body)
}

#[tokio::test]
async fn a_payment_that_the_engine_allows_is_approved_after_one_question() {
    let mut world = World::start().await;
    let engine = Receiver::start().await;
    engine.answer(with("allow", &json!({"ttl_seconds": 60, "reasons": ["old customer"]})));
    world.ask(Dialect::Trustline, &engine.url_of(""), 5_000);
    let payment = world.in_a_session().await;
    let _risk = world.judge();
    world.ring(&[payment.id]).await;

    let approved = world.wait_for(StateName::Approved, payment.id).await;

    let PaymentState::Approved { until } = approved.state else { panic!("{approved:?}") };
    assert!(until <= approved.updated_at.plus(Duration::from_secs(60)), "it outlives the answer");
    let asked = engine.requests();
    assert_eq!((asked.len(), &*asked[0].target), (1, "/risk/evaluate"));
    assert_eq!(asked[0].header("authorization"), "Bearer hunter2");
    assert_eq!(asked[0].json()["payment"]["extra"]["payment_id"], json!(payment.id));
    let evidence = world.evidence(&payment).await;
    assert_eq!((&*evidence[0].decision_id, &*evidence[0].level), ("d-1", "medium"));
    assert_eq!(evidence[0].engine.as_ref().unwrap().reasons, ["old customer"]);
}

#[tokio::test]
async fn what_the_engine_denies_is_rejected_and_what_it_leaves_open_is_held() {
    let mut world = World::start().await;
    let engine = Receiver::start().await;
    world.ask(Dialect::Trustline, &engine.url_of(""), 5_000);
    let (denied, held) = (world.in_a_session().await, world.in_a_session().await);
    let _risk = world.judge();
    // Of which nobody is to keep a copy; it counts all the same.
    engine.answer(with("deny", &json!({"ttl_seconds": 0})));
    let rejected = world.wait_for(StateName::Rejected, denied.id).await;
    assert_eq!(rejected.state, PaymentState::Rejected(FailureCode::Denied));
    engine.answer(with("review", &json!({"ttl_seconds": 0})));
    world.wait_for(StateName::Held, held.id).await;
    assert_eq!(world.evidence(&denied).await[0].reasons, ["RISK_DENIED"]);
    assert_eq!(world.evidence(&held).await[0].reasons, ["RISK_REVIEW"]);
}

#[tokio::test]
async fn whatever_else_an_engine_answers_approves_nothing() {
    let elsewhere = json!({"extra": {"payment_id": "pay_00000000000000000000000001"}});
    let faults = [
        (Dialect::Trustline, Answer::Hang),
        (Dialect::Trustline, Answer::Drip),
        (Dialect::Trustline, Answer::Endless),
        (Dialect::Trustline, Answer::CutOff),
        (Dialect::Trustline, Answer::status(500)),
        (Dialect::Trustline, Answer::Redirect("http://127.0.0.1:1/".to_owned())),
        (Dialect::Trustline, Answer::Typed(200, JSON, "rubbish".to_owned())),
        (Dialect::Trustline, Answer::Typed(200, "text/html", "<p>allow".to_owned())),
        (Dialect::Trustline, with("allow", &json!({"decision_id": null}))),
        (Dialect::Trustline, with("allow", &json!({"ttl_seconds": 0}))),
        (Dialect::Trustline, with("allow", &elsewhere)),
        (Dialect::Score, scored("NaN")),
        (Dialect::Score, scored("null")),
        (Dialect::Score, scored("-0.5")),
        (Dialect::Score, scored("\"0.1\"")),
        (Dialect::Score, scored("1.5")),
    ];
    let mut world = World::start().await;
    let (clock, hand) = Clock::manual(Clock::system().now_unix_ms());
    world.clock = clock;
    for (dialect, fault) in faults {
        let engine = Receiver::start().await;
        engine.answer(fault.clone());
        world.ask(dialect, &engine.url_of(""), 200);
        let payment = world.in_a_session().await;
        let _risk = world.judge();
        for tries in 1..=2 {
            let state = world.look_at(&payment).await;
            assert_eq!(state, PaymentState::Accepted, "after {tries}: {fault:?}");
            // Nobody asks before it is time.
            assert_eq!(world.look_at(&payment).await, PaymentState::Accepted);
            assert_eq!(engine.requests().len(), tries, "{fault:?}");
            hand.advance(NEXT_TRY);
        }
        let state = world.look_at(&payment).await;
        assert_eq!(state.name(), StateName::Held, "{fault:?}");
        let evidence = world.evidence(&payment).await;
        assert_eq!(evidence.len(), 1, "{fault:?}");
        assert_eq!(evidence[0].reasons, ["RISK_ENGINE_UNAVAILABLE"], "{fault:?}");
    }
}

#[tokio::test]
async fn an_engine_that_is_back_is_asked_about_everything_that_waited() {
    let mut world = World::start().await;
    let (clock, hand) = Clock::manual(Clock::system().now_unix_ms());
    world.clock = clock;
    let engine = Receiver::start().await;
    engine.answer(Answer::status(503));
    world.ask(Dialect::Trustline, &engine.url_of(""), 5_000);
    let payment = world.in_a_session().await;
    let _risk = world.judge();
    assert_eq!(world.look_at(&payment).await, PaymentState::Accepted);

    engine.answer(decision("allow"));
    hand.advance(NEXT_TRY);

    assert_eq!(world.look_at(&payment).await.name(), StateName::Approved);
}

#[tokio::test]
async fn nobody_waits_behind_those_who_wait_for_an_engine_that_hangs() {
    let mut world = World::start().await;
    let engine = Receiver::start().await;
    engine.answer(Answer::Hang);
    world.ask(Dialect::Trustline, &engine.url_of(""), 300_000);
    let buyer = world.rich_buyer().await;
    // More than can be in work at once.
    let mut waiting = Vec::new();
    for _ in 0..CONCURRENCY + 20 {
        waiting.push(world.in_session(&buyer, Uuid::new_v4()).await.id);
    }
    let _risk = world.judge();
    world.ring(&waiting).await;
    engine.wait_for(1, DEADLINE).await;

    let other = world.accepted(&world.rich_buyer().await.authorize().sign()).await;

    world.ring(&[other.id]).await;
    world.comes_to(StateName::Approved, other.id).await;
    for payment in waiting {
        assert_eq!(world.load(payment).await.state, PaymentState::Accepted);
    }
}

#[tokio::test]
async fn several_risk_processes_ask_once_about_a_payment() {
    let mut world = World::start().await;
    let engine = Receiver::start().await;
    engine.answer(decision("allow"));
    world.ask(Dialect::Trustline, &engine.url_of(""), 5_000);
    let payment = world.in_a_session().await;
    let _risks = [world.judge(), world.judge(), world.judge()];
    world.ring(&[payment.id; 9]).await;

    world.wait_for(StateName::Approved, payment.id).await;

    world.quiet().await;
    assert_eq!(engine.requests().len(), 1);
}

#[tokio::test]
async fn our_own_engine_decides_by_the_sessions_that_agents_began() {
    let mut world = World::start().await;
    world.consult(Dialect::Local, None, 5_000);
    let (buyer, other) = (world.rich_buyer().await, world.rich_buyer().await);
    let session = world.begin_session(buyer.address()).await;
    let known = world.in_session(&buyer, session).await;
    let foreign = world.in_session(&other, session).await;
    let stranger = world.in_a_session().await;
    let _risk = world.judge();

    world.wait_for(StateName::Approved, known.id).await;
    // Another wallet pays than the session is for.
    world.wait_for(StateName::Rejected, foreign.id).await;
    // Nobody has begun such a session.
    world.wait_for(StateName::Held, stranger.id).await;
}
