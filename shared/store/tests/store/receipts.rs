//! What engines are told of how payments ended, and what is kept of that.

use std::time::Duration;

use domain::risk_engine::RiskDecision;
use domain::{Event, Payment, PaymentId};
use store::{DueReceipt, EngineSaid};

use crate::consulting::{answer, asked, decide};
use crate::ledger::{Ledger, change, later};
use crate::settling::inclusion;

const LEASE: Duration = Duration::from_secs(45);

impl Ledger {
    /// A payment that the engine has allowed for a minute, as d-allow.
    async fn allowed(&self) -> Payment {
        let payments = self.with_session(1).await;
        decide(self.store(), &payments, later(0)).await;
        let allowance = answer(RiskDecision::Allow, later(61));
        self.hear(payments[0].id, allowance, later(1)).await;
        decide(self.store(), &payments, later(1)).await;
        self.reload(payments[0].id).await
    }

    async fn paid(&self, payment: Payment) {
        let confirmed = self.apply(&[payment], Event::Included(inclusion())).await;
        self.apply(&confirmed, Event::Finalized).await;
    }

    async fn claimed(&self, secs: u64) -> Vec<DueReceipt> {
        self.store().claim_receipts(10, LEASE, later(secs)).await.unwrap()
    }
}

fn told(receipts: &[DueReceipt]) -> Vec<(PaymentId, &str)> {
    receipts.iter().map(|due| (due.payment.id, &*due.decision_id)).collect()
}

#[tokio::test]
async fn a_late_word_about_a_payment_that_is_over_changes_nothing() {
    let ledger = Ledger::open().await;
    let payment = ledger.allowed().await;
    ledger.paid(payment.clone()).await;
    // Somebody has waited for the engine for longer than its answer to somebody else has held.
    let late = EngineSaid::Again { at: later(120), tries: 1, why: "timeout" };
    ledger.hear(payment.id, late, later(100)).await;
    ledger.hear(payment.id, answer(RiskDecision::Deny, later(900)), later(100)).await;
    assert_eq!(told(&ledger.claimed(100).await), [(payment.id, "d-allow")]);
}

#[tokio::test]
async fn a_receipt_of_which_nothing_can_be_told_keeps_no_other_from_being_told() {
    let ledger = Ledger::open().await;
    let (torn, whole) = (ledger.allowed().await, ledger.allowed().await);
    ledger.paid(torn.clone()).await;
    ledger.paid(whole.clone()).await;
    let tear = format!(
        "delete from risk_answers where payment_id = '{0}';
         update risk_evaluations set engine = null where payment_id = '{0}'",
        torn.id.uuid()
    );
    ledger.sql(&tear).await.unwrap();
    assert_eq!(told(&ledger.claimed(100).await), [(whole.id, "d-allow")]);
    let torn = format!("payment_id = '{}' and state = 'given_up'", torn.id.uuid());
    assert_eq!(ledger.count("risk_receipts", &torn).await, 1);
}

#[tokio::test]
async fn an_engine_is_told_how_a_payment_ended_that_it_was_being_asked_about_again() {
    let ledger = Ledger::open().await;
    let approved = ledger.allowed().await;
    let stale = change(&approved, Event::ApprovalExpired);
    ledger.store().advance(vec![stale], later(61)).await.unwrap();
    let again = [ledger.reload(approved.id).await];
    assert_eq!(asked(&decide(ledger.store(), &again, later(61)).await), [approved.id]);
    ledger.apply(&again, Event::Expired).await;
    assert_eq!(told(&ledger.claimed(100).await), [(approved.id, "d-allow")]);
}
