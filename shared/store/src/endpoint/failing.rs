//! What is known of endpoints that fail.

use std::collections::{BTreeMap, BTreeSet};

use domain::{DeliveryId, EndpointId, EndpointNews, Failing, LONGEST_GAP, Timestamp};
use sqlx::PgTransaction;
use uuid::Uuid;

use super::event::tell_others;
use crate::delivery::{AttemptRecord, Reception};
use crate::row::{count, moment};
use crate::{Store, StoreError};

/// What the attempts of one batch say about one endpoint that took none of them.
#[derive(Clone, Copy)]
struct Spell {
    since: Timestamp,
    last_at: Timestamp,
    /// Whether every one of them led to a forbidden address, and how many of them did in the end.
    all_blocked: bool,
    blocked: i32,
}

impl Spell {
    /// With one more failure, which came later.
    fn and(spell: Option<Self>, at: Timestamp, blocked: bool) -> Self {
        let before =
            spell.unwrap_or(Self { since: at, last_at: at, all_blocked: true, blocked: 0 });
        Self {
            since: before.since.min(at),
            last_at: before.last_at.max(at),
            all_blocked: before.all_blocked && blocked,
            blocked: if blocked { before.blocked.saturating_add(1) } else { 0 },
        }
    }
}

/// Remembers which endpoints fail, and forgets it of those that took something. Says how those
/// stand that fail.
pub(crate) async fn note_failures(
    tx: &mut PgTransaction<'_>,
    records: &[&AttemptRecord],
) -> Result<Vec<(EndpointId, Failing)>, StoreError> {
    let urls = urls(tx, records).await?;
    let (mut well, mut spells) = (BTreeSet::new(), BTreeMap::new());
    for record in records {
        if urls.get(&record.endpoint.uuid()).is_none_or(|url| *url != record.url) {
            continue;
        }
        let blocked = match record.reception {
            Reception::Taken => {
                well.insert(record.endpoint.uuid());
                continue;
            }
            Reception::Failed => false,
            Reception::Blocked => true,
        };
        let spell = spells.get(&record.endpoint.uuid()).copied();
        spells.insert(record.endpoint.uuid(), Spell::and(spell, record.at, blocked));
    }
    spells.retain(|endpoint, _| !well.contains(endpoint));
    if well.is_empty() && spells.is_empty() {
        return Ok(Vec::new());
    }
    lock(tx, well.iter().chain(spells.keys()).copied().collect()).await?;
    forget(tx, well.into_iter().collect()).await?;
    if spells.is_empty() { Ok(Vec::new()) } else { remember(tx, &spells).await }
}

/// The URLs of those of the endpoints of which something would be written: at which an attempt failed, or
/// that failed before. They stay what they are until the end of the transaction.
///
/// Healthy endpoints, which are almost all, are not locked: everybody writes of them.
async fn urls(
    tx: &mut PgTransaction<'_>,
    records: &[&AttemptRecord],
) -> Result<BTreeMap<Uuid, String>, StoreError> {
    let endpoints: Vec<Uuid> = records.iter().map(|record| record.endpoint.uuid()).collect();
    let failed: Vec<Uuid> = records
        .iter()
        .filter(|record| record.reception != Reception::Taken)
        .map(|record| record.endpoint.uuid())
        .collect();
    let rows = sqlx::query!(
        // Changing an endpoint takes the whole lock of its row, disabling it does not.
        "select e.id, e.url from webhook_endpoints e
         where e.id in (
             select unnest($2::uuid[])
             union select endpoint_id from webhook_endpoint_failures where endpoint_id = any($1)
         )
         order by e.id for key share of e",
        &endpoints,
        &failed,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.url)).collect())
}

/// Locks what is known of these endpoints in the order of their ids, so that recorders at once
/// never wait in a circle.
async fn lock(tx: &mut PgTransaction<'_>, endpoints: Vec<Uuid>) -> Result<(), StoreError> {
    sqlx::query!(
        "select endpoint_id from webhook_endpoint_failures
         where endpoint_id = any($1) order by endpoint_id for update",
        &endpoints,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(())
}

async fn forget(tx: &mut PgTransaction<'_>, endpoints: Vec<Uuid>) -> Result<(), StoreError> {
    sqlx::query!("delete from webhook_endpoint_failures where endpoint_id = any($1)", &endpoints)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn remember(
    tx: &mut PgTransaction<'_>,
    spells: &BTreeMap<Uuid, Spell>,
) -> Result<Vec<(EndpointId, Failing)>, StoreError> {
    let endpoints: Vec<Uuid> = spells.keys().copied().collect();
    let since: Vec<_> = spells.values().map(|spell| spell.since.to_datetime()).collect();
    let last: Vec<_> = spells.values().map(|spell| spell.last_at.to_datetime()).collect();
    let blocked: Vec<i32> = spells.values().map(|spell| spell.blocked).collect();
    let still_blocked: Vec<Uuid> =
        spells.iter().filter(|(_, spell)| spell.all_blocked).map(|(id, _)| *id).collect();
    let rows = sqlx::query!(
        // After too long a gap it is another spell.
        "insert into webhook_endpoint_failures as f (endpoint_id, since, last_at, blocked)
         select * from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::integer[])
         on conflict (endpoint_id) do update set
             since = case when excluded.since - f.last_at > make_interval(secs => $5)
                 then excluded.since else least(f.since, excluded.since) end,
             warnings = case when excluded.since - f.last_at > make_interval(secs => $5)
                 then 0 else f.warnings end,
             last_at = greatest(f.last_at, excluded.last_at),
             blocked = excluded.blocked
                 + case when f.endpoint_id = any($6) then f.blocked else 0 end
         returning endpoint_id, since, last_at, blocked, warnings",
        &endpoints,
        &since,
        &last,
        &blocked,
        LONGEST_GAP.as_secs_f64(),
        &still_blocked,
    )
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter()
        .map(|row| {
            let failing = Failing {
                since: moment(row.since),
                last_at: moment(row.last_at),
                blocked: count(row.blocked)?,
                warnings: u8::try_from(row.warnings).unwrap_or(u8::MAX),
            };
            Ok((EndpointId::new(row.endpoint_id), failing))
        })
        .collect()
}

impl Store {
    /// Warns the owner of an endpoint that nothing arrives at it, over the account's other endpoints,
    /// unless it was warned so often already. What is on its way from this is to be rung for.
    ///
    /// # Errors
    /// [`StoreError`] when nobody was warned.
    pub async fn warn_of_endpoint(
        &self,
        endpoint: EndpointId,
        warning: u8,
        now: Timestamp,
    ) -> Result<Vec<DeliveryId>, StoreError> {
        let mut tx = self.pool.begin().await?;
        let since = sqlx::query_scalar!(
            "update webhook_endpoint_failures set warnings = $2
             where endpoint_id = $1 and warnings < $2 returning since",
            endpoint.uuid(),
            i16::from(warning),
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(since) = since else { return Ok(Vec::new()) };
        let news = EndpointNews::Failing(moment(since));
        let deliveries = tell_others(&mut tx, endpoint, news, now).await?;
        tx.commit().await?;
        Ok(deliveries)
    }
}
