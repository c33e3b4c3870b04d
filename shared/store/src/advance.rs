//! The one way in which payments change.

mod movement;

use std::collections::HashMap;

use domain::{
    B256, DeliveryId, Event, EventId, EventType, Payment, PaymentId, Refused, StateName, Timestamp,
    TransactionId, transition,
};
use sqlx::PgTransaction;
use uuid::Uuid;

use self::movement::{move_payments, rests_on};
use crate::delivery::announce;
use crate::risk::{Leaving, give_back, owe_receipts};
use crate::timeline::{NewEvent, record_events};
use crate::transaction::close_items;
use crate::{Store, StoreError};

/// Something that happened to a payment, as it was when it was loaded.
#[derive(Clone, Debug)]
pub struct Change {
    /// The payment as it was loaded; the change applies to this version alone.
    pub payment: Payment,
    /// What happened.
    pub event: Event,
    /// The newest hash of the transaction that carries the payment afterwards, if one does.
    pub carrier: Option<B256>,
}

/// What became of a change.
#[derive(Clone, Debug)]
pub enum Advanced {
    /// The payment as it is now.
    Moved(Box<Payment>),
    /// Somebody else changed the payment since it was loaded; their change stands.
    Overtaken,
    /// The event does not fit the payment's state.
    Refused(Refused),
}

/// What a batch of changes led to.
#[derive(Clone, Debug, Default)]
pub struct Advance {
    /// What became of each change, in the order given.
    pub outcomes: Vec<Advanced>,
    /// Deliveries that are now due: ring their bells.
    pub deliveries: Vec<DeliveryId>,
}

impl Advance {
    /// The payments that moved, as they are now.
    pub fn moved(&self) -> impl Iterator<Item = &Payment> {
        self.outcomes.iter().filter_map(|outcome| match outcome {
            Advanced::Moved(payment) => Some(payment.as_ref()),
            Advanced::Overtaken | Advanced::Refused(_) => None,
        })
    }
}

impl Store {
    /// Applies each change to its payment if nobody else has moved it since, and commits the new
    /// states, their events and the deliveries they cause together.
    ///
    /// A payment that is named several times, each time as it was loaded, takes its changes one
    /// after the other.
    ///
    /// # Errors
    /// [`StoreError`] when nothing was committed, or, after a lost connection, when that is
    /// unknown; giving the same changes again is harmless.
    pub async fn advance(
        &self,
        changes: Vec<Change>,
        now: Timestamp,
    ) -> Result<Advance, StoreError> {
        if changes.is_empty() {
            return Ok(Advance::default());
        }
        let mut tx = self.pool.begin().await?;
        let advance = advance(&mut tx, changes, now).await?;
        tx.commit().await?;
        Ok(advance)
    }
}

/// A change that the state machine allows, with the payment as it will be.
struct Step {
    /// The version that the ledger must still have.
    loaded: u32,
    next: Payment,
    event: EventId,
    kind: EventType,
    carrier: Option<B256>,
    /// The transaction that the payment rested on and does not rest on any more.
    leaves: Option<TransactionId>,
}

/// What a change would lead to, were its payment still as it was loaded.
enum Plan {
    Step(Box<Step>),
    Refused(Refused),
    /// Named as of another version than before.
    Overtaken,
}

