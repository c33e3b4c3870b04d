//! The one way in which payments change.

use std::collections::HashSet;

use domain::{
    AccountId, B256, DeliveryId, Event, EventId, EventType, Payment, PaymentState, Refused,
    Timestamp, WebhookBody, WebhookEvent, transition,
};
use serde_json::{Map, Value, json};
use sqlx::PgTransaction;
use uuid::Uuid;

use crate::row::signed;
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
    next: Payment,
    event: EventId,
    kind: EventType,
    carrier: Option<B256>,
}

/// [`Store::advance`] inside the caller's transaction.
pub(crate) async fn advance(
    tx: &mut PgTransaction<'_>,
    changes: Vec<Change>,
    now: Timestamp,
) -> Result<Advance, StoreError> {
    let planned: Vec<Result<Step, Refused>> =
        changes.into_iter().map(|change| plan(change, now)).collect();
    let steps: Vec<&Step> = planned.iter().filter_map(|step| step.as_ref().ok()).collect();
    let moved = move_payments(tx, &steps).await?;
    let events: Vec<NewEvent<'_>> = steps
        .iter()
        .filter(|step| moved.contains(&step.next.id.uuid()))
        .map(|step| NewEvent {
            id: step.event,
            kind: step.kind,
            payment: &step.next,
            carrier: step.carrier,
        })
        .collect();
    record_events(tx, &events).await?;
    let deliveries = announce(tx, &events).await?;
    let outcomes = planned
        .into_iter()
        .map(|step| match step {
            Err(refused) => Advanced::Refused(refused),
            Ok(step) if moved.contains(&step.next.id.uuid()) => {
                Advanced::Moved(Box::new(step.next))
            }
            Ok(_) => Advanced::Overtaken,
        })
        .collect();
    Ok(Advance { outcomes, deliveries })
}

fn plan(change: Change, now: Timestamp) -> Result<Step, Refused> {
    let Change { payment, event, carrier } = change;
    let state = transition(payment.state, event)?;
    let next = Payment {
        version: payment.version.saturating_add(1),
        updated_at: now.max(payment.updated_at),
        state,
        ..payment
    };
    Ok(Step { next, event: EventId::new(Uuid::now_v7()), kind: event.event_type(), carrier })
}

/// The columns that hold what is known in a state.
#[derive(Default)]
struct StateColumns {
    held_until: Option<Timestamp>,
    approved_until: Option<Timestamp>,
    transaction: Option<Uuid>,
    inclusion: Option<domain::Inclusion>,
    failure: Option<&'static str>,
}

impl StateColumns {
    fn of(state: &PaymentState) -> Self {
        let none = Self::default();
        match *state {
            PaymentState::Held { until } => Self { held_until: Some(until), ..none },
            PaymentState::Approved { until } => Self { approved_until: Some(until), ..none },
            PaymentState::Submitted(submission) => Self {
                approved_until: Some(submission.approved_until),
                transaction: Some(submission.transaction.uuid()),
                ..none
            },
            PaymentState::Confirmed { inclusion, submission } => Self {
                inclusion: Some(inclusion),
                approved_until: submission.map(|submission| submission.approved_until),
                transaction: submission.map(|submission| submission.transaction.uuid()),
                ..none
            },
            PaymentState::Settled { inclusion } => Self { inclusion: Some(inclusion), ..none },
            PaymentState::Rejected(code) | PaymentState::Failed(code) => {
                Self { failure: Some(code.as_str()), ..none }
            }
            PaymentState::Accepted | PaymentState::Canceled | PaymentState::Expired => none,
        }
    }
}

