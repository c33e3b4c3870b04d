//! Items: which payments a transaction carries.
//!
//! An item is open exactly as long as its payment rests on its transaction: [`advance`] closes it
//! in the step that takes the payment away.
//!
//! [`advance`]: crate::advance::advance

use std::collections::HashMap;

use domain::{PaymentId, TransactionId};
use sqlx::PgTransaction;
use uuid::Uuid;

use crate::payment::uuids;
use crate::row::unreadable;
use crate::{Store, StoreError};

impl Store {
    /// The payments of each of these transactions, in the order of the calls.
    pub(super) async fn items(
        &self,
        transactions: &[Uuid],
    ) -> Result<HashMap<Uuid, Vec<PaymentId>>, StoreError> {
        let rows = sqlx::query!(
            "select transaction_id, payment_id from transaction_items
             where transaction_id = any($1) order by transaction_id, position",
            transactions,
        )
        .fetch_all(&self.pool)
        .await?;
        let mut items: HashMap<Uuid, Vec<PaymentId>> = HashMap::new();
        for row in rows {
            items.entry(row.transaction_id).or_default().push(PaymentId::new(row.payment_id));
        }
        Ok(items)
    }

    /// How often each of these payments, which rest on no transaction now, was inside one of ours
    /// that a final block holds, and was not paid by it: 0 where the nonce was only used up, because
    /// no node would take the payload. Those that never were are left out.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn times_unpaid(
        &self,
        payments: &[PaymentId],
    ) -> Result<HashMap<PaymentId, u32>, StoreError> {
        let rows = sqlx::query!(
            r#"select i.payment_id, count(*) filter (where a.kind = 'payload') as "times!"
               from transaction_items i
               join chain_transactions t on t.id = i.transaction_id
               join transaction_attempts a on a.transaction_id = t.id and a.hash = t.mined_hash
               where i.payment_id = any($1) and not i.open and t.state = 'final'
               group by i.payment_id"#,
            &uuids(payments),
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                let times = u32::try_from(row.times).map_err(|_| unreadable("count"))?;
                Ok((PaymentId::new(row.payment_id), times))
            })
            .collect()
    }
}

pub(super) async fn insert_items(
    tx: &mut PgTransaction<'_>,
    transaction: TransactionId,
    payments: &[PaymentId],
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = payments.iter().map(|id| id.uuid()).collect();
    // A transaction whose nonce is given to other payments has items already.
    sqlx::query!(
        "insert into transaction_items (transaction_id, position, payment_id, open)
         select $1, offset_by.items + at - 1, payment_id, true
         from unnest($2::uuid[]) with ordinality as new (payment_id, at),
              (select count(*) as items from transaction_items where transaction_id = $1) as offset_by",
        transaction.uuid(),
        &ids,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Closes the items of payments that have left their transactions.
pub(crate) async fn close_items(
    tx: &mut PgTransaction<'_>,
    left: &[(TransactionId, PaymentId)],
) -> Result<(), StoreError> {
    if left.is_empty() {
        return Ok(());
    }
    let (transactions, payments): (Vec<Uuid>, Vec<Uuid>) =
        left.iter().map(|(transaction, payment)| (transaction.uuid(), payment.uuid())).unzip();
    sqlx::query!(
        // Each is looked up by itself, and by its key once it is known: the planner may believe that
        // nothing is ever open, and walk through all that is.
        "with closing as materialized (
             select i.transaction_id, i.position
             from unnest($1::uuid[], $2::uuid[]) as u (transaction_id, payment_id)
             cross join lateral (
                 select transaction_id, position from transaction_items
                 where payment_id = u.payment_id and open limit 1
             ) i
             where i.transaction_id = u.transaction_id
         )
         update transaction_items i set open = false from closing c
         where i.transaction_id = c.transaction_id and i.position = c.position",
        &transactions,
        &payments,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
