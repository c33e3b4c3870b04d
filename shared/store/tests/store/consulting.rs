//! Asking an engine about payments: who asks, when, and what its answers come to.

use std::time::Duration;

use domain::risk_engine::RiskDecision;
use domain::{
    Amount, Authorization, Consulting, EngineAnswer, EngineKind, Event, OnEngineFailure, Payment,
    PaymentId, Policy, PolicyReason, RiskContext, StateName, Timestamp,
};
use futures::future::join_all;
use store::{
    Candidate, DecisionTerms, Decisions, EngineReply, EngineSaid, EngineTerms, HoldDecision,
    Intake, Lines, Store,
};
use uuid::Uuid;

use crate::deciding::{daily, states};
use crate::due::due_at;
use crate::ledger::{Ledger, NOW, authorization, change, intake, later, new};

/// How long whoever is to ask has for it.
const LEASE: Duration = Duration::from_secs(15);

fn terms(now: Timestamp) -> DecisionTerms {
    let consulting = Consulting { engine: EngineKind::Trustline, session_required: false };
    let engine = Some(EngineTerms { consulting, lease: LEASE });
    DecisionTerms { validity: Duration::from_secs(300), engine, now }
}

pub(crate) async fn decide(store: &Store, payments: &[Payment], now: Timestamp) -> Decisions {
    let candidate = |payment: &Payment| Candidate {
        payment: payment.clone(),
        balance: Amount::from(1_000_000),
        as_of: NOW,
        decide_by: later(3_000),
    };
    let candidates = payments.iter().map(candidate).collect();
    store.decide(candidates, Vec::new(), &terms(now)).await.unwrap()
}

impl Ledger {
    /// Payments that came with a session.
    pub(crate) async fn with_session(&self, count: usize) -> Vec<Payment> {
        let mut payments = Vec::new();
        for _ in 0..count {
            let authorization = Authorization { amount: Amount::from(100), ..authorization() };
            let session = Some(Uuid::new_v4());
            let risk_context = RiskContext { session, ..RiskContext::default() };
            let intake = Intake { risk_context, ..intake(self.seller, &authorization) };
            payments.push(new(self.accept(intake).await));
        }
        payments
    }

    pub(crate) async fn hear(&self, payment: PaymentId, said: EngineSaid, now: Timestamp) {
        self.store().hear_engine(&[reply(payment, said)], now).await.unwrap();
    }

    /// The payment as it is.
    async fn now(&self, payment: &Payment) -> Payment {
        self.store().load(&[payment.id]).await.unwrap().remove(0)
    }
}

fn reply(payment: PaymentId, said: EngineSaid) -> EngineReply {
    let request_sha256 = Some([1; 32]);
    let engine = EngineKind::Trustline;
    EngineReply { payment, engine, said, request_sha256, response_sha256: Some([2; 32]) }
}

pub(crate) fn answer(decision: RiskDecision, valid_until: Timestamp) -> EngineSaid {
    EngineSaid::Answered(EngineAnswer {
        decision,
        decision_id: format!("d-{}", decision.as_str()),
        level: decision.level(),
        reasons: vec!["velocity, of the wallet".to_owned()],
        valid_until,
    })
}

pub(crate) fn asked(decisions: &Decisions) -> Vec<PaymentId> {
    decisions.to_ask.iter().map(|asked| asked.payment.id).collect()
}

#[tokio::test]
async fn of_many_who_look_at_a_payment_one_is_to_ask_about_it() {
    let ledger = Ledger::open().await;
    let payments = ledger.with_session(1).await;
    let store = ledger.handle(10);
    let looks = join_all((0..10).map(|_| decide(&store, &payments, later(1)))).await;
    let told: Vec<PaymentId> = looks.iter().flat_map(asked).collect();
    assert_eq!(told, [payments[0].id]);
    assert!(looks.iter().all(|decisions| states(decisions).is_empty()));
}