/// Writes the new states where the version is still the one before, and says which moved.
///
/// Rows are locked in the order of their ids, so that batches at the same instant never wait for
/// each other in a circle.
async fn move_payments(
    tx: &mut PgTransaction<'_>,
    steps: &[&Step],
) -> Result<HashSet<Uuid>, StoreError> {
    if steps.is_empty() {
        return Ok(HashSet::new());
    }
    fn column<T>(steps: &[&Step], value: impl Fn(&Payment, StateColumns) -> T) -> Vec<T> {
        let row = |step: &&Step| value(&step.next, StateColumns::of(&step.next.state));
        steps.iter().map(row).collect()
    }
    let due = |payment: &Payment| {
        domain::schedule::due_at(&payment.state, 0, payment.updated_at).map(Timestamp::to_datetime)
    };
    let version = |payment: &Payment| i32::try_from(payment.version).unwrap_or(i32::MAX);
    let moved = sqlx::query_scalar!(
        r#"with change as (
             select * from unnest(
               $1::uuid[], $2::integer[], $3::text[], $4::timestamptz[], $5::timestamptz[],
               $6::timestamptz[], $7::timestamptz[], $8::uuid[], $9::bytea[], $10::bigint[],
               $11::bigint[], $12::bytea[], $13::text[]
             ) as c (
               id, version, state, updated_at, due_at, held_until, approved_until, transaction_id,
               tx_hash, log_index, block_number, block_hash, failure_code
             )
           ), locked as (
             select p.id from payments p join change c on c.id = p.id
             where p.version = c.version - 1
             order by p.id for update of p
           )
           update payments p
           set version = c.version, state = c.state, updated_at = c.updated_at, due_at = c.due_at,
               rings = 0, held_until = c.held_until, approved_until = c.approved_until,
               transaction_id = c.transaction_id, tx_hash = c.tx_hash, log_index = c.log_index,
               block_number = c.block_number, block_hash = c.block_hash,
               failure_code = c.failure_code
           from change c
           where p.id = c.id and p.version = c.version - 1 and p.id in (select id from locked)
           returning p.id"#,
        &column(steps, |p, _| p.id.uuid()),
        &column(steps, |p, _| version(p)),
        &column(steps, |p, _| p.state.name().as_str().to_owned()),
        &column(steps, |p, _| p.updated_at.to_datetime()),
        &column(steps, |p, _| due(p)) as _,
        &column(steps, |_, c| c.held_until.map(Timestamp::to_datetime)) as _,
        &column(steps, |_, c| c.approved_until.map(Timestamp::to_datetime)) as _,
        &column(steps, |_, c| c.transaction) as _,
        &column(steps, |_, c| c.inclusion.map(|i| i.tx_hash.to_vec())) as _,
        &column(steps, |_, c| c.inclusion.map(|i| signed(i.log_index))) as _,
        &column(steps, |_, c| c.inclusion.map(|i| signed(i.block_number))) as _,
        &column(steps, |_, c| c.inclusion.map(|i| i.block_hash.to_vec())) as _,
        &column(steps, |_, c| c.failure.map(str::to_owned)) as _,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(moved.into_iter().collect())
}

/// A change that is being committed.
pub(crate) struct NewEvent<'a> {
    pub(crate) id: EventId,
    pub(crate) kind: EventType,
    pub(crate) payment: &'a Payment,
    pub(crate) carrier: Option<B256>,
}

impl NewEvent<'_> {
    /// What the change brought to light, for the timeline.
    fn detail(&self) -> Value {
        let mut detail = Map::new();
        if let Some(inclusion) = self.payment.state.inclusion() {
            detail.insert("tx_hash".to_owned(), json!(inclusion.tx_hash));
            detail.insert("log_index".to_owned(), json!(inclusion.log_index));
            detail.insert("block_number".to_owned(), json!(inclusion.block_number));
            detail.insert("block_hash".to_owned(), json!(inclusion.block_hash));
        } else if let Some(hash) = self.carrier {
            detail.insert("tx_hash".to_owned(), json!(hash));
        }
        if let Some(code) = self.payment.state.failure() {
            detail.insert("failure".to_owned(), json!(code));
        }
        Value::Object(detail)
    }
}

