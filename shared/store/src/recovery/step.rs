//! One step of a recovery.
//!
//! A step puts a portion on its way and remembers how far it came, in one transaction. Only so much
//! is on its way at once, so that a long recovery neither fills the queue nor comes before what
//! happens meanwhile.

use std::collections::HashMap;

use domain::{
    AccountId, DeliveryId, EndpointId, EventType, JobId, Payment, PaymentId, Timestamp,
    WebhookBody, WebhookEvent,
};
use sqlx::PgTransaction;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::feed::{self, FeedEvent, FeedPosition};
use crate::payment::{load, uuids};
use crate::row::{SLACK_MS, first_id, last_id, moment, parse, signed, unsigned};
use crate::{Store, StoreError};

/// So many deliveries are looked at in one step.
const PAGE: i64 = 2_000;

/// The fewest that are worth a step.
const FEWEST: i64 = 50;

/// What a step did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryStep {
    /// The recovery.
    pub job: JobId,
    /// What is on its way from this: to be rung for.
    pub deliveries: Vec<DeliveryId>,
    /// Whether there is more to do now: not when it is over, or enough is on its way already.
    pub goes_on: bool,
}

/// A recovery as a step finds it.
struct Running {
    id: Uuid,
    account: AccountId,
    endpoint: EndpointId,
    since: OffsetDateTime,
    until: OffsetDateTime,
    delivered_too: bool,
    untold_too: bool,
    after_delivery: Uuid,
    deliveries_done: bool,
    place: FeedPosition,
    /// Behind everything in the feed that was written before it began.
    begun_by: FeedPosition,
    created_at: Timestamp,
    hears: Vec<EventType>,
}

/// What a step leaves.
struct Progress {
    deliveries: Vec<DeliveryId>,
    after_delivery: Uuid,
    deliveries_done: bool,
    place: FeedPosition,
    /// Whether what comes next is not to be seen yet.
    waits: bool,
    done: bool,
}

impl Store {
    /// Takes the recovery whose turn it is a step further, if one has anything to do. At most
    /// `portion` of its deliveries are on their way at once.
    ///
    /// # Errors
    /// [`StoreError`] when nothing was done; the step is made again.
    pub async fn step_recovery(
        &self,
        portion: i64,
        now: Timestamp,
    ) -> Result<Option<RecoveryStep>, StoreError> {
        let mut tx = self.pool.begin().await?;
        let Some((running, state)) = next(&mut tx).await? else { return Ok(None) };
        let (job, mut deliveries) = (JobId::new(running.id), Vec::new());
        let mut goes_on = false;
        match state.as_str() {
            "enabled" => {
                let room = portion.saturating_sub(on_their_way(&mut tx, &running, portion).await?);
                if room >= FEWEST.min(portion) {
                    let progress = step(&mut tx, &running, room, now).await?;
                    // What is held back is there in a moment.
                    goes_on = !progress.done && !progress.waits;
                    save(&mut tx, &running, &progress, now).await?;
                    deliveries = progress.deliveries;
                } else {
                    put_last(&mut tx, &running, now).await?;
                }
            }
            "deleted" => cancel(&mut tx, &running, now).await?,
            // It goes on when the endpoint is enabled again.
            _ => put_last(&mut tx, &running, now).await?,
        }
        tx.commit().await?;
        Ok(Some(RecoveryStep { job, deliveries, goes_on }))
    }
}

async fn step(
    tx: &mut PgTransaction<'_>,
    running: &Running,
    room: i64,
    now: Timestamp,
) -> Result<Progress, StoreError> {
    if !running.deliveries_done {
        return again(tx, running, room, now).await;
    }
    let before = Progress {
        deliveries: Vec::new(),
        after_delivery: running.after_delivery,
        deliveries_done: true,
        place: running.place,
        waits: false,
        done: true,
    };
    if !running.untold_too {
        return Ok(before);
    }
    let place = match running.place {
        start if start == FeedPosition::default() => begin(tx, running).await?,
        place => place,
    };
    // Asked before: what is let go in between is read all the same.
    let end = feed::end(&mut **tx).await?;
    let room = usize::try_from(room).unwrap_or(1);
    let mut events =
        feed::page(&mut **tx, running.account, place, u32::try_from(room).unwrap_or(1)).await?;
    let is_short = events.len() < room;
    let goes_on_after = events.last().is_some_and(|event| event.position > running.begun_by);
    events.retain(|event| event.position < running.begun_by);
    let place = events.last().map_or(place, |event| event.position);
    let over = moment(running.until).unix_ms().saturating_add(SLACK_MS);
    let is_past = events.last().is_some_and(|event| event.standing.since.unix_ms() > over);
    // Nothing that was written before it began can appear any more.
    let done = is_past || goes_on_after || (is_short && end > running.begun_by);
    let deliveries = tell(tx, running, &events, now).await?;
    Ok(Progress { deliveries, place, waits: is_short && !done, done, ..before })
}

