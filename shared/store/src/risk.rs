//! Deciding on payments, with what their tenants allow and what other payments want.
//!
//! Everything that a decision rests on is read and written in one transaction, behind locks that
//! are taken in one order: payments, purses, budgets. Two processes at the same instant decide one
//! after the other wherever their payments have something in common.

mod budget;
mod consultation;
mod context;
mod control;
mod evaluation;
mod exposure;
mod hold;
mod paid;
mod policy;
mod question;
mod receipt;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use domain::{
    AccountId, Amount, BudgetKey, Case, Consulting, Control, Decision, EngineWord, Event,
    FailureCode, Occasion, Payment, PaymentId, PolicyReason, Progress, Purse, Taken, Timestamp,
    WaitingFor, decide, patience,
};
use sqlx::PgTransaction;
use uuid::Uuid;

pub(crate) use self::budget::{Leaving, give_back};
use self::budget::{Locked, Reserved, Take};
use self::consultation::Recorded;
pub use self::consultation::{EngineReply, EngineSaid};
pub(crate) use self::context::write_contexts;
pub use self::control::DenialRow;
pub use self::evaluation::{EngineEvidence, Evaluation};
pub use self::hold::{HeldPayment, HoldDecision, HoldOutcome};
use self::paid::{Paid, is_undecided, paid};
use self::policy::Newest;
pub use self::policy::{NewPolicy, PolicyVersion, Written};
pub use self::question::ToAsk;
pub(crate) use self::receipt::owe_receipts;
pub use self::receipt::{DueReceipt, ReceiptBacklog, ReceiptNext};
use crate::advance::{Advance, Change, advance};
use crate::payment::uuids;
use crate::{Store, StoreError};

/// A payment that the chain can pay.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The payment as it was loaded.
    pub payment: Payment,
    /// What its payer has of the token.
    pub balance: Amount,
    /// The time of the block that said so.
    pub as_of: Timestamp,
    /// From here on too little of its validity is left to settle it.
    pub decide_by: Timestamp,
}

/// What the chain said about a payer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What the payer has of the token.
    pub balance: Amount,
    /// The time of the block that said so.
    pub as_of: Timestamp,
}

/// What was found out about a payment without anybody's rules.
#[derive(Clone, Debug)]
pub struct Found {
    /// What follows from it.
    pub change: Change,
    /// What the chain had said: the evidence where the payment is rejected.
    pub seen: Option<Seen>,
}

impl From<Change> for Found {
    fn from(change: Change) -> Self {
        Self { change, seen: None }
    }
}

/// How decisions are made.
#[derive(Clone, Copy, Debug)]
pub struct DecisionTerms {
    /// How long an approval holds.
    pub validity: Duration,
    /// The engine that is asked, where there is one.
    pub engine: Option<EngineTerms>,
    /// The time.
    pub now: Timestamp,
}

/// How an engine takes part in decisions.
#[derive(Clone, Copy, Debug)]
pub struct EngineTerms {
    /// Which payments it is asked about.
    pub consulting: Consulting,
    /// How long whoever is told to ask has for it, before somebody else is told.
    pub lease: Duration,
}

/// What became of a batch of decisions.
#[derive(Clone, Debug, Default)]
pub struct Decisions {
    /// The payments that moved, and the deliveries that this caused.
    pub advance: Advance,
    /// Why each of them was denied or held; by policy alone.
    pub reasons: HashMap<PaymentId, PolicyReason>,
    /// How many wait because other open payments of their payers want what these have.
    pub waiting: usize,
    /// Those about which the caller is to ask the engine. For a while nobody else is told to.
    pub to_ask: Vec<ToAsk>,
    /// The accounts whose policy this process cannot read. Their payments wait.
    pub unreadable: Vec<AccountId>,
}

