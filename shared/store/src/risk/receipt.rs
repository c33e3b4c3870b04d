//! What engines are told of how payments ended that they have decided on: at least once each.

use std::collections::HashMap;
use std::time::Duration;

use domain::{Payment, PaymentId, Timestamp, TransactionId};
use sqlx::PgTransaction;
use uuid::Uuid;

use crate::payment::load;
use crate::row::{count, moment, unreadable, unsigned};
use crate::{Store, StoreError};

/// Something that an engine is to be told, by whoever claimed it.
#[derive(Clone, Debug)]
pub struct DueReceipt {
    /// The payment, which is over.
    pub payment: Payment,
    /// The engine's name for its decision.
    pub decision_id: String,
    /// The agent's mandate, by reference, where it handed one over.
    pub mandate: Option<String>,
    /// The newest transaction of ours that carried the payment, where one did.
    pub transaction: Option<TransactionId>,
    /// Which attempt this is, from 1 on.
    pub attempt: u32,
}

/// What becomes of a receipt after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptNext {
    /// The engine has it.
    Delivered,
    /// It is told again.
    Again(Timestamp),
    /// It is not told any more.
    GivenUp,
}

/// How much engines are still to be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiptBacklog {
    /// So many receipts.
    pub pending: u64,
    /// When the first of them is due.
    pub next_due: Option<Timestamp>,
}

impl Store {
    /// Up to `limit` receipts that are due, for the caller alone until `lease` is over.
    ///
    /// # Errors
    /// [`StoreError`] when none was claimed, or, after a lost connection, when that is unknown.
    pub async fn claim_receipts(
        &self,
        limit: i64,
        lease: Duration,
        now: Timestamp,
    ) -> Result<Vec<DueReceipt>, StoreError> {
        let mut tx = self.pool.begin().await?;
        let rows = sqlx::query!(
            r#"with due as (
                 select payment_id from risk_receipts
                 where state = 'pending' and due_at <= $1
                   and (lease_until is null or lease_until <= $1)
                 order by due_at limit $2 for update skip locked
             ), claimed as (
                 update risk_receipts r set lease_until = $3, attempts = r.attempts + 1
                 from due where r.payment_id = due.payment_id
                 returning r.payment_id, r.attempts
             )
             select c.payment_id, c.attempts,
                    -- Where it was being asked again when the payment ended: what it had said before.
                    coalesce(a.decision_id, (
                        select e.engine ->> 'decision_id' from risk_evaluations e
                        where e.payment_id = c.payment_id and e.engine ->> 'engine' = 'trustline'
                          and e.engine ->> 'decision_id' is not null
                        order by e.id desc limit 1
                    )) as decision_id,
                    x.mandate ->> 'ref' as mandate,
                    -- The fence keeps the order from being read off the transactions of all payments.
                    (select i.transaction_id from (
                         select transaction_id from transaction_items
                         where payment_id = c.payment_id offset 0
                     ) i order by i.transaction_id desc limit 1) as transaction_id
             from claimed c
             left join risk_answers a on a.payment_id = c.payment_id
             left join risk_contexts x on x.payment_id = c.payment_id"#,
            now.to_datetime(),
            limit,
            now.plus(lease).to_datetime(),
        )
        .fetch_all(&mut *tx)
        .await?;
        let ids: Vec<Uuid> = rows.iter().map(|row| row.payment_id).collect();
        let mut payments: HashMap<Uuid, Payment> = match ids.is_empty() {
            true => HashMap::new(),
            false => {
                let loaded = load(&mut *tx, &ids).await?.into_iter();
                loaded.map(|payment| (payment.id.uuid(), payment)).collect()
            }
        };
        let (mut due, mut nameless) = (Vec::new(), Vec::new());
        for row in rows {
            let Some(decision_id) = row.decision_id else {
                nameless.push(row.payment_id);
                continue;
            };
            due.push(DueReceipt {
                payment: payments
                    .remove(&row.payment_id)
                    .ok_or_else(|| unreadable("payment of a receipt"))?,
                decision_id,
                mandate: row.mandate,
                transaction: row.transaction_id.map(TransactionId::new),
                attempt: count(row.attempts)?,
            });
        }
        give_up(&mut tx, &nameless, now).await?;
        tx.commit().await?;
        Ok(due)
    }

    /// Writes down what an attempt came to. Who has lost its lease meanwhile changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when nothing was written.
    pub async fn settle_receipt(
        &self,
        payment: PaymentId,
        attempt: u32,
        (next, outcome): (ReceiptNext, &str),
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (state, due_at) = match next {
            ReceiptNext::Delivered => ("delivered", None),
            ReceiptNext::Again(at) => ("pending", Some(at.to_datetime())),
            ReceiptNext::GivenUp => ("given_up", None),
        };
        sqlx::query!(
            "update risk_receipts
             set state = $3, due_at = coalesce($4, due_at), lease_until = null, last_outcome = $5,
                 ended_at = case when $3 = 'pending' then null else $6::timestamptz end
             where payment_id = $1 and attempts = $2 and state = 'pending'",
            payment.uuid(),
            i32::try_from(attempt).unwrap_or(i32::MAX),
            state,
            due_at,
            outcome,
            now.to_datetime(),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// How many receipts are pending, counted up to `most`, and when the next is due.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn receipt_backlog(&self, most: i64) -> Result<ReceiptBacklog, StoreError> {
        let row = sqlx::query!(
            r#"select
                 (select count(*) from (
                     select 1 from risk_receipts where state = 'pending' limit $1
                 ) p) as "pending!",
                 (select min(due_at) from risk_receipts where state = 'pending') as next_due"#,
            most,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(ReceiptBacklog { pending: unsigned(row.pending)?, next_due: row.next_due.map(moment) })
    }
}

/// Gives up receipts that name no decision: they must not keep others from being told.
async fn give_up(
    tx: &mut PgTransaction<'_>,
    nameless: &[Uuid],
    now: Timestamp,
) -> Result<(), StoreError> {
    if nameless.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update risk_receipts
         set state = 'given_up', lease_until = null, last_outcome = 'no_decision', ended_at = $2
         where payment_id = any($1)",
        nameless,
        now.to_datetime(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Has engines told that payments are over on which they have decided, where they want to know.
pub(crate) async fn owe_receipts(
    tx: &mut PgTransaction<'_>,
    ended: &[Uuid],
    now: Timestamp,
) -> Result<(), StoreError> {
    if ended.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into risk_receipts (payment_id, state, due_at, created_at)
         select payment_id, 'pending', $2, $2 from risk_answers a
         where payment_id = any($1) and engine = 'trustline'
           and (state = 'answered' or exists (
               select from risk_evaluations e
               where e.payment_id = a.payment_id and e.engine ->> 'engine' = 'trustline'
                 and e.engine ->> 'decision_id' is not null
           ))
         on conflict do nothing",
        ended,
        now.to_datetime(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