#[tokio::test]
async fn whoever_was_to_ask_and_was_killed_is_followed_by_somebody_else() {
    let ledger = Ledger::open().await;
    let payments = ledger.with_session(1).await;
    decide(ledger.store(), &payments, later(0)).await;
    let early = decide(ledger.store(), &payments, later(14)).await;
    assert!(asked(&early).is_empty());
    let due = ledger.store().take_due(10, &Lines::default(), later(14)).await.unwrap();
    assert!(due.is_empty(), "it is looked at before anybody may ask again");
    assert_eq!(ledger.store().take_due(10, &Lines::default(), later(15)).await.unwrap().len(), 1);
    assert_eq!(asked(&decide(ledger.store(), &payments, later(15)).await).len(), 1);
}

#[tokio::test]
async fn what_the_engine_allows_is_approved_for_as_long_as_its_answer_holds() {
    let ledger = Ledger::open().await;
    let payments = ledger.with_session(1).await;
    decide(ledger.store(), &payments, later(0)).await;
    ledger.hear(payments[0].id, answer(RiskDecision::Allow, later(61)), later(1)).await;
    let decisions = decide(ledger.store(), &payments, later(1)).await;
    let approved = decisions.advance.moved().next().unwrap();
    assert_eq!(approved.state, domain::PaymentState::Approved { until: later(61) });

    let evidence = ledger.store().evaluations(ledger.seller, payments[0].id).await.unwrap();
    let evidence = &evidence[0];
    assert_eq!((&*evidence.decision_id, &*evidence.level), ("d-allow", "low"));
    assert_eq!(evidence.valid_until, Some(later(61)));
    let engine = evidence.engine.as_ref().unwrap();
    assert_eq!(engine.reasons, ["velocity, of the wallet"]);
    assert_eq!(engine.request_sha256.as_deref(), Some(&*"01".repeat(32)));
}

#[tokio::test]
async fn an_approval_whose_answer_has_got_old_is_asked_about_again() {
    let ledger = Ledger::open().await;
    let payments = ledger.with_session(1).await;
    decide(ledger.store(), &payments, later(0)).await;
    ledger.hear(payments[0].id, answer(RiskDecision::Allow, later(61)), later(1)).await;
    decide(ledger.store(), &payments, later(1)).await;
    let approved = ledger.now(&payments[0]).await;
    ledger
        .store()
        .advance(vec![change(&approved, Event::ApprovalExpired)], later(61))
        .await
        .unwrap();
    let again = [ledger.now(&payments[0]).await];
    let decisions = decide(ledger.store(), &again, later(61)).await;
    assert_eq!((asked(&decisions).len(), decisions.to_ask[0].tries), (1, 0));
    ledger.hear(payments[0].id, answer(RiskDecision::Deny, later(400)), later(62)).await;
    assert_eq!(states(&decide(ledger.store(), &again, later(62)).await), [StateName::Rejected]);
}

#[tokio::test]
async fn what_the_engine_denies_or_leaves_to_somebody_is_not_approved() {
    let ledger = Ledger::open().await;
    let payments = ledger.with_session(2).await;
    decide(ledger.store(), &payments, later(0)).await;
    ledger.hear(payments[0].id, answer(RiskDecision::Deny, later(300)), later(1)).await;
    ledger.hear(payments[1].id, answer(RiskDecision::Review, later(300)), later(1)).await;
    let decisions = decide(ledger.store(), &payments, later(1)).await;
    assert_eq!(states(&decisions), [StateName::Rejected, StateName::Held]);
    assert_eq!(decisions.reasons[&payments[0].id], PolicyReason::EngineDenied);
    assert_eq!(decisions.reasons[&payments[1].id], PolicyReason::EngineReview);

    // Somebody takes longer than the answer holds.
    let by = ledger.key().await;
    let decision =
        HoldDecision { payment: payments[1].id, approved: true, reason: "known".to_owned(), by };
    ledger.store().decide_hold(&decision, later(900)).await.unwrap();
    let held = [ledger.now(&payments[1]).await];
    assert_eq!(states(&decide(ledger.store(), &held, later(900)).await), [StateName::Approved]);
}

