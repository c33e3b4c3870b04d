//! A remote risk engine, good and bad, over HTTP.

#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the test")]

use std::time::Duration;

use domain::risk_engine::RiskDecision;
use domain::{
    AccountId, Address, Amount, Authorization, B256, ChainId, Finality, Payment, PaymentId,
    PaymentState, RequestTrace, RiskContext, Timestamp, TransferMethod,
};
use risk::engine::{Asked, Case, Engine, NoDecision, Outcome};
use runtime::config::{Dialect, HttpClientConfig, PublicUrl, RiskEngineConfig};
use serde_json::json;
use store::Store;
use testkit::{Answer, Receiver};
use uuid::Uuid;

const NOW: Timestamp = Timestamp::from_unix_ms(1_000_000);
const JSON: &str = "application/json";

const CONNECTIONS: HttpClientConfig =
    HttpClientConfig { timeout_ms: 10_000, max_idle_per_host: 20, idle_timeout_secs: 30 };

fn engine(url: &str, timeout_ms: u64) -> Engine {
    let config = RiskEngineConfig {
        dialect: Dialect::Trustline,
        url: Some(PublicUrl::parse(url).unwrap()),
        token: "hunter2".into(),
        timeout_ms,
        max_in_flight: 2,
        review_from: 0.8,
        deny_from: 0.9,
        require_session: false,
        receipt_path: String::new(),
        session_ttl_secs: 900,
        models: Vec::new(),
    };
    // A remote engine never asks the ledger.
    let nowhere = Store::connect("postgres://127.0.0.1:1/q", 1, Duration::from_secs(1)).unwrap();
    Engine::from_config(&config, &CONNECTIONS, &nowhere).unwrap().unwrap()
}

/// An engine that answers like this, and a client of it that waits a minute.
async fn answering(answer: Answer) -> (Receiver, Engine) {
    let receiver = Receiver::start().await;
    receiver.answer(answer);
    let engine = engine(&receiver.url_of("/api/"), 60_000);
    (receiver, engine)
}

fn payment() -> Payment {
    Payment {
        id: PaymentId::new(Uuid::from_u128(1)),
        account: AccountId::new(Uuid::from_u128(2)),
        authorization: Authorization {
            method: TransferMethod::Eip3009,
            chain: ChainId::new(84_532).unwrap(),
            asset: Address::repeat_byte(1),
            payer: Address::repeat_byte(2),
            pay_to: Address::repeat_byte(3),
            amount: Amount::from(10_000),
            valid_after: 0,
            valid_before: 6_000,
            nonce: B256::repeat_byte(4),
        },
        finality: Finality::Confirmed,
        reference: None,
        metadata: None,
        request_id: "req_1".to_owned(),
        created_at: NOW,
        updated_at: NOW,
        version: 1,
        state: PaymentState::Accepted,
    }
}

async fn ask(engine: &Engine, tries: u32) -> Asked {
    let payment = payment();
    let context = RiskContext {
        session: Some(Uuid::from_u128(5)),
        request: Some(RequestTrace { parent: "00-a-b-01".to_owned(), state: None }),
        ..RiskContext::default()
    };
    let case = Case { payment: &payment, x402_version: Some(2), resource: None, context: &context };
    engine.ask(&case, tries, NOW).await
}

/// Why a first try gave no decision.
async fn failure(engine: &Engine) -> NoDecision {
    match ask(engine, 0).await.outcome {
        Outcome::Again { why, .. } | Outcome::Undecided(why) => why,
        Outcome::Decided(answer) => panic!("it decided: {answer:?}"),
    }
}

fn good() -> Answer {
    let body = json!({"decision": "allow", "decision_id": "d-1"}).to_string();
    Answer::Typed(200, "application/json; charset=utf-8", body)
}

#[tokio::test]
async fn a_decision_comes_with_the_hashes_of_what_was_said() {
    let (receiver, engine) = answering(good()).await;
    let asked = ask(&engine, 0).await;
    let Outcome::Decided(answer) = &asked.outcome else { panic!("{asked:?}") };
    assert_eq!((answer.decision, answer.decision_id.as_str()), (RiskDecision::Allow, "d-1"));
    assert!(asked.request_sha256.is_some() && asked.response_sha256.is_some());
    let request = receiver.requests().remove(0);
    assert_eq!(request.target, "/api/risk/evaluate");
    assert_eq!(request.header("authorization"), "Bearer hunter2");
    assert_eq!(request.header("content-type"), JSON);
}

#[tokio::test]
async fn review_is_not_passed_on_as_an_allowance() {
    let body = json!({"decision": "review", "decision_id": "d-1"}).to_string();
    let (_receiver, engine) = answering(Answer::Typed(200, JSON, body)).await;
    let Outcome::Decided(answer) = ask(&engine, 0).await.outcome else { panic!("undecided") };
    assert_eq!(answer.decision, RiskDecision::Review);
}

