//! What is to be done about a delivery whose bell rings.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use domain::{DeliveryId, EndpointId, Timestamp};
use uuid::Uuid;

use crate::row::{count, moment, parse};
use crate::{Store, StoreError};

/// An event that has not arrived for so long no longer holds up those behind it.
const LONGEST_HOLD_UP: Duration = Duration::from_secs(600);

/// Why a delivery is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryKind {
    /// Something happened.
    Live,
    /// Its endpoint's owner wants it again, or at last.
    Replay,
    /// Its endpoint's owner wants to see whether it arrives; it is tried once.
    Test,
}

/// Text that names no kind of delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a kind of delivery")]
pub struct UnknownKind;

impl DeliveryKind {
    /// The name on the wire and in the ledger.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Replay => "replay",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for DeliveryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DeliveryKind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let all = [Self::Live, Self::Replay, Self::Test];
        all.into_iter().find(|kind| kind.as_str() == text).ok_or(UnknownKind)
    }
}

/// A delivery that is due and that nobody is attempting, with what decides when it is attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// The delivery.
    pub delivery: DeliveryId,
    /// Where it goes.
    pub endpoint: EndpointId,
    /// Why it is made.
    pub kind: DeliveryKind,
    /// The attempts so far.
    pub attempts: u32,
    /// When what it tells of happened.
    pub created_at: Timestamp,
    /// Until when an earlier event of the same payment goes first, where the endpoint wants that; it
    /// may have arrived sooner.
    pub behind_until: Option<Timestamp>,
    /// When the endpoint's owner last did something about it: changed or enabled it, or asked for a delivery again.
    pub endpoint_changed_at: Timestamp,
    /// The endpoint's bound on calls at once.
    pub max_in_flight: Option<u32>,
    /// The endpoint's bound on calls a second.
    pub max_per_second: Option<u32>,
}

/// A delivery that is not to be attempted before then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PutOff {
    /// The delivery.
    pub delivery: DeliveryId,
    /// When it may be attempted.
    pub until: Timestamp,
    /// Whether that is because it waits for an earlier event, which may have arrived meanwhile: then it
    /// stays due.
    pub behind: bool,
}

impl Store {
    /// How those of the deliveries stand that are due, that nobody is attempting and whose endpoint is
    /// enabled.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn delivery_outlooks(
        &self,
        ids: &[DeliveryId],
        now: Timestamp,
    ) -> Result<Vec<Outlook>, StoreError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
        let rows = sqlx::query!(
            // Found by their ids alone, as when they are claimed.
            r#"with wanted as materialized (
                   select id, endpoint_id, event_id, kind, state, attempts, due_at, lease_until,
                          created_at
                   from webhook_deliveries where id = any($1)
               )
               select w.id, w.endpoint_id, w.kind, w.attempts, w.created_at, e.max_in_flight,
                      e.max_per_second, e.updated_at, case when e.ordering = 'per_payment' then (
                          select max(least(
                              greatest(before.due_at, before.lease_until),
                              before.created_at + make_interval(secs => $3)
                          )) filter (where before.state = 'pending')
                          from payment_events own
                          join payment_events earlier
                              on earlier.payment_id = own.payment_id and earlier.version < own.version
                          join webhook_deliveries before on before.event_id = earlier.id
                              and before.endpoint_id = w.endpoint_id
                          where own.id = w.event_id
                            and before.created_at + make_interval(secs => $3) > $2
                      ) end as behind_until
               from wanted w
               join webhook_endpoints e on e.id = w.endpoint_id and e.state = 'enabled'
               where w.state = 'pending' and w.due_at <= $2
                 and (w.lease_until is null or w.lease_until < $2)"#,
            &ids,
            now.to_datetime(),
            LONGEST_HOLD_UP.as_secs_f64(),
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(Outlook {
                    delivery: DeliveryId::new(row.id),
                    endpoint: EndpointId::new(row.endpoint_id),
                    kind: parse(&row.kind, "kind of delivery")?,
                    attempts: count(row.attempts)?,
                    created_at: moment(row.created_at),
                    behind_until: row.behind_until.map(moment),
                    endpoint_changed_at: moment(row.updated_at),
                    max_in_flight: row.max_in_flight.map(count).transpose()?,
                    max_per_second: row.max_per_second.map(count).transpose()?,
                })
            })
            .collect()
    }

    /// Puts off deliveries that nobody is attempting; no attempt is used up.
    ///
    /// # Errors
    /// [`StoreError`] when nothing was put off; they are due all the same.
    pub async fn put_off(&self, put_offs: &[PutOff], now: Timestamp) -> Result<(), StoreError> {
        let ids: Vec<Uuid> = put_offs.iter().map(|put_off| put_off.delivery.uuid()).collect();
        let until: Vec<_> = put_offs.iter().map(|put_off| put_off.until.to_datetime()).collect();
        let behind: Vec<bool> = put_offs.iter().map(|put_off| put_off.behind).collect();
        sqlx::query!(
            "with wanted as (
                 select d.id, d.state, d.lease_until, u.until, u.behind
                 from unnest($1::uuid[], $2::timestamptz[], $3::boolean[]) as u (id, until, behind)
                 join webhook_deliveries d on d.id = u.id
                 order by d.id for update of d skip locked
             )
             update webhook_deliveries d set due_at = w.until
             from wanted w
             where d.id = w.id and w.state = 'pending'
               and (w.lease_until is null or w.lease_until < $4) and d.due_at < w.until
               -- Whoever recorded the earlier one has let this one go already, and does not again.
               and (not w.behind or (
                   select bool_or(before.state = 'pending') from payment_events own
                   join payment_events earlier
                       on earlier.payment_id = own.payment_id and earlier.version < own.version
                   join webhook_deliveries before on before.event_id = earlier.id
                       and before.endpoint_id = d.endpoint_id
                   where own.id = d.event_id
               ))",
            &ids,
            &until,
            &behind,
            now.to_datetime(),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Lets the next events of these deliveries' payments go at once to the endpoints that want them in
    /// order; what is due from this is to be rung for.
    ///
    /// # Errors
    /// [`StoreError`] when nothing changed; they go when their time comes.
    pub async fn let_next_go(
        &self,
        delivered: &[DeliveryId],
        now: Timestamp,
    ) -> Result<Vec<DeliveryId>, StoreError> {
        let ids: Vec<Uuid> = delivered.iter().map(|id| id.uuid()).collect();
        let next = sqlx::query_scalar!(
            // Found by their keys alone and judged afterwards, as when they are claimed. Whoever puts
            // one off at this moment is waited for, or it would stay put off.
            "with done as materialized (
                 select endpoint_id, event_id from webhook_deliveries where id = any($1)
             ), next as (
                 select behind.id, behind.state, behind.attempts, behind.lease_until
                 from done d
                 join webhook_endpoints e on e.id = d.endpoint_id and e.ordering = 'per_payment'
                 join payment_events own on own.id = d.event_id
                 join payment_events later
                     on later.payment_id = own.payment_id and later.version > own.version
                 join webhook_deliveries behind on behind.event_id = later.id
                     and behind.endpoint_id = d.endpoint_id
                 order by behind.id for update of behind
             )
             update webhook_deliveries d set due_at = least(d.due_at, $2)
             from next n
             where d.id = n.id and n.state = 'pending' and n.attempts = 0
               and (n.lease_until is null or n.lease_until < $2)
             returning d.id",
            &ids,
            now.to_datetime(),
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(next.into_iter().map(DeliveryId::new).collect())
    }
}