#[tokio::test]
async fn a_decision_that_holds_is_not_replaced_by_one_that_comes_late() {
    let ledger = Ledger::open().await;
    let payments = ledger.with_session(2).await;
    decide(ledger.store(), &payments, later(0)).await;
    ledger.hear(payments[0].id, answer(RiskDecision::Deny, later(300)), later(1)).await;
    ledger.hear(payments[0].id, answer(RiskDecision::Allow, later(300)), later(2)).await;
    let timeout = || EngineSaid::Again { at: later(9), tries: 1, why: "timeout" };
    ledger.hear(payments[0].id, timeout(), later(2)).await;
    // Of two that come at once, the graver counts.
    let second = payments[1].id;
    let both = [
        reply(second, answer(RiskDecision::Allow, later(300))),
        reply(second, answer(RiskDecision::Deny, later(300))),
        reply(second, timeout()),
    ];
    ledger.store().hear_engine(&both, later(2)).await.unwrap();
    let decisions = decide(ledger.store(), &payments, later(3)).await;
    assert_eq!(states(&decisions), [StateName::Rejected, StateName::Rejected]);
}

#[tokio::test]
async fn an_engine_that_has_not_decided_is_asked_again_when_it_is_due_and_not_before() {
    let ledger = Ledger::open().await;
    let payments = ledger.with_session(1).await;
    decide(ledger.store(), &payments, later(0)).await;
    let again = EngineSaid::Again { at: later(7), tries: 1, why: "timeout" };
    ledger.hear(payments[0].id, again, later(1)).await;
    assert!(asked(&decide(ledger.store(), &payments, later(6)).await).is_empty());
    assert!(ledger.store().take_due(10, &Lines::default(), later(6)).await.unwrap().is_empty());
    assert_eq!(ledger.store().take_due(10, &Lines::default(), later(7)).await.unwrap().len(), 1);
    let decisions = decide(ledger.store(), &payments, later(7)).await;
    assert_eq!((asked(&decisions).len(), decisions.to_ask[0].tries), (1, 1));
}

#[tokio::test]
async fn an_engine_that_does_not_decide_leaves_it_to_somebody_or_to_the_policy() {
    for (on_engine_failure, state) in
        [(OnEngineFailure::Hold, StateName::Held), (OnEngineFailure::Reject, StateName::Rejected)]
    {
        let ledger = Ledger::open().await;
        ledger.allow(&Policy { on_engine_failure, ..Policy::default() }).await;
        let payments = ledger.with_session(2).await;
        decide(ledger.store(), &payments, later(0)).await;
        ledger.hear(payments[0].id, EngineSaid::Undecided("unknown_session"), later(1)).await;
        let first = decide(ledger.store(), &payments[..1], later(1)).await;
        assert_eq!(states(&first), [state]);
        assert_eq!(first.reasons[&payments[0].id], PolicyReason::EngineSilent);
        let evidence = ledger.store().evaluations(ledger.seller, payments[0].id).await.unwrap();
        let engine = evidence[0].engine.as_ref().unwrap();
        assert_eq!(engine.no_decision.as_deref(), Some("unknown_session"));

        // Nobody has heard of the other until its time runs short.
        let late = decide(ledger.store(), &payments[1..], later(2_970)).await;
        assert_eq!(states(&late), [state]);
    }
}

#[tokio::test]
async fn a_payment_without_a_session_passes_unless_one_is_demanded() {
    let ledger = Ledger::open().await;
    let payments = ledger.payments_of(1, 100, 2).await;
    let first = decide(ledger.store(), &payments[..1], later(0)).await;
    assert_eq!(states(&first), [StateName::Approved]);
    ledger.allow(&Policy { require_session: true, ..Policy::default() }).await;
    let second = decide(ledger.store(), &payments[1..], later(0)).await;
    assert_eq!(states(&second), [StateName::Rejected]);
    assert_eq!(second.reasons[&payments[1].id], PolicyReason::SessionRequired);
}