/// Writes the journal rows of changes.
pub(crate) async fn record_events(
    tx: &mut PgTransaction<'_>,
    events: &[NewEvent<'_>],
) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    let payments: Vec<Uuid> = events.iter().map(|event| event.payment.id.uuid()).collect();
    let versions: Vec<i32> = events
        .iter()
        .map(|event| i32::try_from(event.payment.version).unwrap_or(i32::MAX))
        .collect();
    let ids: Vec<Uuid> = events.iter().map(|event| event.id.uuid()).collect();
    let accounts: Vec<Uuid> = events.iter().map(|event| event.payment.account.uuid()).collect();
    let types: Vec<String> = events.iter().map(|event| event.kind.as_str().to_owned()).collect();
    let states: Vec<String> =
        events.iter().map(|event| event.payment.state.name().as_str().to_owned()).collect();
    let times: Vec<_> = events.iter().map(|event| event.payment.updated_at.to_datetime()).collect();
    let details: Vec<Value> = events.iter().map(NewEvent::detail).collect();
    sqlx::query!(
        "insert into payment_events (payment_id, version, id, account_id, type, state, at, detail)
         select * from unnest(
             $1::uuid[], $2::integer[], $3::uuid[], $4::uuid[], $5::text[], $6::text[],
             $7::timestamptz[], $8::jsonb[]
         )",
        &payments,
        &versions,
        &ids,
        &accounts,
        &types,
        &states,
        &times,
        &details,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes one delivery for each endpoint that wants to hear of a change.
pub(crate) async fn announce(
    tx: &mut PgTransaction<'_>,
    events: &[NewEvent<'_>],
) -> Result<Vec<DeliveryId>, StoreError> {
    let accounts: HashSet<Uuid> = events.iter().map(|event| event.payment.account.uuid()).collect();
    if accounts.is_empty() {
        return Ok(Vec::new());
    }
    let endpoints = sqlx::query!(
        "select id, account_id, event_types from webhook_endpoints
         where account_id = any($1) and state = 'enabled'",
        &accounts.into_iter().collect::<Vec<_>>(),
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut rows = DeliveryRows::default();
    for event in events {
        let wanting = endpoints.iter().filter(|endpoint| {
            AccountId::new(endpoint.account_id) == event.payment.account
                && endpoint.event_types.iter().any(|wanted| wanted == event.kind.as_str())
        });
        for endpoint in wanting {
            rows.push(event, endpoint.id);
        }
    }
    rows.insert(tx).await
}

#[derive(Default)]
struct DeliveryRows {
    ids: Vec<Uuid>,
    endpoints: Vec<Uuid>,
    accounts: Vec<Uuid>,
    events: Vec<Uuid>,
    payments: Vec<Uuid>,
    types: Vec<String>,
    bodies: Vec<Vec<u8>>,
    times: Vec<time::OffsetDateTime>,
}

impl DeliveryRows {
    fn push(&mut self, event: &NewEvent<'_>, endpoint: Uuid) {
        let webhook = WebhookEvent {
            id: event.id,
            kind: event.kind,
            payment: event.payment,
            carrier: event.carrier,
        };
        self.ids.push(Uuid::now_v7());
        self.endpoints.push(endpoint);
        self.accounts.push(event.payment.account.uuid());
        self.events.push(event.id.uuid());
        self.payments.push(event.payment.id.uuid());
        self.types.push(event.kind.as_str().to_owned());
        self.bodies.push(WebhookBody::new(&webhook).to_bytes());
        self.times.push(event.payment.updated_at.to_datetime());
    }

    async fn insert(self, tx: &mut PgTransaction<'_>) -> Result<Vec<DeliveryId>, StoreError> {
        if self.ids.is_empty() {
            return Ok(Vec::new());
        }
        sqlx::query!(
            "insert into webhook_deliveries (
                 id, endpoint_id, account_id, event_id, payment_id, event_type, body, state,
                 due_at, created_at
             )
             select id, endpoint_id, account_id, event_id, payment_id, event_type, body, 'pending',
                    at, at
             from unnest(
                 $1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[],
                 $7::bytea[], $8::timestamptz[]
             ) as new (id, endpoint_id, account_id, event_id, payment_id, event_type, body, at)",
            &self.ids,
            &self.endpoints,
            &self.accounts,
            &self.events,
            &self.payments,
            &self.types,
            &self.bodies,
            &self.times,
        )
        .execute(&mut **tx)
        .await?;
        Ok(self.ids.into_iter().map(DeliveryId::new).collect())
    }
}
