//! Deciding on payments, with what their tenants allow and what other payments want.
//!
//! Everything that a decision rests on is read and written in one transaction, behind locks that
//! are taken in one order: payments, purses, budgets. Two processes at the same instant decide one
//! after the other wherever their payments have something in common.

mod budget;
mod evaluation;
mod exposure;
mod hold;
mod policy;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use domain::{
    Amount, Case, Decision, Event, FailureCode, Payment, PaymentId, PolicyReason, Purse, Taken,
    Timestamp, decide,
};
use sqlx::PgTransaction;
use uuid::Uuid;

pub(crate) use self::budget::{Leaving, give_back};
pub use self::evaluation::Evaluation;
pub use self::hold::{HeldPayment, HoldDecision, HoldOutcome};
pub use self::policy::{NewPolicy, PolicyVersion, Written};
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
}

/// What the ledger knows of the candidates, read behind locks.
struct Known {
    /// Those that nobody has moved since they were loaded.
    unmoved: HashSet<Uuid>,
    hosts: HashMap<Uuid, String>,
    policies: HashMap<Uuid, PolicyVersion>,
    reserved: HashSet<Uuid>,
    by_hand: HashMap<Uuid, bool>,
    taken: Taken,
}

impl Store {
    /// Decides on payments that the chain can pay, and applies other changes besides. An approval
    /// holds for `validity`.
    ///
    /// # Errors
    /// [`StoreError`] when nothing was decided, or, after a lost connection, when that is unknown;
    /// deciding again is harmless. A policy that cannot be read decides nothing either.
    pub async fn decide(
        &self,
        candidates: Vec<Candidate>,
        others: Vec<Change>,
        validity: Duration,
        now: Timestamp,
    ) -> Result<Decisions, StoreError> {
        if candidates.is_empty() {
            let advance = self.advance(others, now).await?;
            return Ok(Decisions { advance, ..Decisions::default() });
        }
        let mut tx = self.pool.begin().await?;
        let mut known = read(&mut tx, &candidates, &others, now).await?;
        let exposure = known.taken.purses.clone();
        let open: Vec<&Candidate> = candidates
            .iter()
            .filter(|candidate| known.unmoved.contains(&candidate.payment.id.uuid()))
            .collect();
        let mut taken = std::mem::take(&mut known.taken);
        let cases: Vec<Case<'_>> = open.iter().map(|candidate| known.case(candidate)).collect();
        let decided = decide(&cases, &mut taken, now);
        let all: Vec<Decided<'_>> = open
            .iter()
            .zip(decided)
            .map(|(candidate, decision)| Decided {
                decision: known.by_somebody(candidate, decision),
                candidate,
                exposure: exposure.get(&Purse::of(&candidate.payment.authorization)).copied(),
                policy: known.policies.get(&candidate.payment.account.uuid()),
            })
            .collect();
        let decisions = apply(&mut tx, &all, others, Terms { validity, now }).await?;
        tx.commit().await?;
        Ok(decisions)
    }
}

#[derive(Clone, Copy)]
struct Terms {
    validity: Duration,
    now: Timestamp,
}

/// A candidate, what was decided, and on what.
struct Decided<'a> {
    candidate: &'a Candidate,
    decision: Decision,
    exposure: Option<Amount>,
    policy: Option<&'a PolicyVersion>,
}

impl Decided<'_> {
    fn event(&self, terms: Terms) -> Option<Event> {
        match self.decision {
            Decision::Allow(_) => Some(Event::Approved { until: terms.now.plus(terms.validity) }),
            Decision::Deny(_) => Some(Event::Rejected(FailureCode::Denied)),
            Decision::Review(_, until) => Some(Event::Held { until }),
            Decision::Wait => None,
        }
    }
}

impl Known {
    fn case<'a>(&'a self, candidate: &'a Candidate) -> Case<'a> {
        let Candidate { payment, balance, .. } = candidate;
        let id = payment.id.uuid();
        Case {
            account: payment.account,
            authorization: &payment.authorization,
            host: self.hosts.get(&id).map(String::as_str),
            balance: *balance,
            policy: self
                .policies
                .get(&payment.account.uuid())
                .map_or(&policy::NO_RULES, |version| &version.policy),
            reserved: self.reserved.contains(&id),
            approved_by_hand: self.by_hand.get(&id).copied().unwrap_or_default(),
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
    others: &[Change],
    now: Timestamp,
) -> Result<Known, StoreError> {
    let ids: Vec<PaymentId> = candidates.iter().map(|candidate| candidate.payment.id).collect();
    let touched: Vec<Uuid> = ids
        .iter()
        .copied()
        .chain(others.iter().map(|change| change.payment.id))
        .map(PaymentId::uuid)
        .collect();
    let rows = sqlx::query!(
        "select id, version, resource_host from payments where id = any($1) order by id for update",
        &touched,
    )
    .fetch_all(&mut **tx)
    .await?;
    let versions: HashMap<Uuid, i32> = rows.iter().map(|row| (row.id, row.version)).collect();
    let unmoved = candidates.iter().filter(|candidate| {
        let version = versions.get(&candidate.payment.id.uuid());
        version.is_some_and(|version| u32::try_from(*version) == Ok(candidate.payment.version))
    });
    let unmoved: HashSet<Uuid> = unmoved.map(|candidate| candidate.payment.id.uuid()).collect();
    let hosts = rows.into_iter().filter_map(|row| Some((row.id, row.resource_host?))).collect();
    let accounts: Vec<Uuid> =
        candidates.iter().map(|candidate| candidate.payment.account.uuid()).collect();
    let mut known = Known {
        unmoved,
        hosts,
        policies: policy::newest(tx, &accounts).await?,
        reserved: budget::reserved(tx, &uuids(&ids)).await?,
        by_hand: hold::decisions(tx, &uuids(&ids)).await?,
        taken: Taken::default(),
    };
    known.taken.purses = exposure::lock(tx, candidates).await?;
    let wanted: Vec<_> = candidates
        .iter()
        .flat_map(|candidate| known.case(candidate).budgets(now))
        .map(|(key, _)| key)
        .collect();
    known.taken.budgets = budget::lock(tx, wanted).await?;
    Ok(known)
}

/// Moves the payments, and writes what they take up and why.
async fn apply(
    tx: &mut PgTransaction<'_>,
    all: &[Decided<'_>],
    others: Vec<Change>,
    terms: Terms,
) -> Result<Decisions, StoreError> {
    let change = |decided: &Decided<'_>| {
        let event = decided.event(terms)?;
        Some(Change { payment: decided.candidate.payment.clone(), event, carrier: None })
    };
    let changes: Vec<Change> = all.iter().filter_map(change).chain(others).collect();
    let advance = advance(tx, changes, terms.now).await?;
    let moved: HashSet<PaymentId> = advance.moved().map(|payment| payment.id).collect();
    let done: Vec<&Decided<'_>> =
        all.iter().filter(|decided| moved.contains(&decided.candidate.payment.id)).collect();
    exposure::open(tx, &done).await?;
    budget::take_up(tx, &done).await?;
    evaluation::record(tx, &done, terms.now).await?;
    let reasons = done.iter().filter_map(|decided| match decided.decision {
        Decision::Deny(reason) | Decision::Review(reason, _) => {
            Some((decided.candidate.payment.id, reason))
        }
        Decision::Allow(_) | Decision::Wait => None,
    });
    let reasons = reasons.collect();
    let waiting = all.iter().filter(|decided| decided.decision == Decision::Wait).count();
    Ok(Decisions { advance, reasons, waiting })
}