/// Claims the recovery that waits longest, with the state of its endpoint.
async fn next(tx: &mut PgTransaction<'_>) -> Result<Option<(Running, String)>, StoreError> {
    let row = sqlx::query!(
        r#"with turn as (
               select * from recoveries where state = 'running'
               order by updated_at limit 1 for update skip locked
           )
           select t.id, t.account_id, t.endpoint_id, t.since, t.until, t.delivered_too, t.untold_too,
                  t.after_delivery, t.deliveries_done,
                  t.after_written_by::text::bigint as "after_written_by!", t.after_event,
                  t.begun_by::text::bigint as "begun_by!", t.created_at, e.state as endpoint, e.event_types
           from turn t join webhook_endpoints e on e.id = t.endpoint_id
           -- Nobody deletes it meanwhile: what is put on its way would be due for ever.
           for share of e"#
    )
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let hears = row.event_types.iter().map(|name| parse(name, "event type"));
    let running = Running {
        id: row.id,
        account: AccountId::new(row.account_id),
        endpoint: EndpointId::new(row.endpoint_id),
        since: row.since,
        until: row.until,
        delivered_too: row.delivered_too,
        untold_too: row.untold_too,
        after_delivery: row.after_delivery,
        deliveries_done: row.deliveries_done,
        place: FeedPosition { written_by: unsigned(row.after_written_by)?, event: row.after_event },
        begun_by: FeedPosition { written_by: unsigned(row.begun_by)?, event: Uuid::nil() },
        created_at: moment(row.created_at),
        hears: hears.collect::<Result<_, _>>()?,
    };
    Ok(Some((running, row.endpoint)))
}

/// How many of an endpoint's replays have not arrived yet, counted up to `most`.
async fn on_their_way(
    tx: &mut PgTransaction<'_>,
    running: &Running,
    most: i64,
) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from (
               select from webhook_deliveries
               where endpoint_id = $1 and state = 'pending' and kind = 'replay' limit $2
           ) waiting"#,
        running.endpoint.uuid(),
        most,
    )
    .fetch_one(&mut **tx)
    .await?)
}

/// Makes deliveries again that were made before.
async fn again(
    tx: &mut PgTransaction<'_>,
    running: &Running,
    room: i64,
    now: Timestamp,
) -> Result<Progress, StoreError> {
    let page = sqlx::query!(
        "select id, state, created_at from webhook_deliveries
         where endpoint_id = $1 and id > $2 and id < $3 and kind <> 'test'
         order by id limit $4",
        running.endpoint.uuid(),
        running.after_delivery,
        last_id(running.created_at),
        PAGE,
    )
    .fetch_all(&mut **tx)
    .await?;
    let wanted = page.iter().filter(|row| {
        let over = row.state == "exhausted" || row.state == "aborted";
        let again = over || (running.delivered_too && row.state == "delivered");
        again && row.created_at >= running.since && row.created_at < running.until
    });
    let ids: Vec<Uuid> =
        wanted.map(|row| row.id).take(usize::try_from(room).unwrap_or_default()).collect();
    let made = sqlx::query_scalar!(
        // Only what is over is locked: whoever deletes or disables the endpoint holds the rest.
        "with over as (
             select id from webhook_deliveries
             where id = any($1) and state in ('exhausted', 'aborted', 'delivered')
             order by id for update
         )
         update webhook_deliveries d
         set state = 'pending', kind = 'replay', due_at = $2, lease_until = null, finished_at = null
         from over where d.id = over.id returning d.id",
        &ids,
        now.to_datetime(),
    )
    .fetch_all(&mut **tx)
    .await?;
    let is_full = i64::try_from(ids.len()).is_ok_and(|count| count == room);
    let last = if is_full { ids.last().copied() } else { page.last().map(|row| row.id) };
    let was_last = !is_full && i64::try_from(page.len()).is_ok_and(|count| count < PAGE);
    Ok(Progress {
        deliveries: made.into_iter().map(DeliveryId::new).collect(),
        after_delivery: last.unwrap_or(running.after_delivery),
        deliveries_done: was_last,
        place: running.place,
        waits: false,
        done: was_last && !running.untold_too,
    })
}

