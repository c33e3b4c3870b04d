//! What payers' open payments want of what they have.

use std::collections::{HashMap, HashSet};

use domain::{Amount, Decision, Purse};
use sqlx::PgTransaction;
use uuid::Uuid;

use super::{Candidate, Decided};
use crate::StoreError;
use crate::row::{address, chain, parse};

/// Locks the candidates' purses until the transaction ends, and says what open payments beside the
/// candidates want of each.
///
/// What is in a block already has left the balance, and is not counted.
pub(super) async fn lock(
    tx: &mut PgTransaction<'_>,
    candidates: &[Candidate],
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
    let ids: Vec<Uuid> = candidates.iter().map(|candidate| candidate.payment.id.uuid()).collect();
    let purses: Vec<Purse> = purses.into_iter().collect();
    let rows = sqlx::query!(
        r#"select o.chain_id, o.asset, o.payer, sum(o.amount)::text as "sum!"
           from unnest($1::bigint[], $2::bytea[], $3::bytea[]) as purse (chain_id, asset, payer)
           join open_approvals o on o.chain_id = purse.chain_id and o.asset = purse.asset
               and o.payer = purse.payer
           join payments p on p.id = o.payment_id
           where p.state in ('approved', 'submitted') and o.payment_id <> all($4)
           group by o.chain_id, o.asset, o.payer"#,
        &purses.iter().map(|purse| purse.chain.as_i64()).collect::<Vec<_>>(),
        &purses.iter().map(|purse| purse.asset.to_vec()).collect::<Vec<_>>(),
        &purses.iter().map(|purse| purse.payer.to_vec()).collect::<Vec<_>>(),
        &ids,
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
