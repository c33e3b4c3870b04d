//! Payments on which somebody has to decide.

use std::collections::HashMap;

use domain::{ApiKeyId, Payment, PaymentId, Timestamp};
use sqlx::PgTransaction;
use uuid::Uuid;

use crate::payment::load;
use crate::{Store, StoreError};

/// A payment that waits for somebody, and since when.
#[derive(Clone, Debug)]
pub struct HeldPayment {
    /// The payment.
    pub payment: Payment,
    /// What was decided on it already, and is carried out in a moment.
    pub decided: Option<bool>,
}

/// What somebody decides on a held payment.
#[derive(Clone, Debug)]
pub struct HoldDecision {
    /// Which.
    pub payment: PaymentId,
    /// Whether it may be settled.
    pub approved: bool,
    /// Why.
    pub reason: String,
    /// By which key.
    pub by: ApiKeyId,
}

/// What became of somebody's decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldOutcome {
    /// It is carried out as soon as risk looks at the payment again.
    Recorded,
    /// Somebody has decided already: so.
    Decided(bool),
    /// The payment is not held, or not for longer than until now.
    NotHeld,
    /// There is no such payment.
    Unknown,
}

impl Store {
    /// Payments that wait for somebody, oldest first, behind this one.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn list_holds(
        &self,
        after: Option<PaymentId>,
        limit: i64,
    ) -> Result<Vec<HeldPayment>, StoreError> {
        let rows = sqlx::query!(
            // There is little under way at a time; the fence keeps the planner from looking elsewhere.
            r#"select open.id as "id!", d.approved as "approved?"
               from (select * from payments where due_at is not null offset 0) open
               left join hold_decisions d on d.payment_id = open.id
               where open.state = 'held' and ($1::uuid is null or open.id > $1)
               order by open.id limit $2"#,
            after.map(PaymentId::uuid),
            limit,
        )
        .fetch_all(&self.pool)
        .await?;
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        let mut payments: HashMap<Uuid, Payment> = load(&self.pool, &ids)
            .await?
            .into_iter()
            .map(|payment| (payment.id.uuid(), payment))
            .collect();
        let held = rows.into_iter().filter_map(|row| {
            let payment = payments.remove(&row.id)?;
            Some(HeldPayment { payment, decided: row.approved })
        });
        Ok(held.collect())
    }

    /// Records what somebody decides; the first decision counts. The payment is to be rung for.
    ///
    /// # Errors
    /// [`StoreError`] when nothing was recorded.
    pub async fn decide_hold(
        &self,
        decision: &HoldDecision,
        now: Timestamp,
    ) -> Result<HoldOutcome, StoreError> {
        let mut tx = self.pool.begin().await?;
        let payment = sqlx::query!(
            r#"select state = 'held' as "is_held!", coalesce(held_until <= $2, true) as "is_over!"
               from payments where id = $1 for update"#,
            decision.payment.uuid(),
            now.to_datetime(),
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(payment) = payment else { return Ok(HoldOutcome::Unknown) };
        if !payment.is_held {
            return Ok(HoldOutcome::NotHeld);
        }
        let before = sqlx::query_scalar!(
            "select approved from hold_decisions where payment_id = $1",
            decision.payment.uuid(),
        )
        .fetch_optional(&mut *tx)
        .await?;
        if let Some(approved) = before {
            return Ok(HoldOutcome::Decided(approved));
        }
        // Nobody has looked at it since its time was over, and then it is rejected.
        if payment.is_over {
            return Ok(HoldOutcome::NotHeld);
        }
        sqlx::query!(
            "insert into hold_decisions (payment_id, approved, reason, decided_by, decided_at)
             values ($1, $2, $3, $4, $5)",
            decision.payment.uuid(),
            decision.approved,
            decision.reason,
            decision.by.uuid(),
            now.to_datetime(),
        )
        .execute(&mut *tx)
        .await?;
        // Looked at again soon, should its bell be lost.
        sqlx::query!(
            "update payments set due_at = least(due_at, $2) where id = $1",
            decision.payment.uuid(),
            now.to_datetime(),
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(HoldOutcome::Recorded)
    }

    /// Those of the payments on which somebody has decided.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn decided_holds(
        &self,
        payments: &[PaymentId],
    ) -> Result<Vec<PaymentId>, StoreError> {
        let rows = sqlx::query_scalar!(
            "select payment_id from hold_decisions where payment_id = any($1)",
            &crate::payment::uuids(payments),
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(PaymentId::new).collect())
    }
}

/// What somebody has decided on these payments.
pub(super) async fn decisions(
    tx: &mut PgTransaction<'_>,
    payments: &[Uuid],
) -> Result<HashMap<Uuid, bool>, StoreError> {
    let rows = sqlx::query!(
        "select payment_id, approved from hold_decisions where payment_id = any($1)",
        payments,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().map(|row| (row.payment_id, row.approved)).collect())
}
