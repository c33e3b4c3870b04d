//! Payments and deliveries that nobody has looked at in time.

use domain::{ChainId, DeliveryId, PaymentId, StateName, Timestamp, schedule};

use crate::payment::load;
use crate::{Store, StoreError};

/// A payment whose bell is to be rung again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The payment.
    pub payment: PaymentId,
    /// Where it stands: whose bell to ring.
    pub state: StateName,
    /// The network it is on.
    pub chain: ChainId,
}

impl Store {
    /// Up to `limit` payments that are due, each put off to its next due time, so that several
    /// callers at once share them. A caller that dies with them costs a delay, nothing more.
    ///
    /// # Errors
    /// [`StoreError`] when nothing was put off.
    pub async fn take_due(&self, limit: i64, now: Timestamp) -> Result<Vec<Due>, StoreError> {
        let mut tx = self.pool.begin().await?;
        let rows = sqlx::query!(
            "select id, rings from payments where due_at <= $1
             order by due_at limit $2 for update skip locked",
            now.to_datetime(),
            limit,
        )
        .fetch_all(&mut *tx)
        .await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
        let mut due = Vec::with_capacity(rows.len());
        let (mut put_off, mut rings, mut times) = (Vec::new(), Vec::new(), Vec::new());
        for payment in load(&mut *tx, &ids).await? {
            let before =
                rows.iter().find(|row| row.id == payment.id.uuid()).map_or(0, |row| row.rings);
            let rung = before.saturating_add(1);
            let next =
                schedule::due_at(&payment.state, u32::try_from(rung).unwrap_or_default(), now);
            let Some(next) = next else { continue };
            put_off.push(payment.id.uuid());
            rings.push(rung);
            times.push(next.to_datetime());
            due.push(Due {
                payment: payment.id,
                state: payment.state.name(),
                chain: payment.authorization.chain,
            });
        }
        sqlx::query!(
            "update payments p set due_at = u.due_at, rings = u.rings
             from unnest($1::uuid[], $2::integer[], $3::timestamptz[]) as u (id, rings, due_at)
             where p.id = u.id",
            &put_off,
            &rings,
            &times,
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(due)
    }

    /// Up to `limit` deliveries that are due and that nobody is attempting.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn due_deliveries(
        &self,
        limit: i64,
        now: Timestamp,
    ) -> Result<Vec<DeliveryId>, StoreError> {
        let ids = sqlx::query_scalar!(
            "select id from webhook_deliveries
             where state = 'pending' and due_at <= $1 and (lease_until is null or lease_until < $1)
             order by due_at limit $2",
            now.to_datetime(),
            limit,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(ids.into_iter().map(DeliveryId::new).collect())
    }

    /// Forgets idempotency keys made before `before`, up to `limit` of them.
    ///
    /// # Errors
    /// [`StoreError`] when nothing was forgotten.
    pub async fn forget_idempotency_keys(
        &self,
        before: Timestamp,
        limit: i64,
    ) -> Result<u64, StoreError> {
        let done = sqlx::query!(
            "delete from idempotency_keys where (account_id, key) in (
                 select account_id, key from idempotency_keys where created_at < $1
                 order by created_at limit $2
             )",
            before.to_datetime(),
            limit,
        )
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }
}
