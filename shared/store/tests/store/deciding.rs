//! Deciding on payments: what payers have, what tenants allow, and what happens at the same instant.

use std::collections::HashMap;
use std::time::Duration;

use domain::{
    Amount, ApiKeyId, Authorization, Denial, Event, Payment, PaymentState, Per, Policy,
    PolicyReason, StateName, Timestamp, TokenLimit,
};
use futures::future::join_all;
use store::{
    Advanced, Candidate, DecisionTerms, Decisions, HoldDecision, HoldOutcome, NewPolicy,
    PauseScope, Written,
};
use uuid::Uuid;

use crate::ledger::{Ledger, NOW, authorization, change, intake, later, new};
use crate::settling::inclusion;

/// How decisions are made where there is no engine.
pub(crate) fn terms(now: Timestamp) -> DecisionTerms {
    DecisionTerms { validity: Duration::from_secs(300), engine: None, now }
}

impl Ledger {
    /// Payments of one payer, each of this amount.
    pub(crate) async fn payments_of(&self, payer: u8, amount: u64, count: usize) -> Vec<Payment> {
        let mut payments = Vec::new();
        for _ in 0..count {
            let authorization = Authorization {
                payer: domain::Address::repeat_byte(payer),
                amount: Amount::from(amount),
                ..authorization()
            };
            payments.push(new(self.accept(intake(self.seller, &authorization)).await));
        }
        payments
    }

    pub(crate) async fn key(&self) -> ApiKeyId {
        let id = Uuid::now_v7();
        let sql = format!(
            "insert into api_keys (id, account_id, token_sha256, last_four, scopes, created_at)
             values ('{id}', '{}', sha256('{id}'), 'abcd', array['risk'], now())",
            self.seller.uuid()
        );
        self.sql(&sql).await.unwrap();
        ApiKeyId::new(id)
    }

    pub(crate) async fn allow(&self, policy: &Policy) {
        let key = self.key().await;
        let new = NewPolicy { account: self.seller, policy, seen: None, by: key };
        let written = self.store().write_policy(new, NOW).await;
        assert!(matches!(written.unwrap(), Written::Version(_)));
    }

    pub(crate) async fn decide(&self, payments: &[Payment], balance: u64) -> Decisions {
        let candidate = |payment: &Payment| Candidate {
            payment: payment.clone(),
            balance: Amount::from(balance),
            as_of: NOW,
            decide_by: later(240),
        };
        let candidates = payments.iter().map(candidate).collect();
        self.store().decide(candidates, Vec::new(), &terms(later(1))).await.unwrap()
    }
}

pub(crate) fn states(decisions: &Decisions) -> Vec<StateName> {
    decisions.advance.moved().map(|payment| payment.state.name()).collect()
}

/// A bound on the amounts of the tests' token.
pub(crate) fn daily(limit: u64) -> Policy {
    let authorization = authorization();
    let limit = TokenLimit {
        network: authorization.chain,
        asset: authorization.asset,
        per: Per::Account,
        max_per_payment: None,
        daily: Some(Amount::from(limit)),
        monthly: None,
        approve_above: None,
    };
    Policy { limits: vec![limit], ..Policy::default() }
}