/// Where in the feed the account's events of that time begin. Transactions are numbered in the
/// order in which they begin, so none that ran then is below all of those that wrote at that time.
async fn begin(tx: &mut PgTransaction<'_>, running: &Running) -> Result<FeedPosition, StoreError> {
    let lowest = sqlx::query_scalar!(
        r#"select min(written_by::text::bigint) from (
               select written_by from payment_events where id >= $1 order by id limit 1000
           ) then_on"#,
        first_id(moment(running.since)),
    )
    .fetch_one(&mut **tx)
    .await?;
    let written_by = unsigned(lowest.unwrap_or_default())?;
    Ok(FeedPosition { written_by, event: Uuid::nil() })
}

/// Puts those events on their way of which the endpoint was never told.
async fn tell(
    tx: &mut PgTransaction<'_>,
    running: &Running,
    events: &[FeedEvent],
    now: Timestamp,
) -> Result<Vec<DeliveryId>, StoreError> {
    let (since, until) = (moment(running.since), moment(running.until));
    let wanted: Vec<&FeedEvent> = events
        .iter()
        .filter(|event| running.hears.contains(&event.kind))
        .filter(|event| event.standing.since >= since && event.standing.since < until)
        .collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<PaymentId> = wanted.iter().map(|event| event.payment).collect();
    let payments = load(&mut **tx, &uuids(&ids)).await?;
    let payments: HashMap<PaymentId, Payment> =
        payments.into_iter().map(|payment| (payment.id, payment)).collect();
    let told = wanted.iter().filter_map(|event| Some((event, payments.get(&event.payment)?)));
    let bodies: Vec<Vec<u8>> = told
        .map(|(event, payment)| {
            let FeedEvent { id, kind, standing, .. } = **event;
            WebhookBody::new(&WebhookEvent { id, kind, payment, standing }).to_bytes()
        })
        .collect();
    let names: Vec<Uuid> = wanted.iter().map(|_| Uuid::now_v7()).collect();
    let event_ids: Vec<Uuid> = wanted.iter().map(|event| event.id.uuid()).collect();
    let types: Vec<String> = wanted.iter().map(|event| event.kind.as_str().to_owned()).collect();
    let times: Vec<_> = wanted.iter().map(|event| event.standing.since.to_datetime()).collect();
    let made = sqlx::query_scalar!(
        "insert into webhook_deliveries (
             id, endpoint_id, account_id, event_id, payment_id, event_type, kind, body, state,
             due_at, created_at
         )
         select id, $1, $2, event_id, payment_id, event_type, 'replay', body, 'pending', $3, at
         from unnest(
             $4::uuid[], $5::uuid[], $6::uuid[], $7::text[], $8::bytea[], $9::timestamptz[]
         ) as new (id, event_id, payment_id, event_type, body, at)
         on conflict (event_id, endpoint_id) do nothing
         returning id",
        running.endpoint.uuid(),
        running.account.uuid(),
        now.to_datetime(),
        &names,
        &event_ids,
        &uuids(&ids),
        &types,
        &bodies,
        &times,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(made.into_iter().map(DeliveryId::new).collect())
}

async fn save(
    tx: &mut PgTransaction<'_>,
    running: &Running,
    progress: &Progress,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update recoveries
         set after_delivery = $2, deliveries_done = $3, after_written_by = $4::bigint::text::xid8,
             after_event = $5, recovered = recovered + $6, updated_at = $7::timestamptz,
             state = case when $8 then 'done' else 'running' end,
             finished_at = case when $8 then $7::timestamptz end
         where id = $1",
        running.id,
        progress.after_delivery,
        progress.deliveries_done,
        signed(progress.place.written_by),
        progress.place.event,
        i64::try_from(progress.deliveries.len()).unwrap_or(i64::MAX),
        now.to_datetime(),
        progress.done,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn cancel(
    tx: &mut PgTransaction<'_>,
    running: &Running,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update recoveries set state = 'canceled', updated_at = $2, finished_at = $2 where id = $1",
        running.id,
        now.to_datetime(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Lets all others have their turn first.
async fn put_last(
    tx: &mut PgTransaction<'_>,
    running: &Running,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!(
        // Behind all others even where they were written by a clock that is ahead, or at this moment.
        "update recoveries set updated_at = greatest($2, (
             select max(updated_at) + interval '1 microsecond' from recoveries
             where state = 'running'
         ))
         where id = $1",
        running.id,
        now.to_datetime()
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
