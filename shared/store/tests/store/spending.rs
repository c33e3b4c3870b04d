//! What counts against budgets, and in which order they are locked.

use domain::{AccountId, Authorization, Event, Payment};
use store::{Candidate, NewPolicy};

use crate::deciding::{daily, terms};
use crate::ledger::{Ledger, NOW, authorization, change, intake, later, new, unique_address};

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
        let ended = vec![change(ended, Event::Expired)];
        tokio::spawn(async move { store.decide(candidates, ended, &terms(later(1))).await })
    };
    let both = [decide(&first, &others), decide(&second, &ones)];
    ledger.until_waiting(2).await;

    middle.rollback().await.unwrap();

    for decided in both {
        let decided = decided.await.unwrap().unwrap();
        assert_eq!(decided.advance.moved().count(), 2);
    }
}
