//! What counts against budgets although nobody has approved it, and in which order they are locked.

use domain::{AccountId, Authorization, Event, Payment, PaymentState, PolicyReason, StateName};
use store::{Candidate, Found, NewPolicy};

use crate::deciding::{daily, states, terms};
use crate::ledger::{Ledger, NOW, authorization, change, intake, later, new, unique_address};
use crate::settling::inclusion;

impl Ledger {
    /// A tenant with a daily budget.
    async fn tenant(&self, limit: u64) -> AccountId {
        let account = self.account().await;
        let policy = daily(limit);
        let new = NewPolicy { account, policy: &policy, seen: None, by: self.key().await };
        self.store().write_policy(new, NOW).await.unwrap();
        account
    }

    /// A payment by a payer of its own, so that no other waits for its purse.
    async fn payment_of(&self, account: AccountId) -> Payment {
        let authorization = Authorization { payer: unique_address(), ..authorization() };
        new(self.accept(intake(account, &authorization)).await)
    }

    /// A payment of this tenant that was approved, and is to be judged anew.
    async fn judged_anew(&self, account: AccountId) -> Payment {
        let payment = self.payment_of(account).await;
        self.decide(std::slice::from_ref(&payment), 1_000_000).await;
        let approved = [self.reload(payment.id).await];
        self.apply(&approved, Event::ApprovalExpired).await.remove(0)
    }
}

fn candidate(payment: &Payment) -> Candidate {
    let balance = domain::Amount::from(1_000_000);
    Candidate { payment: payment.clone(), balance, as_of: NOW, decide_by: later(240) }
}

#[tokio::test]
async fn what_somebody_elses_transaction_has_paid_counts_against_budgets_however_much_it_is() {
    let ledger = Ledger::open().await;
    ledger.allow(&daily(250)).await;
    let payments = ledger.payments_of(1, 100, 5).await;
    let paid = |payment: &Payment| Found::from(change(payment, Event::Included(inclusion())));

    // Alone, and together with one that is decided on.
    let others = vec![paid(&payments[0])];
    ledger.store().decide(Vec::new(), others, &terms(later(1))).await.unwrap();
    let (candidates, others) = (vec![candidate(&payments[2])], vec![paid(&payments[1])]);
    let decisions = ledger.store().decide(candidates, others, &terms(later(1))).await.unwrap();

    assert_eq!(decisions.reasons[&payments[2].id], PolicyReason::DailyBudgetExceeded);
    assert_eq!(ledger.count("budgets", "reserved = 200").await, 1);
    // What cannot be denied any more counts beyond the bound.
    let others = vec![paid(&payments[3])];
    ledger.store().decide(Vec::new(), others, &terms(later(2))).await.unwrap();
    assert_eq!(ledger.count("budgets", "reserved = 300").await, 1);
    assert_eq!(states(&ledger.decide(&payments[4..], 1_000).await), [StateName::Rejected]);
}

#[tokio::test]
async fn what_was_paid_counts_once_and_is_given_back_when_its_block_is_undone_and_it_ends_unpaid() {
    let ledger = Ledger::open().await;
    ledger.allow(&daily(100)).await;
    let payments = ledger.payments_of(1, 100, 1).await;
    let included = vec![Found::from(change(&payments[0], Event::Included(inclusion())))];
    ledger.store().decide(Vec::new(), included.clone(), &terms(later(1))).await.unwrap();
    // The same, found by another process too.
    ledger.store().decide(Vec::new(), included, &terms(later(1))).await.unwrap();
    assert_eq!(ledger.count("budgets", "reserved = 100").await, 1);

    let confirmed = [ledger.reload(payments[0].id).await];
    let again = ledger.apply(&confirmed, Event::Reorged).await;
    assert_eq!(again[0].state, PaymentState::Accepted);
    assert_eq!(states(&ledger.decide(&again, 1_000).await), [StateName::Approved]);
    assert_eq!(ledger.count("budgets", "reserved = 100").await, 1);
    let approved = [ledger.reload(payments[0].id).await];
    ledger.apply(&approved, Event::Canceled).await;
    assert_eq!(ledger.count("budgets", "reserved = 0").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_decides_for_one_tenant_and_ends_payments_of_another_waits_for_nobody_in_a_circle()
{
    let ledger = Ledger::open().await;
    let (one, other) = (ledger.tenant(100_000).await, ledger.tenant(100_000).await);
    let (ones, others) = (ledger.judged_anew(one).await, ledger.judged_anew(other).await);
    let (first, second) = (ledger.payment_of(one).await, ledger.payment_of(other).await);
    // Keeps both where they have locked what they decide by, and not yet what they give back.
    let middle = ledger.hold("select * from budget_takes for update").await;
    let decide = |decided: &Payment, ended: &Payment| {
        let (store, candidates) = (ledger.handle(1), vec![candidate(decided)]);
        let ended = vec![change(ended, Event::Expired).into()];
        tokio::spawn(async move { store.decide(candidates, ended, &terms(later(1))).await })
    };
    let both = [decide(&first, &others), decide(&second, &ones)];
    ledger.until_waiting(2).await;

    middle.rollback().await.unwrap();

    for decided in both {
        let decided = decided.await.unwrap().unwrap();
        assert_eq!(decided.advance.moved().count(), 2);
    }
    // Each counts the new one, and no longer the one that ended; whoever waited has seen that.
    assert_eq!(ledger.count("budgets", "reserved = 10000").await, 2);
}
