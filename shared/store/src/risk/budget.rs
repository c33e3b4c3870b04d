//! What payments take up of the bounds that their tenants set.

use std::collections::{BTreeMap, HashMap, HashSet};

use domain::{Address, Amount, BudgetKey, PaymentId, Timestamp};
use sqlx::PgTransaction;
use uuid::Uuid;

use super::exposure;
use crate::StoreError;
use crate::row::{parse, unreadable};

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

/// What some payments have taken up already.
#[derive(Debug, Default)]
pub(super) struct Reserved {
    /// The payments that have.
    pub(super) payments: HashSet<Uuid>,
    /// Of these budgets. Whoever ends the payments gives it back.
    budgets: Vec<i64>,
}

/// Which of the payments have taken up their budgets already.
pub(super) async fn reserved(
    tx: &mut PgTransaction<'_>,
    payments: &[Uuid],
) -> Result<Reserved, StoreError> {
    let rows = sqlx::query!(
        r#"select payment_id as "payment!", budgets as "budgets!" from budget_takes
           where payment_id = any($1)
           union all
           select payment_id, array[budget_id] from budget_reservations
           where payment_id = any($1)"#,
        payments,
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut reserved = Reserved::default();
    for row in rows {
        reserved.payments.insert(row.payment);
        reserved.budgets.extend(row.budgets);
    }
    Ok(reserved)
}

/// A budget that this transaction has locked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Locked {
    id: i64,
    /// What it has counted.
    pub(super) used: Amount,
}

/// Budgets by their columns, as the statements below take them.
struct Wanted {
    accounts: Vec<Uuid>,
    chains: Vec<i64>,
    assets: Vec<Vec<u8>>,
    payers: Vec<Vec<u8>>,
    periods: Vec<String>,
}

impl Wanted {
    fn of<'a>(keys: impl Iterator<Item = &'a Columns> + Clone) -> Self {
        Self {
            accounts: keys.clone().map(|key| key.account).collect(),
            chains: keys.clone().map(|key| key.chain).collect(),
            assets: keys.clone().map(|key| key.asset.clone()).collect(),
            payers: keys.clone().map(|key| key.payer.clone()).collect(),
            periods: keys.map(|key| key.period.clone()).collect(),
        }
    }
}

/// Makes and locks these budgets, and says what each has counted. What may be given back in the same
/// transaction is locked with them, so that nobody who gives back waits in a circle.
pub(super) async fn lock(
    tx: &mut PgTransaction<'_>,
    keys: Vec<BudgetKey>,
    reserved: &Reserved,
) -> Result<HashMap<BudgetKey, Locked>, StoreError> {
    let by_columns: BTreeMap<Columns, BudgetKey> =
        keys.into_iter().map(|key| (Columns::of(&key), key)).collect();
    if by_columns.is_empty() {
        return Ok(HashMap::new());
    }
    let wanted = Wanted::of(by_columns.keys());
    lock_accounts(tx, &wanted.accounts).await?;
    let rows = sqlx::query!(
        // Locked in the order of their ids, as when they are given back.
        r#"select b.id, b.account_id, b.chain_id, b.asset, b.payer, b.period,
                  (b.reserved + b.spent)::text as "used!"
           from budgets b
           where b.id = any(array(
               select named.id from budgets named
               join unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::bytea[], $5::text[])
                   as wanted (account_id, chain_id, asset, payer, period)
                   on wanted.account_id = named.account_id and wanted.chain_id = named.chain_id
                   and wanted.asset = named.asset and wanted.payer = named.payer
                   and wanted.period = named.period
               union all
               select unnest($6::bigint[])
           ))
           order by b.id for update of b"#,
        &wanted.accounts,
        &wanted.chains,
        &wanted.assets,
        &wanted.payers,
        &wanted.periods,
        &reserved.budgets,
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut locked = HashMap::with_capacity(by_columns.len());
    for row in rows {
        let columns = Columns {
            account: row.account_id,
            chain: row.chain_id,
            asset: row.asset,
            payer: row.payer,
            period: row.period,
        };
        if let Some(key) = by_columns.get(&columns) {
            let used = parse(&row.used, "amount of a budget")?;
            locked.insert(*key, Locked { id: row.id, used });
        }
    }
    let missing: Vec<(&Columns, &BudgetKey)> =
        by_columns.iter().filter(|(_, key)| !locked.contains_key(key)).collect();
    locked.extend(make(tx, &missing).await?);
    Ok(locked)
}