#[tokio::test]
async fn a_payment_that_fits_is_approved_and_why_is_written_down() {
    let ledger = Ledger::open().await;
    let payments = ledger.payments_of(1, 60, 1).await;
    let decisions = ledger.decide(&payments, 100).await;
    assert_eq!(states(&decisions), [StateName::Approved]);
    let evaluations = ledger.store().evaluations(ledger.seller, payments[0].id).await.unwrap();
    assert_eq!((evaluations.len(), evaluations[0].decision.as_str()), (1, "allow"));
    assert_eq!(evaluations[0].balance, Amount::from(100));
    let stranger = ledger.account().await;
    assert!(ledger.store().evaluations(stranger, payments[0].id).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_other_open_payments_want_is_not_promised_twice() {
    let ledger = Ledger::open().await;
    let payments = ledger.payments_of(1, 60, 2).await;
    ledger.decide(&payments[..1], 100).await;
    let decisions = ledger.decide(&payments[1..], 100).await;
    assert_eq!((states(&decisions).len(), decisions.waiting), (0, 1));

    let first = ledger.reload(payments[0].id).await;
    let cancel = vec![change(&first, Event::Canceled)];
    ledger.store().advance(cancel, later(2)).await.unwrap();

    assert_eq!(states(&ledger.decide(&payments[1..], 100).await), [StateName::Approved]);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_same_instant_two_processes_do_not_approve_what_does_not_fit_together() {
    let ledger = Ledger::open().await;
    let payments = ledger.payments_of(1, 60, 8).await;
    let decided = join_all(payments.chunks(1).map(|payment| ledger.decide(payment, 100))).await;
    assert_eq!(decided.iter().map(|decisions| states(decisions).len()).sum::<usize>(), 1);
}

#[tokio::test]
async fn what_another_process_has_approved_meanwhile_counts_for_the_rest_of_the_batch() {
    let ledger = Ledger::open().await;
    let payments = ledger.payments_of(1, 60, 2).await;
    assert_eq!(states(&ledger.decide(&payments[..1], 100).await), [StateName::Approved]);
    // The first is in this batch too, as it was loaded before.
    let decisions = ledger.decide(&payments, 100).await;
    assert_eq!((states(&decisions).len(), decisions.waiting), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_hundred_payments_at_once_a_budget_for_ten_approves_ten() {
    let ledger = Ledger::open().await;
    ledger.allow(&daily(1_000)).await;
    let mut payments = Vec::new();
    for payer in 1..=20 {
        payments.extend(ledger.payments_of(payer, 100, 10).await);
    }
    let store = ledger.handle(10);
    let decide = |chunk: &[Payment]| {
        let candidates: Vec<Candidate> = chunk
            .iter()
            .map(|payment| Candidate {
                payment: payment.clone(),
                balance: Amount::from(1_000_000),
                as_of: NOW,
                decide_by: later(240),
            })
            .collect();
        let store = store.clone();
        async move { store.decide(candidates, Vec::new(), &terms(later(1))).await.unwrap() }
    };
    let decided = join_all(payments.chunks(7).map(decide)).await;
    let all: Vec<StateName> = decided.iter().flat_map(states).collect();
    let approved = all.iter().filter(|state| **state == StateName::Approved).count();
    assert_eq!((all.len(), approved), (200, 10));
    let reasons: Vec<_> = decided.iter().flat_map(|decisions| decisions.reasons.values()).collect();
    assert_eq!(reasons.len(), 190);
    assert!(reasons.iter().all(|reason| **reason == PolicyReason::DailyBudgetExceeded));
}

#[tokio::test]
async fn what_is_paid_stays_spent_and_what_fails_is_given_back() {
    let ledger = Ledger::open().await;
    ledger.allow(&daily(100)).await;
    let payments = ledger.payments_of(1, 100, 4).await;
    ledger.decide(&payments[..1], 1_000).await;
    let first = ledger.reload(payments[0].id).await;
    ledger.store().advance(vec![change(&first, Event::Canceled)], later(2)).await.unwrap();

    assert_eq!(states(&ledger.decide(&payments[1..2], 1_000).await), [StateName::Approved]);
    let second = ledger.reload(payments[1].id).await;
    let paid = ledger.apply(&[second], Event::Included(inclusion())).await;
    ledger.apply(&paid, Event::Finalized).await;
    let third = ledger.decide(&payments[2..3], 1_000).await;

    assert_eq!(states(&third), [StateName::Rejected]);
    assert_eq!(ledger.count("budgets", "reserved = 100 and spent = 0").await, 1);
    assert_eq!(ledger.count("budget_takes", "true").await, 0);
    assert_eq!(ledger.count("open_approvals", "left_at is null").await, 0);
    assert_eq!(ledger.store().sweep_approvals(10, later(600)).await.unwrap(), 1);
}

#[tokio::test]
async fn what_a_block_holds_counts_against_a_balance_of_before_and_not_of_after() {
    let ledger = Ledger::open().await;
    let payments = ledger.payments_of(1, 60, 2).await;
    ledger.decide(&payments[..1], 100).await;
    let first = ledger.reload(payments[0].id).await;
    let included = change(&first, Event::Included(inclusion()));
    ledger.store().advance(vec![included], later(60)).await.unwrap();
    let as_of = async |secs| {
        let payment = payments[1].clone();
        let balance = Amount::from(100);
        let candidate = Candidate { payment, balance, as_of: later(secs), decide_by: later(240) };
        ledger.store().decide(vec![candidate], Vec::new(), &terms(later(61))).await.unwrap()
    };
    assert_eq!(as_of(59).await.waiting, 1, "that balance may not show the payment yet");

    assert_eq!(states(&as_of(90).await), [StateName::Approved]);
}

#[tokio::test]
async fn what_waits_for_money_that_a_block_has_taken_is_looked_at_when_that_shows() {
    let ledger = Ledger::open().await;
    let payments = ledger.payments_of(1, 60, 2).await;
    ledger.decide(&payments[..1], 120).await;
    let first = ledger.reload(payments[0].id).await;
    let included = change(&first, Event::Included(inclusion()));
    ledger.store().advance(vec![included], later(2)).await.unwrap();
    // Bells in vain put it off further and further.
    let late = format!(
        "update payments set due_at = '{}' where id = '{}'",
        later(100),
        payments[1].id.uuid()
    );
    ledger.sql(&late).await.unwrap();

    assert_eq!(ledger.decide(&payments[1..], 60).await.waiting, 1);

    assert_eq!(ledger.count("payments", &format!("due_at = '{}'", later(15))).await, 1);
}

#[tokio::test]
async fn a_payment_that_left_its_block_wants_its_money_again_however_long_it_was_there() {
    for is_swept in [false, true] {
        let ledger = Ledger::open().await;
        let payments = ledger.payments_of(1, 60, 1).await;
        ledger.decide(&payments, 100).await;
        let approved = [ledger.reload(payments[0].id).await];
        let lane = ledger.lane().await;
        let (_, submitted) = ledger.carried(&lane, 0, &approved).await;
        let confirmed = ledger.apply(&submitted, Event::Included(inclusion())).await;
        if is_swept {
            assert_eq!(ledger.store().sweep_approvals(10, later(3_600)).await.unwrap(), 1);
        }
        ledger.apply(&confirmed, Event::Reorged).await;
        let other = ledger.payments_of(1, 60, 1).await;
        let decisions = ledger.decide(&other, 100).await;
        assert_eq!((states(&decisions).len(), decisions.waiting), (0, 1), "{is_swept}");
    }
}

#[tokio::test]
async fn a_payment_that_is_decided_on_again_takes_its_budget_up_once() {
    let ledger = Ledger::open().await;
    ledger.allow(&daily(100)).await;
    let payments = ledger.payments_of(1, 100, 1).await;
    ledger.decide(&payments, 1_000).await;
    let approved = ledger.reload(payments[0].id).await;
    let again = ledger.apply(&[approved], Event::ApprovalExpired).await;
    assert_eq!(ledger.count("open_approvals", "true").await, 0);
    assert_eq!(states(&ledger.decide(&again, 1_000).await), [StateName::Approved]);
    assert_eq!(ledger.count("budgets", "reserved = 100 and spent = 0").await, 1);
}

#[tokio::test]
async fn a_payment_that_moved_meanwhile_is_not_decided_on() {
    let ledger = Ledger::open().await;
    let payments = ledger.payments_of(1, 60, 1).await;
    ledger.store().advance(vec![change(&payments[0], Event::Canceled)], later(1)).await.unwrap();
    let decisions = ledger.decide(&payments, 100).await;
    assert!(decisions.advance.outcomes.iter().all(|one| !matches!(one, Advanced::Moved(_))));
    assert_eq!(ledger.count("risk_evaluations", "true").await, 0);
    assert_eq!(ledger.count("open_approvals", "true").await, 0);
}

#[tokio::test]
async fn what_somebody_has_to_decide_on_waits_for_them_and_the_first_decision_counts() {
    let ledger = Ledger::open().await;
    let mut policy = daily(1_000);
    policy.limits[0].approve_above = Some(Amount::from(50));
    ledger.allow(&policy).await;
    let payments = ledger.payments_of(1, 60, 2).await;
    let decisions = ledger.decide(&payments, 1_000).await;
    assert_eq!(states(&decisions), [StateName::Held, StateName::Held]);
    assert_eq!(ledger.store().list_holds(None, 10).await.unwrap().len(), 2);

    let by = ledger.key().await;
    let decide = async |at: usize, approved: bool| {
        let reason = "they are known".to_owned();
        let decision = HoldDecision { payment: payments[at].id, approved, reason, by };
        ledger.store().decide_hold(&decision, later(2)).await.unwrap()
    };
    assert_eq!(decide(0, true).await, HoldOutcome::Recorded);
    assert_eq!(decide(0, false).await, HoldOutcome::Decided(true));
    assert_eq!(decide(1, false).await, HoldOutcome::Recorded);

    let held = [ledger.reload(payments[0].id).await, ledger.reload(payments[1].id).await];
    let decided = ledger.decide(&held, 1_000).await;
    let by_id: HashMap<_, _> =
        decided.advance.moved().map(|payment| (payment.id, payment.state.name())).collect();
    assert_eq!(by_id[&payments[0].id], StateName::Approved);
    assert_eq!(by_id[&payments[1].id], StateName::Rejected);
    assert_eq!(decide(0, true).await, HoldOutcome::NotHeld);
}

#[tokio::test]
async fn nobody_decides_on_a_hold_that_is_over() {
    let ledger = Ledger::open().await;
    let held = ledger.apply(&ledger.payments(1).await, Event::Held { until: later(60) }).await;
    let (payment, by) = (held[0].id, ledger.key().await);
    let decision =
        HoldDecision { payment, approved: true, reason: "they are known".to_owned(), by };
    // Nobody has looked at it since, and it is held still.
    let late = ledger.store().decide_hold(&decision, later(60)).await.unwrap();
    assert_eq!(late, HoldOutcome::NotHeld);
    let in_time = ledger.store().decide_hold(&decision, later(59)).await.unwrap();
    assert_eq!(in_time, HoldOutcome::Recorded);
    let repeated = ledger.store().decide_hold(&decision, later(61)).await.unwrap();
    assert_eq!(repeated, HoldOutcome::Decided(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_written_at_the_same_instant_are_versions_of_which_one_counts() {
    let ledger = Ledger::open().await;
    let key = ledger.key().await;
    let store = ledger.store();
    let seller = ledger.seller;
    let write = |limit| async move {
        let policy = daily(limit);
        let new = NewPolicy { account: seller, policy: &policy, seen: Some(0), by: key };
        store.write_policy(new, NOW).await.unwrap()
    };
    let written = join_all([write(1), write(2), write(3)]).await;
    let first = written.iter().filter(|written| **written == Written::Version(1)).count();
    let late = written.iter().filter(|written| **written == Written::Overtaken(1)).count();
    assert_eq!((first, late), (1, 2));
    assert_eq!(store.policy(ledger.seller, None).await.unwrap().unwrap().version, 1);
    assert_eq!(store.policy(ledger.account().await, None).await.unwrap(), None);
}

#[tokio::test]
async fn what_was_taken_up_before_there_was_one_row_for_it_is_given_back_as_well() {
    let ledger = Ledger::open().await;
    ledger.allow(&daily(100)).await;
    let payments = ledger.payments_of(1, 100, 2).await;
    ledger.decide(&payments[..1], 1_000).await;
    let as_before = "insert into budget_reservations
                     select payment_id, budgets[1], amounts[1] from budget_takes;
                     delete from budget_takes";
    ledger.sql(as_before).await.unwrap();
    let first = [ledger.reload(payments[0].id).await];
    // It takes nothing up a second time.
    let again = ledger.apply(&first, Event::ApprovalExpired).await;
    assert_eq!(states(&ledger.decide(&again, 1_000).await), [StateName::Approved]);
    let first = [ledger.reload(payments[0].id).await];
    ledger.apply(&first, Event::Canceled).await;
    assert_eq!(ledger.count("budgets", "reserved = 0").await, 1);
    assert_eq!(states(&ledger.decide(&payments[1..], 1_000).await), [StateName::Approved]);
}

#[tokio::test]
async fn a_policy_that_nobody_can_read_keeps_its_own_payments_waiting_and_no_others() {
    let ledger = Ledger::open().await;
    ledger.allow(&daily(1_000)).await;
    // As a later process may have written it.
    let unreadable = r#"update risk_policies set document = '{"of_later": true}'"#;
    ledger.sql(unreadable).await.unwrap();
    let own = ledger.payments_of(1, 100, 1).await.remove(0);
    let others = authorization();
    let others = new(ledger.accept(intake(ledger.account().await, &others)).await);

    let decisions = ledger.decide(&[own.clone(), others.clone()], 100_000).await;

    let moved: Vec<_> = decisions.advance.moved().map(|payment| payment.id).collect();
    assert_eq!(moved, [others.id]);
    assert_eq!(ledger.reload(own.id).await.state, PaymentState::Accepted);
}

#[tokio::test]
async fn whom_operators_deny_is_rejected_whatever_the_tenant_allows() {
    let ledger = Ledger::open().await;
    let payments = ledger.payments_of(1, 100, 2).await;
    let payer = Denial::Payer(payments[0].authorization.payer);
    assert!(ledger.store().deny(&payer, "sanctioned", NOW).await.unwrap());
    let first = ledger.decide(&payments[..1], 1_000).await;
    assert_eq!(states(&first), [StateName::Rejected]);
    assert_eq!(first.reasons[&payments[0].id], PolicyReason::PayerBlocked);
    assert!(ledger.store().stop_denying(&payer).await.unwrap());
    assert_eq!(states(&ledger.decide(&payments[1..], 1_000).await), [StateName::Approved]);
}

#[tokio::test]
async fn what_is_paused_is_not_decided_on() {
    let ledger = Ledger::open().await;
    let payments = ledger.payments_of(1, 100, 1).await;
    for scope in [
        PauseScope::All,
        PauseScope::Network(payments[0].authorization.chain),
        PauseScope::Account(ledger.seller),
    ] {
        ledger.store().set_paused(scope, true, "test", NOW).await.unwrap();
        assert!(states(&ledger.decide(&payments, 1_000).await).is_empty());
        ledger.store().set_paused(scope, false, "test", NOW).await.unwrap();
    }
    assert_eq!(states(&ledger.decide(&payments, 1_000).await), [StateName::Approved]);
}