/// What the ledger knows of the candidates, read behind locks.
struct Known {
    /// Those that can be decided on: nobody has moved them since they were loaded, and what their
    /// tenants allow can be read.
    unmoved: HashSet<Uuid>,
    unreadable: HashSet<Uuid>,
    hosts: HashMap<Uuid, String>,
    policies: HashMap<Uuid, PolicyVersion>,
    reserved: Reserved,
    paid: Vec<Paid>,
    by_hand: HashMap<Uuid, bool>,
    controls: HashMap<Uuid, Control>,
    consultations: HashMap<Uuid, Recorded>,
    budgets: HashMap<BudgetKey, Locked>,
    taken: Taken,
}

impl Store {
    /// Decides on payments that the chain can pay, and applies what was found out about others besides.
    /// Each decision leaves its evidence.
    ///
    /// # Errors
    /// [`StoreError`] when nothing was decided, or, after a lost connection, when that is unknown;
    /// deciding again is harmless.
    pub async fn decide(
        &self,
        candidates: Vec<Candidate>,
        others: Vec<Found>,
        terms: &DecisionTerms,
    ) -> Result<Decisions, StoreError> {
        let now = terms.now;
        if candidates.is_empty() && !others.iter().any(|other| is_undecided(&other.change)) {
            let mut tx = self.pool.begin().await?;
            let advance = apply_found(&mut tx, Vec::new(), others, now).await?;
            tx.commit().await?;
            return Ok(Decisions { advance, ..Decisions::default() });
        }
        let mut tx = self.pool.begin().await?;
        let mut known = read(&mut tx, &candidates, &others, terms).await?;
        let exposure = known.taken.purses.clone();
        let open: Vec<&Candidate> = candidates
            .iter()
            .filter(|candidate| known.unmoved.contains(&candidate.payment.id.uuid()))
            .collect();
        let mut taken = std::mem::take(&mut known.taken);
        known.paid.iter().for_each(|paid| taken.count(&paid.takes));
        let cases: Vec<Case<'_>> =
            open.iter().map(|candidate| known.case(candidate, terms)).collect();
        let decided = decide(&cases, &mut taken, now);
        let all: Vec<Decided<'_>> = open
            .iter()
            .zip(decided)
            .map(|(candidate, decision)| Decided {
                decision: known.by_somebody(candidate, decision),
                candidate,
                exposure: exposure.get(&Purse::of(&candidate.payment.authorization)).copied(),
                policy: known.policies.get(&candidate.payment.account.uuid()),
                consultation: known.consultations.get(&candidate.payment.id.uuid()),
            })
            .collect();
        let mut decisions = apply(&mut tx, (&all, &known), others, terms).await?;
        if let Some(engine) = terms.engine {
            decisions.to_ask = question::ask(&mut tx, &all, engine, now).await?;
        }
        decisions.unreadable = known.unreadable.iter().copied().map(AccountId::new).collect();
        for asked in &mut decisions.to_ask {
            asked.host = known.hosts.get(&asked.payment.id.uuid()).cloned();
        }
        tx.commit().await?;
        Ok(decisions)
    }
}

/// A candidate, what was decided, and on what.
struct Decided<'a> {
    candidate: &'a Candidate,
    decision: Decision,
    exposure: Option<Amount>,
    policy: Option<&'a PolicyVersion>,
    /// Where it stands with the engine, where there is one.
    consultation: Option<&'a Recorded>,
}

impl Decided<'_> {
    fn event(&self, terms: &DecisionTerms) -> Option<Event> {
        match self.decision {
            Decision::Allow(_) => Some(Event::Approved { until: self.valid_until(terms) }),
            Decision::Deny(_) => Some(Event::Rejected(FailureCode::Denied)),
            Decision::Review(_, until) => Some(Event::Held { until }),
            Decision::Wait(_) | Decision::Ask => None,
        }
    }

    /// What it takes up of its tenant's budgets, where it is allowed.
    fn take(&self) -> Option<Take<'_>> {
        match &self.decision {
            Decision::Allow(takes) => Some((self.candidate.payment.id, takes)),
            Decision::Deny(_) | Decision::Review(..) | Decision::Wait(_) | Decision::Ask => None,
        }
    }

    /// How far asking the engine has come, where there is one.
    fn progress(&self) -> Option<&Progress> {
        Some(&self.consultation?.consultation.progress)
    }

    /// How long an approval holds: never longer than the engine's allowance.
    fn valid_until(&self, terms: &DecisionTerms) -> Timestamp {
        let usual = terms.now.plus(terms.validity);
        let allowance = self.consultation.and_then(|it| it.consultation.allowance(terms.now));
        allowance.map_or(usual, |allowance| usual.min(allowance.valid_until))
    }
}