/// Has whoever decides for one of these accounts wait for this transaction: then nobody else makes
/// budgets of theirs.
async fn lock_accounts(tx: &mut PgTransaction<'_>, accounts: &[Uuid]) -> Result<(), StoreError> {
    let mut keys: Vec<i64> = accounts
        .iter()
        .map(|account| {
            let (high, low) = account.as_u64_pair();
            i64::from_ne_bytes((high.rotate_left(32) ^ low).to_ne_bytes())
        })
        .collect();
    keys.sort_unstable();
    keys.dedup();
    sqlx::query!(
        r#"select count(pg_advisory_xact_lock(key)) as "locked!" from unnest($1::bigint[]) as u (key)"#,
        &keys,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(())
}

/// Makes budgets that are not there.
async fn make(
    tx: &mut PgTransaction<'_>,
    missing: &[(&Columns, &BudgetKey)],
) -> Result<Vec<(BudgetKey, Locked)>, StoreError> {
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let wanted = Wanted::of(missing.iter().map(|(columns, _)| *columns));
    let rows = sqlx::query!(
        "insert into budgets (account_id, chain_id, asset, payer, period)
         select * from unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::bytea[], $5::text[])
             as new (account_id, chain_id, asset, payer, period)
         returning id, account_id, chain_id, asset, payer, period",
        &wanted.accounts,
        &wanted.chains,
        &wanted.assets,
        &wanted.payers,
        &wanted.periods,
    )
    .fetch_all(&mut **tx)
    .await?;
    let keys: HashMap<&Columns, &BudgetKey> = missing.iter().copied().collect();
    let made = rows.into_iter().filter_map(|row| {
        let columns = Columns {
            account: row.account_id,
            chain: row.chain_id,
            asset: row.asset,
            payer: row.payer,
            period: row.period,
        };
        let key = keys.get(&columns)?;
        Some((**key, Locked { id: row.id, used: Amount::ZERO }))
    });
    Ok(made.collect())
}

/// What a payment takes up.
pub(super) type Take<'a> = (PaymentId, &'a [(BudgetKey, Amount)]);

/// Writes what these payments take up.
pub(super) async fn take_up<'a>(
    tx: &mut PgTransaction<'_>,
    taking: impl Iterator<Item = Take<'a>>,
    budgets: &HashMap<BudgetKey, Locked>,
) -> Result<(), StoreError> {
    let (mut payments, mut ids, mut amounts) = (Vec::new(), Vec::new(), Vec::new());
    let mut sums: BTreeMap<i64, Amount> = BTreeMap::new();
    for (payment, takes) in taking {
        for (key, amount) in takes {
            let budget = budgets.get(key).ok_or_else(|| unreadable("budget"))?;
            payments.push(payment.uuid());
            ids.push(budget.id);
            amounts.push(amount.to_string());
            let sum = sums.entry(budget.id).or_default();
            *sum = sum.checked_add(*amount).ok_or_else(|| unreadable("sum of a budget"))?;
        }
    }
    if payments.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "with takes as (
             insert into budget_takes (payment_id, budgets, amounts)
             select payment_id, array_agg(budget_id), array_agg(amount::numeric)
             from unnest($1::uuid[], $2::bigint[], $3::text[]) as new (payment_id, budget_id, amount)
             group by payment_id
         )
         update budgets b set reserved = b.reserved + t.amount::numeric
         from unnest($4::bigint[], $5::text[]) as t (id, amount) where b.id = t.id",
        &payments,
        &ids,
        &amounts,
        &sums.keys().copied().collect::<Vec<_>>(),
        &sums.values().map(Amount::to_string).collect::<Vec<_>>(),
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

/// Gives back what payments took up that are over; what was paid stays counted.
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
        // What was paid stays counted where it is. Reservations are from before there were takes.
        "with closed as (
             delete from open_approvals where payment_id = any($1)
         ), takes as (
             delete from budget_takes where payment_id = any($2)
             returning payment_id, budgets, amounts
         ), reservations as (
             delete from budget_reservations where payment_id = any($2)
             returning payment_id, budget_id, amount
         ), unpaid as (
             select u.budget_id, u.amount
             from takes t cross join lateral unnest(t.budgets, t.amounts) as u (budget_id, amount)
             where t.payment_id not in (select unnest($3::uuid[]))
             union all
             select budget_id, amount from reservations
             where payment_id not in (select unnest($3::uuid[]))
         ), sums as (
             select budget_id, sum(amount) as amount from unpaid group by budget_id
         ), locked as (
             select b.id, s.amount from sums s join budgets b on b.id = s.budget_id
             order by b.id for update of b
         )
         update budgets b set reserved = b.reserved - l.amount from locked l where b.id = l.id",
        &leaving.closed,
        &leaving.over,
        &leaving.paid,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