/// [`Store::advance`] inside the caller's transaction.
pub(crate) async fn advance(
    tx: &mut PgTransaction<'_>,
    changes: Vec<Change>,
    now: Timestamp,
) -> Result<Advance, StoreError> {
    let plans = plan_all(changes, now);
    let steps = plans.iter().filter_map(|plan| match plan {
        Plan::Step(step) => Some(step.as_ref()),
        Plan::Refused(_) | Plan::Overtaken => None,
    });
    let last: HashMap<PaymentId, &Step> = steps.clone().map(|step| (step.next.id, step)).collect();
    let moved = move_payments(tx, &last.into_values().collect::<Vec<_>>()).await?;
    let steps: Vec<&Step> = steps.filter(|step| moved.contains(&step.next.id.uuid())).collect();
    let left: Vec<(TransactionId, PaymentId)> = steps
        .iter()
        .filter_map(|step| step.leaves.map(|transaction| (transaction, step.next.id)))
        .collect();
    close_items(tx, &left).await?;
    give_back(tx, &leaving(&steps), now).await?;
    owe_receipts(tx, &attempted(&steps), now).await?;
    let events: Vec<NewEvent<'_>> = steps
        .iter()
        .map(|step| NewEvent {
            id: step.event,
            kind: step.kind,
            payment: &step.next,
            carrier: step.carrier,
        })
        .collect();
    record_events(tx, &events).await?;
    let deliveries = announce(tx, &events).await?;
    let outcomes = plans
        .into_iter()
        .map(|plan| match plan {
            Plan::Refused(refused) => Advanced::Refused(refused),
            Plan::Step(step) if moved.contains(&step.next.id.uuid()) => {
                Advanced::Moved(Box::new(step.next))
            }
            Plan::Step(_) | Plan::Overtaken => Advanced::Overtaken,
        })
        .collect();
    Ok(Advance { outcomes, deliveries })
}

/// Which payments leave what they took up of their payers' purses and their tenants' budgets.
fn leaving(steps: &[&Step]) -> Leaving {
    let ids = |which: fn(&Payment) -> bool| {
        steps.iter().filter(|step| which(&step.next)).map(|step| step.next.id.uuid()).collect()
    };
    Leaving {
        closed: ids(|next| match next.state.name() {
            StateName::Settled => false,
            StateName::Accepted => true,
            other => other.is_terminal(),
        }),
        over: ids(|next| next.state.is_terminal()),
        paid: ids(|next| next.state.name() == StateName::Settled),
        in_block: ids(|next| next.state.inclusion().is_some()),
        out_of_block: steps
            .iter()
            .filter(|step| step.kind == EventType::Reorged)
            .map(|step| step.next.id.uuid())
            .collect(),
    }
}

/// Which payments end here that somebody has tried to settle, or could have.
fn attempted(steps: &[&Step]) -> Vec<Uuid> {
    let attempted = steps.iter().filter(|step| match step.next.state.name() {
        StateName::Settled | StateName::Failed | StateName::Expired => true,
        StateName::Accepted
        | StateName::Held
        | StateName::Approved
        | StateName::Submitted
        | StateName::Confirmed
        | StateName::Rejected
        | StateName::Canceled => false,
    });
    attempted.map(|step| step.next.id.uuid()).collect()
}

/// Plans changes in the order given, each from where the one before it leaves its payment.
fn plan_all(changes: Vec<Change>, now: Timestamp) -> Vec<Plan> {
    let mut plans: Vec<Plan> = Vec::with_capacity(changes.len());
    // Where the newest step of each payment is among the plans.
    let mut newest: HashMap<PaymentId, usize> = HashMap::new();
    for change in changes {
        let before = newest.get(&change.payment.id).and_then(|at| plans.get(*at));
        let plan = match before {
            Some(Plan::Step(before)) if before.loaded == change.payment.version => {
                let payment = before.next.clone();
                plan(before.loaded, Change { payment, ..change }, now)
            }
            Some(_) => Plan::Overtaken,
            None => plan(change.payment.version, change, now),
        };
        if let Plan::Step(step) = &plan {
            newest.insert(step.next.id, plans.len());
        }
        plans.push(plan);
    }
    plans
}

fn plan(loaded: u32, change: Change, now: Timestamp) -> Plan {
    let Change { payment, event, carrier } = change;
    let state = match transition(payment.state, event) {
        Ok(state) => state,
        Err(refused) => return Plan::Refused(refused),
    };
    let leaves = rests_on(&payment.state).filter(|left| rests_on(&state) != Some(*left));
    let next = Payment {
        version: payment.version.saturating_add(1),
        updated_at: now.max(payment.updated_at),
        state,
        ..payment
    };
    let event_id = EventId::new(Uuid::now_v7());
    let kind = event.event_type();
    Plan::Step(Box::new(Step { loaded, next, event: event_id, kind, carrier, leaves }))
}
