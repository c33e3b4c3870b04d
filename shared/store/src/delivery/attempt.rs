//! Attempts at deliveries: what each came to, and what follows.

use domain::{AccountId, DeliveryId, EndpointId, Failing, Timestamp};
use sqlx::PgTransaction;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::endpoint::note_failures;
use crate::row::{count, moment};
use crate::{Store, StoreError};

/// What one attempt came to.
#[derive(Clone, Debug)]
pub struct AttemptRecord {
    /// The delivery.
    pub delivery: DeliveryId,
    /// Where it went.
    pub endpoint: EndpointId,
    /// The URL that the endpoint had when it was claimed.
    pub url: String,
    /// How the endpoint took it.
    pub reception: Reception,
    /// Whether the endpoint wants the events of a payment in order.
    pub in_order: bool,
    /// Which attempt: one more than [`Delivery::attempts`](super::Delivery::attempts).
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

/// How an endpoint took an attempt, for what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reception {
    /// It took what it was sent, or said what to do with it.
    Taken,
    /// It did not.
    Failed,
    /// It led to an address that nothing may be sent to.
    Blocked,
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

/// What became of the wish for another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redelivery {
    /// It is made now, or already being made.
    Due,
    /// Its endpoint is disabled or deleted, and is told nothing.
    EndpointIsDown,
    /// The account has no such delivery.
    Unknown,
}

impl Store {
    /// Logs attempts and moves their deliveries on, where the claim still holds.
    ///
    /// An attempt whose claim ran out is logged too, unless the one that took over logged the same
    /// number already, but it moves nothing.
    ///
    /// Says how the endpoints stand at which an attempt failed. What another URL took or did not take than
    /// an endpoint has by now says nothing about it.
    ///
    /// # Errors
    /// [`StoreError`] when nothing was recorded; the deliveries are then attempted again.
    pub async fn record_attempts(
        &self,
        records: &[AttemptRecord],
        now: Timestamp,
    ) -> Result<Vec<(EndpointId, Failing)>, StoreError> {
        let mut records: Vec<&AttemptRecord> = records.iter().collect();
        // Rows are locked in one order, so that recorders at once never wait in a circle.
        records.sort_by_key(|record| record.delivery);
        let mut tx = self.pool.begin().await?;
        move_deliveries(&mut tx, &records, now).await?;
        log_attempts(&mut tx, &records).await?;
        let failing = note_failures(&mut tx, &records).await?;
        tx.commit().await?;
        Ok(failing)
    }

    /// Lets one of the account's deliveries be attempted now, whatever became of it; the attempt that
    /// was planned is not made besides. One that is being attempted stays as it is. Notifiers that leave the
    /// endpoint alone try it again.
    ///
    /// # Errors
    /// [`StoreError`] when nothing changed.
    pub async fn redeliver(
        &self,
        account: AccountId,
        delivery: DeliveryId,
        now: Timestamp,
    ) -> Result<Redelivery, StoreError> {
        let mut tx = self.pool.begin().await?;
        let found = sqlx::query!(
            // The endpoint is locked too: one that is deleted now would leave the delivery due for ever.
            "with wanted as (
                 select id, account_id, endpoint_id, lease_until from webhook_deliveries
                 where id = $1 for update
             )
             select w.account_id, w.endpoint_id, w.lease_until, e.state as endpoint from wanted w
             join webhook_endpoints e on e.id = w.endpoint_id
             for no key update of e",
            delivery.uuid(),
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(found) = found.filter(|found| found.account_id == account.uuid()) else {
            return Ok(Redelivery::Unknown);
        };
        if found.endpoint != "enabled" {
            return Ok(Redelivery::EndpointIsDown);
        }
        if found.lease_until.is_some_and(|until| until > now.to_datetime()) {
            return Ok(Redelivery::Due);
        }
        sqlx::query!(
            "update webhook_deliveries
             set state = 'pending', due_at = $2, lease_until = null, finished_at = null
             where id = $1",
            delivery.uuid(),
            now.to_datetime(),
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!(
            // Later than before by every clock, as notifiers look whether it is another time.
            "update webhook_endpoints set updated_at = greatest(updated_at + interval '1 ms', $2)
             where id = $1",
            found.endpoint_id,
            now.to_datetime(),
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Redelivery::Due)
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

/// Moves the deliveries on whose claim still holds. Two claims may end at the same instant, so it
/// is known by the attempt as well.
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
        // Found by their ids alone and judged afterwards, as when they are claimed.
        "with next as (
             select u.*, d.state as was, d.lease_until as claimed_until, d.attempts as before
             from unnest(
                 $1::uuid[], $2::timestamptz[], $3::integer[], $4::text[], $5::timestamptz[],
                 $6::timestamptz[]
             ) as u (id, lease_until, attempts, state, due_at, finished_at)
             join webhook_deliveries d on d.id = u.id order by d.id for update of d
         )
         update webhook_deliveries d
         set attempts = n.attempts, state = n.state, due_at = n.due_at, lease_until = null,
             finished_at = n.finished_at
         from next n
         where d.id = n.id and n.was = 'pending' and n.claimed_until = n.lease_until
           and n.before = n.attempts - 1",
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