#[tokio::test]
async fn anything_but_a_well_formed_answer_is_no_decision() {
    let allow = || json!({"decision": "allow", "decision_id": "d-1"}).to_string();
    let padded = |length: usize| {
        let mut body = allow();
        body.push_str(&" ".repeat(length - body.len()));
        body
    };
    for (answer, expected) in [
        (Answer::Typed(201, JSON, allow()), NoDecision::Status(201)),
        (Answer::Typed(404, JSON, allow()), NoDecision::Status(404)),
        (Answer::Typed(500, JSON, allow()), NoDecision::Status(500)),
        (Answer::Typed(200, "text/html", allow()), NoDecision::NotJson),
        (Answer::Typed(200, "application/jsonp", allow()), NoDecision::NotJson),
        (Answer::Status(200, allow()), NoDecision::NotJson),
        (Answer::Typed(200, JSON, "{}".to_owned()), NoDecision::Unreadable),
        (Answer::Typed(200, JSON, padded(64 * 1024 + 1)), NoDecision::TooLarge),
        (Answer::Redirect("http://127.0.0.1:1/".to_owned()), NoDecision::Redirect),
    ] {
        let (receiver, engine) = answering(answer.clone()).await;
        assert_eq!(failure(&engine).await, expected, "{answer:.60?}");
        assert_eq!(receiver.requests().len(), 1, "it was asked twice: {answer:.60?}");
    }
    let (_receiver, engine) = answering(Answer::Typed(200, JSON, padded(64 * 1024))).await;
    assert!(matches!(ask(&engine, 0).await.outcome, Outcome::Decided(_)));
}

#[tokio::test]
async fn an_engine_that_is_away_or_does_not_end_is_no_decision() {
    let away = engine("http://127.0.0.1:1", 60_000);
    assert_eq!(failure(&away).await, NoDecision::Unreachable);
    for hanging in [Answer::Hang, Answer::Slow(Duration::from_secs(60))] {
        let receiver = Receiver::start().await;
        receiver.answer(hanging);
        assert_eq!(failure(&engine(&receiver.url(), 50)).await, NoDecision::Timeout);
    }
}

#[tokio::test]
async fn a_failure_says_when_to_ask_again_and_the_third_ends_it() {
    let (receiver, engine) = answering(Answer::status(503)).await;
    for tries in [0, 1] {
        let Outcome::Again { at, tries: next, .. } = ask(&engine, tries).await.outcome else {
            panic!("it is over after {tries}")
        };
        assert_eq!(next, tries + 1);
        assert!((4_000..=10_000).contains(&at.since(NOW).as_millis()));
    }
    let last = ask(&engine, 2).await.outcome;
    assert_eq!(last, Outcome::Undecided(NoDecision::Status(503)));
    assert_eq!(receiver.requests().len(), 3);
}

#[tokio::test]
async fn an_engine_that_fails_three_times_is_left_alone() {
    let (receiver, engine) = answering(Answer::status(500)).await;
    for _ in 0..3 {
        ask(&engine, 0).await;
    }
    receiver.answer(good());
    let asked = ask(&engine, 1).await;
    assert!(
        matches!(asked.outcome, Outcome::Again { why: NoDecision::BreakerOpen, tries: 1, .. }),
        "{asked:?}"
    );
    assert_eq!(receiver.requests().len(), 3);
}

#[tokio::test]
async fn a_question_that_has_no_turn_while_its_lease_lasts_is_put_off() {
    let (receiver, engine) = answering(Answer::Hang).await;
    let under_way = async { tokio::join!(ask(&engine, 0), ask(&engine, 0)) };
    let third = async {
        receiver.wait_for(2, Duration::from_secs(30)).await;
        ask(&engine, 1).await
    };
    let asked = tokio::select! {
        asked = third => asked,
        _ = under_way => panic!("an engine that hangs has answered"),
    };
    assert!(
        matches!(asked.outcome, Outcome::Again { why: NoDecision::Busy, tries: 1, .. }),
        "{asked:?}"
    );
    assert_eq!(receiver.requests().len(), 2);
}

#[tokio::test]
async fn what_an_engine_refuses_in_a_question_does_not_count_against_it() {
    let (receiver, engine) = answering(Answer::status(404)).await;
    for _ in 0..4 {
        let outcome = ask(&engine, 0).await.outcome;
        assert_eq!(outcome, Outcome::Undecided(NoDecision::Status(404)));
    }
    receiver.answer(good());
    assert!(matches!(ask(&engine, 0).await.outcome, Outcome::Decided(_)));
}

#[tokio::test]
async fn nothing_that_is_shown_of_an_engine_holds_its_token() {
    let (_receiver, engine) = answering(good()).await;
    assert!(!format!("{engine:?}").contains("hunter2"));
}

#[tokio::test]
async fn no_answer_is_kept_for_the_next_question() {
    let (receiver, engine) = answering(good()).await;
    assert!(matches!(ask(&engine, 0).await.outcome, Outcome::Decided(_)));
    let body = json!({"decision": "deny", "decision_id": "d-2"}).to_string();
    receiver.answer(Answer::Typed(200, JSON, body));
    let Outcome::Decided(answer) = ask(&engine, 0).await.outcome else { panic!("undecided") };
    assert_eq!(answer.decision, RiskDecision::Deny);
}

#[tokio::test]
async fn every_outcome_can_be_watched_from_the_start() {
    let metrics = runtime::metrics::install().unwrap();
    risk::begin_metrics();
    let _engine = engine("http://127.0.0.1:1", 1_000);
    let shown = metrics.render();
    for (decision, reason) in [
        ("approved", "none"),
        ("confirmed", "none"),
        ("expired", "none"),
        ("held", "APPROVAL_REQUIRED"),
        ("held", "RISK_REVIEW"),
        ("held", "RISK_ENGINE_UNAVAILABLE"),
        ("rejected", "RISK_DENIED"),
    ] {
        let line = format!("risk_decisions_total{{decision=\"{decision}\",reason=\"{reason}\"}} ");
        assert!(shown.contains(&line), "{line} in {shown}");
    }
    let decisions = ["allow", "review", "deny"].into_iter();
    for outcome in decisions.chain(NoDecision::ALL) {
        let line = format!("risk_engine_requests_total{{outcome=\"{outcome}\"}} ");
        assert!(shown.contains(&line), "{line} in {shown}");
    }
    assert!(shown.contains("breaker_state{dependency=\"risk_engine\"} "), "{shown}");
}