impl Known {
    fn case<'a>(&'a self, candidate: &'a Candidate, terms: &DecisionTerms) -> Case<'a> {
        let Candidate { payment, balance, decide_by, .. } = candidate;
        let id = payment.id.uuid();
        let policy = self
            .policies
            .get(&payment.account.uuid())
            .map_or(&*policy::NO_RULES, |version| &version.policy);
        let approved_by_hand = self.by_hand.get(&id).copied().unwrap_or_default();
        let occasion = Occasion {
            session_demanded: policy.require_session,
            patience: patience(payment.created_at, *decide_by),
            now: terms.now,
        };
        let engine = match (terms.engine, self.consultations.get(&id)) {
            (None, _) => EngineWord::NotAsked,
            // Whoever is not found in the ledger has not been asked about.
            (Some(_), None) => EngineWord::AskLater,
            (Some(engine), Some(recorded)) => {
                recorded.consultation.word(&engine.consulting, occasion)
            }
        };
        Case {
            account: payment.account,
            authorization: &payment.authorization,
            control: self.controls.get(&id).copied().unwrap_or_default(),
            host: self.hosts.get(&id).map(String::as_str),
            balance: *balance,
            policy,
            reserved: self.reserved.payments.contains(&id),
            approved_by_hand,
            engine,
            decide_by: *decide_by,
        }
    }

    /// What somebody has decided against stands, whatever the rules say; nobody is asked twice.
    fn by_somebody(&self, candidate: &Candidate, decision: Decision) -> Decision {
        match self.by_hand.get(&candidate.payment.id.uuid()) {
            Some(false) => Decision::Deny(PolicyReason::ApprovalRequired),
            Some(true) | None => decision,
        }
    }
}

/// Locks what the decisions touch and reads what they rest on.
async fn read(
    tx: &mut PgTransaction<'_>,
    candidates: &[Candidate],
    others: &[Found],
    terms: &DecisionTerms,
) -> Result<Known, StoreError> {
    let ids: Vec<PaymentId> = candidates.iter().map(|candidate| candidate.payment.id).collect();
    let touched: Vec<Uuid> = ids
        .iter()
        .copied()
        .chain(others.iter().map(|other| other.change.payment.id))
        .map(PaymentId::uuid)
        .collect();
    let rows = sqlx::query!(
        "select id, version, resource_host from payments where id = any($1) order by id for update",
        &touched,
    )
    .fetch_all(&mut **tx)
    .await?;
    let versions: HashMap<Uuid, i32> = rows.iter().map(|row| (row.id, row.version)).collect();
    let changes = || others.iter().map(|other| &other.change);
    let accounts: Vec<Uuid> = candidates
        .iter()
        .map(|candidate| &candidate.payment)
        .chain(changes().filter(|other| is_undecided(other)).map(|other| &other.payment))
        .map(|payment| payment.account.uuid())
        .collect();
    let Newest { policies, unreadable } = policy::newest(tx, &accounts).await?;
    let is_open = |payment: &Payment| {
        let version = versions.get(&payment.id.uuid());
        version.is_some_and(|version| u32::try_from(*version) == Ok(payment.version))
            && !unreadable.contains(&payment.account.uuid())
    };
    let payments = candidates.iter().map(|candidate| &candidate.payment);
    let unmoved = payments.filter(|payment| is_open(payment)).map(|payment| payment.id.uuid());
    let unmoved: HashSet<Uuid> = unmoved.collect();
    let hosts = rows.into_iter().filter_map(|row| Some((row.id, row.resource_host?)));
    let hosts: HashMap<Uuid, String> = hosts.collect();
    let controls = control::controls(tx, candidates, &hosts).await?;
    let reserved = budget::reserved(tx, &touched).await?;
    // A payment takes up once, however often a block holds it.
    let is_new = |other: &&Change| {
        is_open(&other.payment) && !reserved.payments.contains(&other.payment.id.uuid())
    };
    let mut known = Known {
        paid: paid(changes().filter(is_new), &policies, terms.now),
        reserved,
        unmoved,
        unreadable,
        hosts,
        controls,
        policies,
        by_hand: hold::decisions(tx, &uuids(&ids)).await?,
        consultations: match terms.engine {
            Some(_) => consultation::recorded(tx, &uuids(&ids)).await?,
            None => HashMap::new(),
        },
        budgets: HashMap::new(),
        taken: Taken::default(),
    };
    known.taken.purses = exposure::lock(tx, candidates, &known.unmoved).await?;
    let wanted: Vec<_> = candidates
        .iter()
        .flat_map(|candidate| known.case(candidate, terms).budgets(terms.now))
        .map(|(key, _)| key)
        .chain(known.paid.iter().flat_map(|paid| &paid.takes).map(|(key, _)| *key))
        .collect();
    known.budgets = budget::lock(tx, wanted, &known.reserved).await?;
    known.taken.budgets = known.budgets.iter().map(|(key, budget)| (*key, budget.used)).collect();
    Ok(known)
}

