//! Events on their way to endpoints.

use domain::{AccountId, DeliveryId, EndpointId, EventId, PaymentId, Timestamp};
use sqlx::PgTransaction;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::row::{count, moment, unsigned};
use crate::{Store, StoreError};

/// A delivery that was claimed, with all it takes to attempt it.
pub struct Delivery {
    /// Its name.
    pub id: DeliveryId,
    /// Where it goes.
    pub endpoint: EndpointId,
    /// The endpoint's URL.
    pub url: String,
    /// What to sign it with.
    pub secret: Vec<u8>,
    /// The `webhook-id`.
    pub event: EventId,
    /// The payment it tells of.
    pub payment: PaymentId,
    /// The bytes to sign and send.
    pub body: Vec<u8>,
    /// The attempts made before this one.
    pub attempts: u32,
    /// When what it tells of happened.
    pub created_at: Timestamp,
    /// Until when the claim holds; the attempt has to be over by then.
    pub lease_until: Timestamp,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery")
            .field("id", &self.id)
            .field("endpoint", &self.endpoint)
            .field("event", &self.event)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

/// What one attempt came to.
#[derive(Clone, Debug)]
pub struct AttemptRecord {
    /// The delivery.
    pub delivery: DeliveryId,
    /// Which attempt: one more than [`Delivery::attempts`].
    pub number: u32,
    /// The claim under which it was made.
    pub lease_until: Timestamp,
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub duration_ms: u32,
    /// What it came to, in a word.
    pub outcome: &'static str,
    /// The status the receiver answered, if it did.
    pub status: Option<u16>,
    /// What went wrong, if something did.
    pub error: Option<String>,
    /// The beginning of the receiver's answer.
    pub response: Option<String>,
    /// What happens to the delivery.
    pub next: DeliveryNext,
}

/// What happens to a delivery after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryNext {
    /// The receiver has it.
    Delivered,
    /// It is tried again then.
    RetryAt(Timestamp),
    /// Its attempts are used up.
    Exhausted,
    /// The receiver does not want it.
    Aborted,
}

/// Which deliveries of an account to list, newest first.
#[derive(Clone, Copy, Debug)]
pub struct DeliveryFilter {
    /// Whose.
    pub account: AccountId,
    /// To which endpoint.
    pub endpoint: EndpointId,
    /// Older than this one: the keyset of the page.
    pub before: Option<DeliveryId>,
}

/// A delivery as its seller sees it.
#[derive(Clone, Debug)]
pub struct DeliveryListing {
    /// The delivery.
    pub id: DeliveryId,
    /// The `webhook-id`.
    pub event: EventId,
    /// The payment it tells of.
    pub payment: PaymentId,
    /// What it tells.
    pub event_type: String,
    /// Where it stands.
    pub state: String,
    /// The attempts so far.
    pub attempts: u32,
    /// When it is tried next.
    pub due_at: Option<Timestamp>,
    /// When it came to be.
    pub created_at: Timestamp,
    /// When it was over.
    pub finished_at: Option<Timestamp>,
}

/// How the deliveries of one payment's events stand; those of deleted endpoints do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct DeliveryCounts {
    /// To be attempted, or held until their endpoint is enabled.
    pub pending: u64,
    /// Taken by the receiver.
    pub delivered: u64,
    /// Given up.
    pub failed: u64,
}

/// An attempt as its seller sees it.
#[derive(Clone, Debug)]
pub struct LoggedAttempt {
    /// Which attempt.
    pub number: u32,
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub duration_ms: u32,
    /// What it came to.
    pub outcome: String,
    /// The status the receiver answered.
    pub status: Option<u16>,
    /// What went wrong.
    pub error: Option<String>,
    /// The beginning of the receiver's answer.
    pub response: Option<String>,
}

