//! Tenants' rules, with several risk processes, and a ledger that is away.

use std::time::Duration;

use domain::{Amount, Event, Payment, PaymentId, Per, Policy, StateName, Timestamp, TokenLimit};
use futures::future::join_all;
use runtime::Clock;
use store::{Change, Evaluation, NewPolicy, Written};
use testkit::Anvil;

use crate::world::{DEADLINE, World};

impl World {
    /// Writes a policy that allows so much a day; its version.
    async fn allow_daily(&self, limit: u64) -> u32 {
        let limit = TokenLimit {
            network: Anvil::CHAIN,
            asset: Anvil::TOKEN,
            per: Per::Account,
            max_per_payment: None,
            daily: Some(Amount::from(limit)),
            monthly: None,
            approve_above: None,
        };
        let policy = Policy { limits: vec![limit], ..Policy::default() };
        let (account, by) = (self.seller.account, self.seller.key_id);
        let new = NewPolicy { account, policy: &policy, seen: None, by };
        let at = Timestamp::from_unix_ms(self.clock.now_unix_ms());
        match self.database.store.write_policy(new, at).await.unwrap() {
            Written::Version(version) => version,
            Written::Overtaken(by) => panic!("nobody else writes: {by}"),
        }
    }

    /// So many payments, each of 100 and by a buyer of its own.
    async fn many(&self, count: usize) -> Vec<PaymentId> {
        let mut payments = Vec::new();
        for _ in 0..count {
            let buyer = self.rich_buyer().await;
            payments.push(self.accepted(&buyer.authorize().amount(100u64).sign()).await.id);
        }
        payments
    }

    /// Rings for payments until none of them waits to be decided on.
    async fn decided(&self, payments: &[PaymentId]) -> Vec<Payment> {
        testkit::eventually(DEADLINE, || async {
            let loaded = self.database.store.load(payments).await.ok()?;
            let waits = |payment: &&Payment| payment.state.name() == StateName::Accepted;
            let waiting: Vec<PaymentId> =
                loaded.iter().filter(waits).map(|payment| payment.id).collect();
            if waiting.is_empty() {
                return Some(loaded);
            }
            self.ring(&waiting).await;
            self.quiet().await;
            None
        })
        .await
    }

    async fn evidence_of(&self, payments: &[PaymentId]) -> Vec<Evaluation> {
        let store = &self.database.store;
        let evidence =
            payments.iter().map(|payment| store.evaluations(self.seller.account, *payment));
        join_all(evidence).await.into_iter().flat_map(Result::unwrap).collect()
    }
}

fn approved(payments: &[Payment]) -> Vec<&Payment> {
    payments.iter().filter(|payment| payment.state.name() == StateName::Approved).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_hundred_payments_two_processes_approve_the_ten_that_the_budget_is_for() {
    let world = World::start().await;
    world.allow_daily(1_000).await;
    let payments = world.many(200).await;
    let _risks = [world.judge(), world.judge()];
    world.ring(&payments).await;

    let decided = world.decided(&payments).await;

    assert_eq!(approved(&decided).len(), 10);
    assert!(decided.iter().all(|payment| {
        matches!(payment.state.name(), StateName::Approved | StateName::Rejected)
    }));
    // What ends without being paid gives its part back.
    let ended = approved(&decided)[0].clone();
    let change = Change { payment: ended, event: Event::Canceled, carrier: None };
    let now = Timestamp::from_unix_ms(world.clock.now_unix_ms());
    world.database.store.advance(vec![change], now).await.unwrap();
    let more = world.many(2).await;
    assert_eq!(approved(&world.decided(&more).await).len(), 1);
}

#[tokio::test]
async fn a_policy_counts_in_every_process_from_the_moment_it_is_written() {
    let world = World::start().await;
    let _risks = [world.judge(), world.judge(), world.judge()];
    for (limit, state) in [(100_000, StateName::Approved), (1, StateName::Rejected)] {
        let version = world.allow_daily(limit).await;
        let payments = world.many(12).await;
        let decided = world.decided(&payments).await;
        assert!(decided.iter().all(|payment| payment.state.name() == state), "{decided:?}");
        let evidence = world.evidence_of(&payments).await;
        assert!(evidence.iter().all(|decision| decision.policy_version == Some(version)));
    }
}

#[tokio::test]
async fn while_the_ledger_is_away_nothing_is_decided_and_everything_is_afterwards() {
    let mut world = World::start().await;
    let (clock, hand) = Clock::manual(Clock::system().now_unix_ms());
    world.clock = clock;
    let payments = world.many(20).await;
    let _risk = world.judge();
    world.database.refuse_connections().await;
    world.ring(&payments).await;
    world.quiet().await;
    hand.advance(Duration::from_secs(30));
    let back = Timestamp::from_unix_ms(world.clock.now_unix_ms());
    world.database.accept_connections().await;

    let decided = world.decided(&payments).await;

    assert_eq!(approved(&decided).len(), payments.len());
    let evidence = world.evidence_of(&payments).await;
    assert_eq!(evidence.len(), payments.len(), "something was decided on twice");
    assert!(evidence.iter().all(|decision| decision.at >= back));
}
