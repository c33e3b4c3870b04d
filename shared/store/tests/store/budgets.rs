//! Budgets and purses against a few lines that count the same, whatever order everything comes in.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use domain::{
    Address, Amount, Authorization, Event, FailureCode, Payment, PaymentId, PaymentState, Per,
    Policy, StateName, Timestamp, TokenLimit, Velocity,
};
use futures::future::join_all;
use proptest::prelude::*;
use sqlx::Row;
use store::{Candidate, DecisionTerms, NewPolicy, Store, Stored};
use tokio::runtime::Runtime;

use crate::ledger::{Ledger, NOW, PATIENCE, authorization, change, intake, new};
use crate::settling::{LONG, inclusion, round, take};

/// How many processes do something at the same instant.
const PROCESSES: usize = 3;

const PAYMENTS: usize = 6;
const PAYERS: usize = 3;

/// Seconds from [`NOW`] to a minute before the end of its month.
const LAST_MINUTE: u64 = 30 * 86_400 + 43_200 - 60;

/// What somebody does.
#[derive(Clone, Debug)]
enum Deed {
    /// Risk decides on these payments together.
    Decide(Vec<usize>),
    /// Something happens to this payment, of what can happen to it.
    Happen(usize, u8),
    /// The reconciler forgets what blocks have held for long.
    Sweep,
}

/// What is done at the same instant, and how many seconds after what was before.
type Instant = (u64, Vec<Deed>);

/// A tenant's bounds, and what each of its payers has.
#[derive(Clone, Debug)]
struct Bounds {
    daily: u64,
    monthly: u64,
    of_a_payer: u64,
    in_a_minute: u32,
    balance: u64,
}

fn bounds() -> impl Strategy<Value = Bounds> {
    (50u64..400, 50u64..600, 50u64..300, 1u32..5, 50u64..400).prop_map(
        |(daily, monthly, of_a_payer, in_a_minute, balance)| {
            let daily = daily.min(monthly);
            Bounds { daily, monthly, of_a_payer, in_a_minute, balance }
        },
    )
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        3 => prop::collection::vec(0..PAYMENTS, 1..5).prop_map(Deed::Decide),
        8 => (0..PAYMENTS, any::<u8>()).prop_map(|(payment, what)| Deed::Happen(payment, what)),
        1 => Just(Deed::Sweep),
    ]
}

fn instants() -> impl Strategy<Value = Vec<Instant>> {
    prop::collection::vec((0u64..40, prop::collection::vec(deed(), 2..8)), 6..14)
}

impl Bounds {
    fn policy(&self) -> Policy {
        let authorization = authorization();
        let limit = |per, daily, monthly| TokenLimit {
            network: authorization.chain,
            asset: authorization.asset,
            per,
            max_per_payment: None,
            daily: Some(Amount::from(daily)),
            monthly,
            approve_above: None,
        };
        Policy {
            limits: vec![
                limit(Per::Account, self.daily, Some(Amount::from(self.monthly))),
                limit(Per::Payer, self.of_a_payer, None),
            ],
            velocity: vec![Velocity { payments: self.in_a_minute, window_seconds: 60 }],
            ..Policy::default()
        }
    }
}

/// What a budget has counted: what is on its way, and what was paid.
type Counted = u64;

/// A budget by its payer, where it has one, and its stretch of time.
type Name = (Vec<u8>, String);

/// A tenant with payments that nobody has decided on.
struct Scene<'a> {
    ledger: &'a Ledger,
    processes: &'a [Store],
    policy: Policy,
    balance: u64,
    account: domain::AccountId,
    payments: Vec<Payment>,
}

impl<'a> Scene<'a> {
    async fn set(
        ledger: &'a Ledger,
        processes: &'a [Store],
        bounds: &Bounds,
        amounts: &[u64],
    ) -> Self {
        let account = ledger.account().await;
        let policy = bounds.policy();
        let by = ledger.key().await;
        let written = NewPolicy { account, policy: &policy, seen: None, by };
        ledger.store().write_policy(written, NOW).await.unwrap();
        let payers: [Address; PAYERS] = std::array::from_fn(|_| crate::ledger::unique_address());
        let mut payments = Vec::new();
        for (number, amount) in amounts.iter().enumerate() {
            let authorization = Authorization {
                payer: payers[number % PAYERS],
                amount: Amount::from(*amount),
                ..authorization()
            };
            payments.push(new(ledger.accept(intake(account, &authorization)).await));
        }
        Self { ledger, processes, policy, balance: bounds.balance, account, payments }
    }

    fn ids(&self) -> Vec<PaymentId> {
        self.payments.iter().map(|payment| payment.id).collect()
    }

    async fn all(&self) -> Vec<Payment> {
        self.ledger.store().load(&self.ids()).await.unwrap()
    }