#[tokio::test]
async fn what_waits_for_the_engine_takes_up_no_budget_and_is_judged_by_what_is_left_afterwards() {
    let ledger = Ledger::open().await;
    ledger.allow(&daily(300)).await;
    let payments = ledger.with_session(10).await;
    let decisions = decide(ledger.store(), &payments, later(0)).await;
    assert_eq!(asked(&decisions).len(), 10);
    for payment in &payments {
        ledger.hear(payment.id, answer(RiskDecision::Allow, later(300)), later(1)).await;
    }
    let store = ledger.handle(5);
    let decided = join_all(payments.chunks(2).map(|chunk| decide(&store, chunk, later(1)))).await;
    let all: Vec<StateName> = decided.iter().flat_map(states).collect();
    let approved = all.iter().filter(|state| **state == StateName::Approved).count();
    assert_eq!((all.len(), approved), (10, 3));
}

#[tokio::test]
async fn what_speaks_against_a_payment_does_not_get_old_before_it_is_heeded() {
    let ledger = Ledger::open().await;
    let payments = ledger.with_session(2).await;
    decide(ledger.store(), &payments, later(0)).await;
    // For no time at all, as an engine may say that nobody should keep its answer.
    ledger.hear(payments[0].id, answer(RiskDecision::Deny, later(1)), later(1)).await;
    ledger.hear(payments[1].id, answer(RiskDecision::Review, later(1)), later(1)).await;
    // Nor does what comes later take it back.
    ledger.hear(payments[0].id, answer(RiskDecision::Allow, later(300)), later(2)).await;
    let decisions = decide(ledger.store(), &payments, later(2)).await;
    assert_eq!(states(&decisions), [StateName::Rejected, StateName::Held]);
}

#[tokio::test]
async fn a_payment_is_looked_at_before_there_is_no_time_left_for_somebody_to_decide() {
    let ledger = Ledger::open().await;
    let payment = ledger.with_session(1).await.remove(0);
    let decide = async |now| {
        let payment = payment.clone();
        let balance = Amount::from(1_000_000);
        let candidate = Candidate { payment, balance, as_of: NOW, decide_by: later(50) };
        ledger.store().decide(vec![candidate], Vec::new(), &terms(now)).await.unwrap()
    };
    let told = decide(later(15)).await;
    assert_eq!(told.to_ask[0].patience, later(25));
    assert_eq!(due_at(&ledger, payment.id).await, Some(later(25)), "before the lease is over");

    let again = EngineSaid::Again { at: later(60), tries: 1, why: "timeout" };
    ledger.hear(payment.id, again, later(16)).await;
    assert!(states(&decide(later(16)).await).is_empty());

    assert_eq!(due_at(&ledger, payment.id).await, Some(later(25)), "before it is asked again");
    assert_eq!(states(&decide(later(25)).await), [StateName::Held]);
}

#[tokio::test]
async fn somebody_decides_on_what_the_engine_has_been_asked_about_and_not_before() {
    let ledger = Ledger::open().await;
    let mut policy = daily(1_000);
    policy.limits[0].approve_above = Some(Amount::from(50));
    ledger.allow(&policy).await;
    let payments = ledger.with_session(1).await;
    assert_eq!(asked(&decide(ledger.store(), &payments, later(0)).await), [payments[0].id]);
    ledger.hear(payments[0].id, answer(RiskDecision::Review, later(300)), later(1)).await;

    let held = decide(ledger.store(), &payments, later(1)).await;

    assert_eq!(held.reasons[&payments[0].id], PolicyReason::ApprovalRequired);
    let known = ledger.store().newest_evaluations(&[payments[0].id]).await.unwrap();
    let engine = known[&payments[0].id].engine.as_ref().unwrap();
    assert_eq!(engine.decision.as_deref(), Some("review"));
}
