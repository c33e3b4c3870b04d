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
}

pub(super) async fn insert_items(
    tx: &mut PgTransaction<'_>,
    transaction: TransactionId,
    payments: &[PaymentId],
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = payments.iter().map(|id| id.uuid()).collect();
    let positions: Vec<i32> =
        (0..payments.len()).map(|at| i32::try_from(at).unwrap_or(i32::MAX)).collect();
    sqlx::query!(
        "insert into transaction_items (transaction_id, position, payment_id, open)
         select $1, position, payment_id, true
         from unnest($2::integer[], $3::uuid[]) as new (position, payment_id)",
        transaction.uuid(),
        &positions,
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
        "update transaction_items i set open = false
         from unnest($1::uuid[], $2::uuid[]) as u (transaction_id, payment_id)
         where i.payment_id = u.payment_id and i.transaction_id = u.transaction_id and i.open",
        &transactions,
        &payments,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
