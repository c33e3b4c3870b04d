//! Deliveries as their seller sees them.

use std::collections::HashMap;

use domain::{AccountId, DeliveryId, EndpointId, EventId, PaymentId, Timestamp};

use super::{DeliveryKind, payment};
use crate::payment::uuids;
use crate::row::{count, moment, parse, unsigned};
use crate::{Store, StoreError};

/// Which deliveries of an account to list, newest first.
#[derive(Clone, Copy, Debug)]
pub struct DeliveryFilter {
    /// Whose.
    pub account: AccountId,
    /// To which endpoint.
    pub endpoint: EndpointId,
    /// Older than this one: the keyset of the page.
    pub before: Option<DeliveryId>,
}

/// A delivery as its seller sees it.
#[derive(Clone, Debug)]
pub struct DeliveryListing {
    /// The delivery.
    pub id: DeliveryId,
    /// The `webhook-id`.
    pub event: EventId,
    /// The payment it tells of, if it tells of one.
    pub payment: Option<PaymentId>,
    /// What it tells.
    pub event_type: String,
    /// Why it was made.
    pub kind: DeliveryKind,
    /// Where it stands.
    pub state: String,
    /// The attempts so far.
    pub attempts: u32,
    /// When it is tried next.
    pub due_at: Option<Timestamp>,
    /// When it came to be.
    pub created_at: Timestamp,
    /// When it was over.
    pub finished_at: Option<Timestamp>,
}

/// How the deliveries of one payment's events stand; what was canceled with its endpoint does not
/// count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct DeliveryCounts {
    /// To be attempted, or held until their endpoint is enabled.
    pub pending: u64,
    /// Taken by the receiver.
    pub delivered: u64,
    /// Given up.
    pub failed: u64,
}

impl Store {
    /// A page of an endpoint's deliveries, newest first.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn list_deliveries(
        &self,
        filter: &DeliveryFilter,
        limit: i64,
    ) -> Result<Vec<DeliveryListing>, StoreError> {
        let rows = sqlx::query!(
            "select id, event_id, payment_id, event_type, kind, state, attempts, due_at, created_at,
                    finished_at
             from webhook_deliveries
             where endpoint_id = $1 and account_id = $2 and ($3::uuid is null or id < $3)
             order by id desc limit $4",
            filter.endpoint.uuid(),
            filter.account.uuid(),
            filter.before.map(DeliveryId::uuid),
            limit,
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(DeliveryListing {
                    id: DeliveryId::new(row.id),
                    event: EventId::new(row.event_id),
                    payment: payment(row.payment_id),
                    event_type: row.event_type,
                    kind: parse(&row.kind, "kind of delivery")?,
                    state: row.state,
                    attempts: count(row.attempts)?,
                    due_at: row.due_at.map(moment),
                    created_at: moment(row.created_at),
                    finished_at: row.finished_at.map(moment),
                })
            })
            .collect()
    }

    /// How the deliveries of these payments' events stand; of those that have none, nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn delivery_counts(
        &self,
        payments: &[PaymentId],
    ) -> Result<HashMap<PaymentId, DeliveryCounts>, StoreError> {
        let rows = sqlx::query!(
            r#"select e.payment_id,
                 count(*) filter (where d.state in ('pending', 'held')) as "pending!",
                 count(*) filter (where d.state = 'delivered') as "delivered!",
                 count(*) filter (where d.state in ('exhausted', 'aborted')) as "failed!"
               from payment_events e join webhook_deliveries d on d.event_id = e.id
               where e.payment_id = any($1) group by e.payment_id"#,
            &uuids(payments),
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                let counts = DeliveryCounts {
                    pending: unsigned(row.pending)?,
                    delivered: unsigned(row.delivered)?,
                    failed: unsigned(row.failed)?,
                };
                Ok((PaymentId::new(row.payment_id), counts))
            })
            .collect()
    }
}