impl Store {
    /// Claims those of the deliveries that are due and unclaimed, until `lease_until`.
    ///
    /// # Errors
    /// [`StoreError`] when nothing was claimed, or that is unknown: the lease then runs out.
    pub async fn claim_deliveries(
        &self,
        ids: &[DeliveryId],
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Vec<Delivery>, StoreError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
        let rows = sqlx::query!(
            "with claimed as (
                 select id from webhook_deliveries
                 where id = any($1) and state = 'pending' and due_at <= $2
                   and (lease_until is null or lease_until < $2)
                 order by id for update skip locked
             )
             update webhook_deliveries d set lease_until = $3
             from webhook_endpoints e
             where d.id in (select id from claimed) and e.id = d.endpoint_id and e.state = 'enabled'
             returning d.id, d.endpoint_id, e.url, e.secret, d.event_id, d.payment_id, d.body,
                       d.attempts, d.created_at",
            &ids,
            now.to_datetime(),
            lease_until.to_datetime(),
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(Delivery {
                    id: DeliveryId::new(row.id),
                    endpoint: EndpointId::new(row.endpoint_id),
                    url: row.url,
                    secret: row.secret,
                    event: EventId::new(row.event_id),
                    payment: PaymentId::new(row.payment_id),
                    body: row.body,
                    attempts: count(row.attempts)?,
                    created_at: moment(row.created_at),
                    lease_until,
                })
            })
            .collect()
    }

    /// Logs attempts and moves their deliveries on, where the claim still holds.
    ///
    /// An attempt whose claim ran out is logged too, unless the one that took over logged the same
    /// number already, but it moves nothing.
    ///
    /// # Errors
    /// [`StoreError`] when nothing was recorded; the deliveries are then attempted again.
    pub async fn record_attempts(
        &self,
        records: &[AttemptRecord],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut records: Vec<&AttemptRecord> = records.iter().collect();
        // Rows are locked in one order, so that recorders at once never wait in a circle.
        records.sort_by_key(|record| record.delivery);
        let mut tx = self.pool.begin().await?;
        move_deliveries(&mut tx, &records, now).await?;
        log_attempts(&mut tx, &records).await?;
        tx.commit().await?;
        Ok(())
    }

    /// A page of an endpoint's deliveries, newest first.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn list_deliveries(
        &self,
        filter: &DeliveryFilter,
        limit: i64,
    ) -> Result<Vec<DeliveryListing>, StoreError> {
        let rows = sqlx::query!(
            "select id, event_id, payment_id, event_type, state, attempts, due_at, created_at,
                    finished_at
             from webhook_deliveries
             where endpoint_id = $1 and account_id = $2 and ($3::uuid is null or id < $3)
             order by id desc limit $4",
            filter.endpoint.uuid(),
            filter.account.uuid(),
            filter.before.map(DeliveryId::uuid),
            limit,
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(DeliveryListing {
                    id: DeliveryId::new(row.id),
                    event: EventId::new(row.event_id),
                    payment: PaymentId::new(row.payment_id),
                    event_type: row.event_type,
                    state: row.state,
                    attempts: count(row.attempts)?,
                    due_at: row.due_at.map(moment),
                    created_at: moment(row.created_at),
                    finished_at: row.finished_at.map(moment),
                })
            })
            .collect()
    }

    /// How the deliveries of a payment's events stand.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn delivery_counts(&self, payment: PaymentId) -> Result<DeliveryCounts, StoreError> {
        let row = sqlx::query!(
            r#"select
                 count(*) filter (where state in ('pending', 'held')) as "pending!",
                 count(*) filter (where state = 'delivered') as "delivered!",
                 count(*) filter (where state in ('exhausted', 'aborted')) as "failed!"
               from webhook_deliveries where payment_id = $1"#,
            payment.uuid(),
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(DeliveryCounts {
            pending: unsigned(row.pending)?,
            delivered: unsigned(row.delivered)?,
            failed: unsigned(row.failed)?,
        })
    }

    /// Every attempt of one of the account's deliveries, oldest first; `None` when the account has
    /// no such delivery.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn list_attempts(
        &self,
        account: AccountId,
        delivery: DeliveryId,
    ) -> Result<Option<Vec<LoggedAttempt>>, StoreError> {
        let owned = sqlx::query_scalar!(
            "select 1 as one from webhook_deliveries where id = $1 and account_id = $2",
            delivery.uuid(),
            account.uuid(),
        )
        .fetch_optional(&self.pool)
        .await?;
        if owned.is_none() {
            return Ok(None);
        }
        let rows = sqlx::query!(
            "select number, at, duration_ms, outcome, status, error, response
             from webhook_attempts where delivery_id = $1 order by number",
            delivery.uuid(),
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(LoggedAttempt {
                    number: count(row.number)?,
                    at: moment(row.at),
                    duration_ms: count(row.duration_ms)?,
                    outcome: row.outcome,
                    status: row.status.and_then(|status| u16::try_from(status).ok()),
                    error: row.error,
                    response: row.response,
                })
            })
            .collect::<Result<_, _>>()
            .map(Some)
    }
}

