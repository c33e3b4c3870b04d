//! What payers' open payments want of what they have.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use domain::{Amount, Decision, Purse, Timestamp};
use sqlx::PgTransaction;
use uuid::Uuid;

use super::{Candidate, Decided};
use crate::row::{address, chain, parse};
use crate::{Store, StoreError};

/// The chain's clock and ours may differ by so much.
const CLOCKS: Duration = Duration::from_secs(10);

/// By so much a node's newest block may be older than the time.
const BLOCKS_AGE: Duration = Duration::from_secs(3);

/// What a block has held for so long shows in every balance that is asked for now.
const SHOWN_BY: Duration = Duration::from_secs(120);

impl Store {
    /// Forgets approvals of payments that have been in a block for long, at most `most` of them; says
    /// how many.
    ///
    /// # Errors
    /// [`StoreError`] when nothing was forgotten.
    pub async fn sweep_approvals(&self, most: i64, now: Timestamp) -> Result<u64, StoreError> {
        let done = sqlx::query!(
            "delete from open_approvals where payment_id in (
                 select payment_id from open_approvals where left_at < $1
                 order by left_at limit $2 for update skip locked
             )",
            now.minus(SHOWN_BY).to_datetime(),
            most,
        )
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }
}

/// Locks the candidates' purses until the transaction ends, and says what open payments beside the
/// candidates want of each.
///
/// What was in a block by the time of the balance has left it, and is not counted. A candidate that
/// somebody else has moved is decided on no more, and counts as every other payment does.
pub(super) async fn lock(
    tx: &mut PgTransaction<'_>,
    candidates: &[Candidate],
    unmoved: &HashSet<Uuid>,
) -> Result<HashMap<Purse, Amount>, StoreError> {
    let purses: HashSet<Purse> =
        candidates.iter().map(|candidate| Purse::of(&candidate.payment.authorization)).collect();
    let mut keys: Vec<i64> = purses.iter().map(lock_key).collect();
    keys.sort_unstable();
    keys.dedup();
    sqlx::query!(
        r#"select count(pg_advisory_xact_lock(key)) as "locked!" from unnest($1::bigint[]) as u (key)"#,
        &keys,
    )
    .fetch_one(&mut **tx)
    .await?;
    let ids: Vec<Uuid> = unmoved.iter().copied().collect();
    let purses: Vec<Purse> = purses.into_iter().collect();
    let as_of = candidates.iter().map(|candidate| candidate.as_of).min();
    let rows = sqlx::query!(
        r#"select o.chain_id, o.asset, o.payer, sum(o.amount)::text as "sum!"
           from unnest($1::bigint[], $2::bytea[], $3::bytea[]) as purse (chain_id, asset, payer)
           join open_approvals o on o.chain_id = purse.chain_id and o.asset = purse.asset
               and o.payer = purse.payer
               and coalesce(o.left_at, 'infinity') > $5
           where o.payment_id not in (select unnest($4::uuid[]))
           group by o.chain_id, o.asset, o.payer"#,
        &purses.iter().map(|purse| purse.chain.as_i64()).collect::<Vec<_>>(),
        &purses.iter().map(|purse| purse.asset.to_vec()).collect::<Vec<_>>(),
        &purses.iter().map(|purse| purse.payer.to_vec()).collect::<Vec<_>>(),
        &ids,
        as_of.unwrap_or_default().minus(CLOCKS).to_datetime(),
    )
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter()
        .map(|row| {
            let purse = Purse {
                chain: chain(row.chain_id)?,
                asset: address(&row.asset)?,
                payer: address(&row.payer)?,
            };
            Ok((purse, parse(&row.sum, "sum of amounts")?))
        })
        .collect()
}

/// Purses that share a key wait for each other without need, and that is all.
fn lock_key(purse: &Purse) -> i64 {
    let eight = |bytes: &[u8; 20]| {
        bytes.iter().take(8).fold(0u64, |number, byte| (number << 8) | u64::from(*byte))
    };
    let key = eight(&purse.payer.0) ^ eight(&purse.asset.0).rotate_left(32) ^ purse.chain.get();
    i64::from_ne_bytes(key.to_ne_bytes())
}

/// Writes that these payments are open.
pub(super) async fn open(
    tx: &mut PgTransaction<'_>,
    done: &[&Decided<'_>],
) -> Result<(), StoreError> {
    let allowed: Vec<_> = done
        .iter()
        .filter(|decided| matches!(decided.decision, Decision::Allow(_)))
        .map(|decided| &decided.candidate.payment)
        .collect();
    if allowed.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into open_approvals (payment_id, chain_id, asset, payer, amount)
         select payment_id, chain_id, asset, payer, amount::numeric
         from unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::bytea[], $5::text[])
             as new (payment_id, chain_id, asset, payer, amount)
         on conflict (payment_id) do nothing",
        &allowed.iter().map(|payment| payment.id.uuid()).collect::<Vec<_>>(),
        &allowed.iter().map(|payment| payment.authorization.chain.as_i64()).collect::<Vec<_>>(),
        &allowed.iter().map(|payment| payment.authorization.asset.to_vec()).collect::<Vec<_>>(),
        &allowed.iter().map(|payment| payment.authorization.payer.to_vec()).collect::<Vec<_>>(),
        &allowed.iter().map(|payment| payment.authorization.amount.to_string()).collect::<Vec<_>>(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Has these payments looked at as soon as what blocks hold of their purses by now shows in any balance,
/// where they would be looked at later: it may be that alone which they wait for.
pub(super) async fn look_again(
    tx: &mut PgTransaction<'_>,
    waiting: &[Uuid],
    now: Timestamp,
) -> Result<(), StoreError> {
    if waiting.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update payments p set due_at = look.at
         from (
             select w.id, max(o.left_at) + make_interval(secs => $2) as at
             from payments w
             join open_approvals o on o.chain_id = w.chain_id and o.asset = w.asset
                 and o.payer = w.payer and coalesce(o.left_at, 'infinity') < 'infinity'
             where w.id = any($1)
             group by w.id
         ) look
         where p.id = look.id and p.due_at > look.at and look.at > $3",
        waiting,
        (CLOCKS + BLOCKS_AGE).as_secs_f64(),
        now.to_datetime(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes since when blocks hold these payments. What a block holds already is not written again when
/// it is final.
pub(super) async fn into_blocks(
    tx: &mut PgTransaction<'_>,
    payments: &[Uuid],
    now: Timestamp,
) -> Result<(), StoreError> {
    if payments.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update open_approvals set left_at = $2 where payment_id = any($1) and left_at is null",
        payments,
        now.to_datetime(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes that no block holds these payments any more, however long one did.
pub(super) async fn out_of_blocks(
    tx: &mut PgTransaction<'_>,
    payments: &[Uuid],
) -> Result<(), StoreError> {
    if payments.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into open_approvals (payment_id, chain_id, asset, payer, amount)
         select id, chain_id, asset, payer, amount from payments where id = any($1)
         on conflict (payment_id) do update set left_at = null",
        payments,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
