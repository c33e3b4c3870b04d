//! Deciding on payments, asking engines about them, and telling those how they ended.

use std::time::Duration;

use domain::risk_engine::{RiskDecision, RiskLevel};
use domain::{Amount, Consulting, EngineAnswer, EngineKind, Event, PaymentId};
use store::{Candidate, DecisionTerms, EngineReply, EngineSaid, EngineTerms, ReceiptNext};

use super::ground::{Process, busy, id};
use crate::ledger::{Ledger, NOW, change, later};

/// Those of the seed that are on their way.
fn waiting(nth: u32) -> PaymentId {
    PaymentId::new(id(5, nth * 101))
}

pub(super) async fn payments_are_decided_on(ledger: &Ledger) {
    let process = Process::start(ledger).await;
    let store = &process.store;
    let ids: Vec<PaymentId> = (200..220).map(waiting).collect();
    let consulting = Consulting { engine: EngineKind::Trustline, session_required: true };
    let engine = Some(EngineTerms { consulting, lease: Duration::from_secs(15) });
    let terms = DecisionTerms { validity: Duration::from_secs(300), engine, now: NOW };
    let decide = async || {
        let loaded = store.load_signed(&ids).await.unwrap();
        let candidates = loaded.into_iter().map(|signed| Candidate {
            payment: signed.payment,
            balance: Amount::from(1_000_000),
            as_of: NOW,
            decide_by: later(3_000),
        });
        store.decide(candidates.collect(), Vec::new(), &terms).await.unwrap()
    };
    decide().await;
    let answer = EngineAnswer {
        decision: RiskDecision::Allow,
        decision_id: "d".to_owned(),
        level: RiskLevel::Low,
        reasons: Vec::new(),
        valid_until: later(300),
    };
    let said = |at: usize| match at % 2 {
        0 => EngineSaid::Answered(answer.clone()),
        _ => EngineSaid::Again { at: later(5), tries: 1, why: "timeout" },
    };
    let reply = |(at, payment): (usize, &PaymentId)| EngineReply {
        payment: *payment,
        engine: EngineKind::Trustline,
        said: said(at),
        request_sha256: None,
        response_sha256: None,
    };
    let replies: Vec<EngineReply> = ids.iter().enumerate().map(reply).collect();
    store.hear_engine(&replies, NOW).await.unwrap();
    let decisions = decide().await;
    assert!(decisions.advance.moved().count() > 0);
    store.risk_contexts(&ids).await.unwrap();
    store.newest_evaluations(&ids).await.unwrap();
    store.evaluations(busy(), ids[1]).await.unwrap();
    store.list_holds(None, 10).await.unwrap();
    let moved: Vec<_> =
        decisions.advance.moved().map(|payment| change(payment, Event::Expired)).collect();
    store.advance(moved, NOW).await.unwrap();
    let due = store.claim_receipts(10, Duration::from_secs(45), later(1)).await.unwrap();
    for due in &due {
        let told = (ReceiptNext::Delivered, "taken");
        store.settle_receipt(due.payment.id, due.attempt, told, later(1)).await.unwrap();
    }
    store.receipt_backlog(1_000).await.unwrap();
    process.assert_walked_through_nothing("deciding on payments").await;
}