fn deliveries(records: &[&AttemptRecord]) -> Vec<Uuid> {
    records.iter().map(|record| record.delivery.uuid()).collect()
}

fn numbers(records: &[&AttemptRecord]) -> Vec<i32> {
    records.iter().map(|record| i32::try_from(record.number).unwrap_or(i32::MAX)).collect()
}

/// Moves the deliveries on whose claim still holds.
async fn move_deliveries(
    tx: &mut PgTransaction<'_>,
    records: &[&AttemptRecord],
    now: Timestamp,
) -> Result<(), StoreError> {
    let leases: Vec<_> = records.iter().map(|record| record.lease_until.to_datetime()).collect();
    let nexts: Vec<NextColumns> =
        records.iter().map(|record| NextColumns::of(record.next, now)).collect();
    let states: Vec<String> = nexts.iter().map(|next| next.state.to_owned()).collect();
    let dues: Vec<_> = nexts.iter().map(|next| next.due_at).collect();
    let finished: Vec<_> = nexts.iter().map(|next| next.finished_at).collect();
    sqlx::query!(
        "with next as (
             select * from unnest(
                 $1::uuid[], $2::timestamptz[], $3::integer[], $4::text[], $5::timestamptz[],
                 $6::timestamptz[]
             ) as u (id, lease_until, attempts, state, due_at, finished_at)
         ), locked as (
             select d.id from webhook_deliveries d join next n on n.id = d.id
             where d.state = 'pending' and d.lease_until = n.lease_until
             order by d.id for update of d
         )
         update webhook_deliveries d
         set attempts = n.attempts, state = n.state, due_at = n.due_at, lease_until = null,
             finished_at = n.finished_at
         from next n
         where d.id = n.id and d.id in (select id from locked)",
        &deliveries(records),
        &leases,
        &numbers(records),
        &states,
        &dues as _,
        &finished as _,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn log_attempts(
    tx: &mut PgTransaction<'_>,
    records: &[&AttemptRecord],
) -> Result<(), StoreError> {
    let times: Vec<_> = records.iter().map(|record| record.at.to_datetime()).collect();
    let durations: Vec<i32> = records
        .iter()
        .map(|record| i32::try_from(record.duration_ms).unwrap_or(i32::MAX))
        .collect();
    let outcomes: Vec<String> = records.iter().map(|record| record.outcome.to_owned()).collect();
    let statuses: Vec<Option<i16>> = records
        .iter()
        .map(|record| record.status.and_then(|status| i16::try_from(status).ok()))
        .collect();
    let errors: Vec<Option<String>> = records.iter().map(|record| record.error.clone()).collect();
    let responses: Vec<Option<String>> =
        records.iter().map(|record| record.response.clone()).collect();
    sqlx::query!(
        "insert into webhook_attempts (
             delivery_id, number, at, duration_ms, outcome, status, error, response
         )
         select * from unnest(
             $1::uuid[], $2::integer[], $3::timestamptz[], $4::integer[], $5::text[],
             $6::smallint[], $7::text[], $8::text[]
         )
         on conflict (delivery_id, number) do nothing",
        &deliveries(records),
        &numbers(records),
        &times,
        &durations,
        &outcomes,
        &statuses as _,
        &errors as _,
        &responses as _,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

struct NextColumns {
    state: &'static str,
    due_at: Option<OffsetDateTime>,
    finished_at: Option<OffsetDateTime>,
}

impl NextColumns {
    fn of(next: DeliveryNext, now: Timestamp) -> Self {
        let finished = |state| Self { state, due_at: None, finished_at: Some(now.to_datetime()) };
        match next {
            DeliveryNext::Delivered => finished("delivered"),
            DeliveryNext::Exhausted => finished("exhausted"),
            DeliveryNext::Aborted => finished("aborted"),
            DeliveryNext::RetryAt(at) => {
                Self { state: "pending", due_at: Some(at.to_datetime()), finished_at: None }
            }
        }
    }
}
