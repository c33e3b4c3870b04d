//! What payments take up of the bounds that their tenants set.

use std::collections::{HashMap, HashSet};

use domain::{Address, Amount, BudgetKey, Decision, Timestamp};
use sqlx::PgTransaction;
use uuid::Uuid;

use super::{Decided, exposure};
use crate::StoreError;
use crate::row::parse;

/// A budget's columns.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Columns {
    account: Uuid,
    chain: i64,
    asset: Vec<u8>,
    payer: Vec<u8>,
    period: String,
}

impl Columns {
    fn of(key: &BudgetKey) -> Self {
        Self {
            account: key.account.uuid(),
            chain: key.chain.as_i64(),
            asset: key.asset.to_vec(),
            payer: key.payer.map_or_else(Vec::new, |payer: Address| payer.to_vec()),
            period: key.period.to_string(),
        }
    }
}

/// Which of the payments have taken up their budgets already.
pub(super) async fn reserved(
    tx: &mut PgTransaction<'_>,
    payments: &[Uuid],
) -> Result<HashSet<Uuid>, StoreError> {
    let rows = sqlx::query_scalar!(
        "select distinct payment_id from budget_reservations where payment_id = any($1)",
        payments,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().collect())
}

/// Makes and locks these budgets, and says what each has counted.
pub(super) async fn lock(
    tx: &mut PgTransaction<'_>,
    keys: Vec<BudgetKey>,
) -> Result<HashMap<BudgetKey, Amount>, StoreError> {
    let mut keys: Vec<(Columns, BudgetKey)> =
        keys.into_iter().map(|key| (Columns::of(&key), key)).collect();
    keys.sort_by(|(one, _), (other, _)| one.cmp(other));
    keys.dedup_by(|(one, _), (other, _)| one == other);
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let accounts: Vec<Uuid> = keys.iter().map(|(key, _)| key.account).collect();
    let chains: Vec<i64> = keys.iter().map(|(key, _)| key.chain).collect();
    let assets: Vec<Vec<u8>> = keys.iter().map(|(key, _)| key.asset.clone()).collect();
    let payers: Vec<Vec<u8>> = keys.iter().map(|(key, _)| key.payer.clone()).collect();
    let periods: Vec<String> = keys.iter().map(|(key, _)| key.period.clone()).collect();
    sqlx::query!(
        "insert into budgets (account_id, chain_id, asset, payer, period)
         select * from unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::bytea[], $5::text[])
             as new (account_id, chain_id, asset, payer, period)
         order by account_id, chain_id, asset, payer, period
         on conflict on constraint budgets_once do nothing",
        &accounts,
        &chains,
        &assets,
        &payers,
        &periods,
    )
    .execute(&mut **tx)
    .await?;
    let rows = sqlx::query!(
        // Locked in the order of their ids, as when they are given back.
        r#"select b.account_id, b.chain_id, b.asset, b.payer, b.period,
                  (b.reserved + b.spent)::text as "used!"
           from budgets b
           join unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::bytea[], $5::text[])
               as wanted (account_id, chain_id, asset, payer, period)
               on wanted.account_id = b.account_id and wanted.chain_id = b.chain_id
               and wanted.asset = b.asset and wanted.payer = b.payer and wanted.period = b.period
           order by b.id for update of b"#,
        &accounts,
        &chains,
        &assets,
        &payers,
        &periods,
    )
    .fetch_all(&mut **tx)
    .await?;
    let by_columns: HashMap<Columns, BudgetKey> = keys.into_iter().collect();
    rows.into_iter()
        .filter_map(|row| {
            let columns = Columns {
                account: row.account_id,
                chain: row.chain_id,
                asset: row.asset,
                payer: row.payer,
                period: row.period,
            };
            let key = by_columns.get(&columns)?;
            Some(parse(&row.used, "amount of a budget").map(|used| (*key, used)))
        })
        .collect()
}

/// Writes what these payments take up.
pub(super) async fn take_up(
    tx: &mut PgTransaction<'_>,
    done: &[&Decided<'_>],
) -> Result<(), StoreError> {
    let mut payments = Vec::new();
    let mut columns: Vec<Columns> = Vec::new();
    let mut amounts: Vec<String> = Vec::new();
    for decided in done {
        let Decision::Allow(takes) = &decided.decision else { continue };
        for (key, amount) in takes {
            payments.push(decided.candidate.payment.id.uuid());
            columns.push(Columns::of(key));
            amounts.push(amount.to_string());
        }
    }
    if payments.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "with taken as (
             insert into budget_reservations (payment_id, budget_id, amount)
             select new.payment_id, b.id, new.amount::numeric
             from unnest(
                 $1::uuid[], $2::uuid[], $3::bigint[], $4::bytea[], $5::bytea[], $6::text[],
                 $7::text[]
             ) as new (payment_id, account_id, chain_id, asset, payer, period, amount)
             join budgets b on b.account_id = new.account_id and b.chain_id = new.chain_id
                 and b.asset = new.asset and b.payer = new.payer and b.period = new.period
             returning budget_id, amount
         )
         update budgets b set reserved = b.reserved + t.amount
         from (select budget_id, sum(amount) as amount from taken group by budget_id) t
         where b.id = t.budget_id",
        &payments,
        &columns.iter().map(|key| key.account).collect::<Vec<_>>(),
        &columns.iter().map(|key| key.chain).collect::<Vec<_>>(),
        &columns.iter().map(|key| key.asset.clone()).collect::<Vec<_>>(),
        &columns.iter().map(|key| key.payer.clone()).collect::<Vec<_>>(),
        &columns.iter().map(|key| key.period.clone()).collect::<Vec<_>>(),
        &amounts,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Payments that leave what they took up, in the transaction that moves them.
pub(crate) struct Leaving {
    /// Those that are not open any more without having been paid: over, or decided on anew.
    pub(crate) closed: Vec<Uuid>,
    /// Those of them that are over.
    pub(crate) over: Vec<Uuid>,
    /// Those of these that were paid.
    pub(crate) paid: Vec<Uuid>,
    /// Those that a block holds now.
    pub(crate) in_block: Vec<Uuid>,
    /// Those that no block holds any more.
    pub(crate) out_of_block: Vec<Uuid>,
}

/// Gives back what payments took up that are over; what was paid counts as spent.
pub(crate) async fn give_back(
    tx: &mut PgTransaction<'_>,
    leaving: &Leaving,
    now: Timestamp,
) -> Result<(), StoreError> {
    exposure::into_blocks(tx, &leaving.in_block, now).await?;
    exposure::out_of_blocks(tx, &leaving.out_of_block).await?;
    if leaving.closed.is_empty() && leaving.over.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "with closed as (
             delete from open_approvals where payment_id = any($1)
         ), done as (
             delete from budget_reservations where payment_id = any($2)
             returning budget_id, amount, payment_id = any($3) as paid
         ), sums as (
             select budget_id, sum(amount) as taken,
                    coalesce(sum(amount) filter (where paid), 0) as paid
             from done group by budget_id
         ), locked as (
             select id from budgets where id in (select budget_id from sums) order by id for update
         )
         update budgets b set reserved = b.reserved - s.taken, spent = b.spent + s.paid
         from sums s where b.id = s.budget_id and b.id in (select id from locked)",
        &leaving.closed,
        &leaving.over,
        &leaving.paid,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