    /// Everything at once, each deed by one of the processes.
    async fn live(&self, deeds: &[Deed], now: Timestamp) {
        let balances = &self.balances().await;
        let deeds = deeds.iter().zip(self.processes.iter().cycle());
        let done = deeds.map(|(deed, store)| async move {
            match deed {
                Deed::Decide(which) => self.decide(store, which, balances, now).await,
                Deed::Happen(which, what) => self.happen(store, *which, *what, now).await,
                Deed::Sweep => {
                    store.sweep_approvals(100, now).await.unwrap();
                }
            }
        });
        join_all(done).await;
    }

    /// What the chain says that each payer has: what they began with, less what blocks hold.
    async fn balances(&self) -> HashMap<Address, u64> {
        let mut balances: HashMap<Address, u64> = HashMap::new();
        for payment in self.all().await {
            let balance = balances.entry(payment.authorization.payer).or_insert(self.balance);
            if payment.state.inclusion().is_some() {
                *balance =
                    balance.checked_sub(amount(&payment)).expect("more was paid than there is");
            }
        }
        balances
    }

    async fn decide(
        &self,
        store: &Store,
        which: &[usize],
        balances: &HashMap<Address, u64>,
        now: Timestamp,
    ) {
        let wanted: Vec<PaymentId> = which.iter().map(|at| self.payments[*at].id).collect();
        let accepted = store.load(&wanted).await.unwrap().into_iter();
        let accepted = accepted.filter(|payment| payment.state == PaymentState::Accepted);
        let candidates = accepted.map(|payment| Candidate {
            balance: Amount::from(balances[&payment.authorization.payer]),
            payment,
            as_of: now,
            decide_by: now.plus(Duration::from_secs(600)),
        });
        let terms = DecisionTerms { validity: LONG, engine: None, now };
        store.decide(candidates.collect(), Vec::new(), &terms).await.unwrap();
    }

    async fn happen(&self, store: &Store, which: usize, what: u8, now: Timestamp) {
        let payment = store.load(&[self.payments[which].id]).await.unwrap().remove(0);
        match of_what_can_happen(payment.state, what) {
            Some(Deal::Event(event)) => {
                store.advance(vec![change(&payment, event)], now).await.unwrap();
            }
            Some(Deal::Submit) => {
                // A signer for each, so that none waits for another's nonce.
                let lane = take(store, self.ledger.signer().await, LONG).await.unwrap();
                let stored = store.store_round(&lane, round(0, &[payment]), now).await.unwrap();
                assert!(matches!(stored, Stored::Committed(_) | Stored::Overtaken(_)));
            }
            None => {}
        }
    }

    /// Ends everything: what a block holds is paid, and the rest expires.
    async fn end(&self, now: Timestamp) {
        let open = self.all().await.into_iter().filter(|payment| !payment.state.is_terminal());
        let ends = open.map(|payment| match payment.state.inclusion() {
            Some(_) => change(&payment, Event::Finalized),
            None => change(&payment, Event::Expired),
        });
        self.ledger.store().advance(ends.collect(), now).await.unwrap();
    }

    /// What each budget must have counted by what became of the payments, counted when they were
    /// approved for the first time.
    async fn expected(&self) -> BTreeMap<Name, Counted> {
        let mut budgets: BTreeMap<Name, Counted> = BTreeMap::new();
        for payment in self.all().await {
            let evidence = self.ledger.store().evaluations(self.account, payment.id).await.unwrap();
            let Some(approval) = evidence.iter().find(|one| one.decision == "allow") else {
                continue;
            };
            for demand in self.policy.demands(&payment.authorization, approval.at) {
                let payer = demand.payer.map_or_else(Vec::new, |payer| payer.to_vec());
                let counted = budgets.entry((payer, demand.period.to_string())).or_default();
                let amount = u64::try_from(demand.amount.units()).unwrap();
                let state = payment.state.name();
                if state == StateName::Settled || !state.is_terminal() {
                    *counted += amount;
                }
                let used = Amount::from(*counted);
                assert!(used <= demand.limit, "{used} of {demand:?}");
            }
        }
        budgets.retain(|_, counted| *counted != 0);
        budgets
    }

    async fn counted(&self) -> BTreeMap<Name, Counted> {
        let query = format!(
            "select payer, period, (reserved + spent)::text from budgets
             where account_id = '{}' and reserved + spent > 0",
            self.account.uuid()
        );
        let number = |text: String| text.parse::<u64>().unwrap();
        let rows = self.ledger.rows(&query).await;
        rows.iter().map(|row| ((row.get(0), row.get(1)), number(row.get(2)))).collect()
    }