/// Moves the payments, and writes what they take up and why.
async fn apply(
    tx: &mut PgTransaction<'_>,
    (all, known): (&[Decided<'_>], &Known),
    others: Vec<Found>,
    terms: &DecisionTerms,
) -> Result<Decisions, StoreError> {
    let change = |decided: &Decided<'_>| {
        let event = decided.event(terms)?;
        Some(Change { payment: decided.candidate.payment.clone(), event, carrier: None })
    };
    let changes: Vec<Change> = all.iter().filter_map(change).collect();
    let advance = apply_found(tx, changes, others, terms.now).await?;
    let moved: HashSet<PaymentId> = advance.moved().map(|payment| payment.id).collect();
    let done: Vec<&Decided<'_>> =
        all.iter().filter(|decided| moved.contains(&decided.candidate.payment.id)).collect();
    exposure::open(tx, &done).await?;
    let paid = known.paid.iter().filter(|paid| moved.contains(&paid.payment));
    let paid = paid.map(|paid| (paid.payment, &*paid.takes));
    budget::take_up(tx, done.iter().filter_map(|it| it.take()).chain(paid), &known.budgets).await?;
    evaluation::record(tx, &done, known, terms).await?;
    let reasons = done.iter().filter_map(|decided| match decided.decision {
        Decision::Deny(reason) | Decision::Review(reason, _) => {
            Some((decided.candidate.payment.id, reason))
        }
        Decision::Allow(_) | Decision::Wait(_) | Decision::Ask => None,
    });
    let reasons = reasons.collect();
    let waits = Decision::Wait(WaitingFor::Purse);
    let waiting = all.iter().filter(|decided| decided.decision == waits);
    let waiting: Vec<Uuid> = waiting.map(|decided| decided.candidate.payment.id.uuid()).collect();
    exposure::look_again(tx, &waiting, terms.now).await?;
    Ok(Decisions { advance, reasons, waiting: waiting.len(), ..Decisions::default() })
}

/// Applies these changes and what was found out, which leaves its evidence where it moves a payment.
async fn apply_found(
    tx: &mut PgTransaction<'_>,
    mut changes: Vec<Change>,
    found: Vec<Found>,
    now: Timestamp,
) -> Result<Advance, StoreError> {
    changes.extend(found.iter().map(|found| found.change.clone()));
    let advance = advance(tx, changes, now).await?;
    let moved: HashSet<PaymentId> = advance.moved().map(|payment| payment.id).collect();
    let found: Vec<&Found> =
        found.iter().filter(|found| moved.contains(&found.change.payment.id)).collect();
    evaluation::record_rejected(tx, &found, now).await?;
    Ok(advance)
}