    /// The payments that count against their payers' balances, and whether a block holds them.
    async fn open(&self) -> BTreeMap<PaymentId, bool> {
        let ids: Vec<String> = self.ids().iter().map(|id| format!("'{}'", id.uuid())).collect();
        let query = format!(
            "select payment_id, left_at is not null from open_approvals where payment_id in ({})",
            ids.join(", ")
        );
        let rows = self.ledger.rows(&query).await;
        rows.iter().map(|row| (PaymentId::new(row.get(0)), row.get(1))).collect()
    }

    async fn check(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.counted().await, self.expected().await);
        let (open, mut wanted) = (self.open().await, HashMap::<Address, u64>::new());
        for payment in self.all().await {
            let entry = open.get(&payment.id).copied();
            match payment.state.name() {
                StateName::Approved | StateName::Submitted => prop_assert_eq!(entry, Some(false)),
                // Forgotten after a while.
                StateName::Confirmed | StateName::Settled => prop_assert_ne!(entry, Some(false)),
                _ => {
                    prop_assert_eq!(entry, None);
                    continue;
                }
            }
            *wanted.entry(payment.authorization.payer).or_default() += amount(&payment);
        }
        prop_assert!(wanted.values().all(|wanted| *wanted <= self.balance), "{wanted:?}");
        Ok(())
    }
}

fn amount(payment: &Payment) -> u64 {
    u64::try_from(payment.authorization.amount.units()).unwrap()
}

enum Deal {
    Event(Event),
    Submit,
}

/// Nobody else spends what payers have, so that only what was approved is ever in a block.
fn of_what_can_happen(state: PaymentState, what: u8) -> Option<Deal> {
    use FailureCode::{AuthorizationUsed, InsufficientFunds};
    let all: &[fn() -> Deal] = match state.name() {
        // Most wait until they are decided on.
        StateName::Accepted if what < 200 => &[],
        StateName::Accepted => &[
            || Deal::Event(Event::Rejected(InsufficientFunds)),
            || Deal::Event(Event::Canceled),
            || Deal::Event(Event::Expired),
        ],
        StateName::Approved => &[
            || Deal::Submit,
            || Deal::Submit,
            || Deal::Submit,
            || Deal::Event(Event::Included(inclusion())),
            || Deal::Event(Event::ApprovalExpired),
            || Deal::Event(Event::Rejected(AuthorizationUsed)),
            || Deal::Event(Event::Canceled),
            || Deal::Event(Event::Expired),
        ],
        StateName::Submitted => &[
            || Deal::Event(Event::Included(inclusion())),
            || Deal::Event(Event::Included(inclusion())),
            || Deal::Event(Event::Returned),
            || Deal::Event(Event::Expired),
            || Deal::Event(Event::Failed(AuthorizationUsed)),
        ],
        StateName::Confirmed => &[|| Deal::Event(Event::Finalized), || Deal::Event(Event::Reorged)],
        StateName::Held
        | StateName::Settled
        | StateName::Rejected
        | StateName::Canceled
        | StateName::Expired
        | StateName::Failed => &[],
    };
    let dealt = all.get(usize::from(what) % all.len().max(1))?;
    Some(dealt())
}

#[test]
fn no_order_of_decisions_and_ends_in_several_processes_exceeds_a_bound_or_loses_a_part_of_one() {
    let runtime = Runtime::new().unwrap();
    let ledger = runtime.block_on(Ledger::open());
    let _inside = runtime.enter();
    let processes: Vec<Store> = (0..PROCESSES).map(|_| ledger.handle(4)).collect();
    let amounts = prop::collection::vec(1u64..120, PAYMENTS);
    let config = ProptestConfig { cases: 40, failure_persistence: None, ..Default::default() };
    proptest!(config, |(bounds in bounds(), amounts in amounts, instants in instants())| {
        runtime.block_on(async {
            let scene = Scene::set(&ledger, &processes, &bounds, &amounts).await;
            let mut secs = LAST_MINUTE;
            for (pause, deeds) in &instants {
                secs += pause;
                let now = NOW.plus(Duration::from_secs(secs));
                let done = tokio::time::timeout(PATIENCE, scene.live(deeds, now)).await;
                prop_assert!(done.is_ok(), "they wait for each other");
                scene.check().await?;
            }
            let now = NOW.plus(Duration::from_secs(secs));
            scene.end(now).await;
            scene.check().await?;
            ledger.store().sweep_approvals(1_000, now.plus(LONG)).await.unwrap();
            prop_assert!(scene.open().await.is_empty());
            Ok(())
        })?;
    });
    runtime.block_on(async {
        assert_eq!(ledger.count("budget_takes", "true").await, 0);
        ledger.assert_journal_is_whole().await;
        ledger.assert_items_are_true().await;
    });
}
