//! Events on their way to endpoints.

mod announcement;
mod attempt;
mod listing;

use domain::{DeliveryId, EndpointId, EventId, PaymentId, Timestamp};
use uuid::Uuid;

pub(crate) use self::announcement::announce;
pub use self::attempt::{AttemptRecord, DeliveryNext, LoggedAttempt, Redelivery};
pub use self::listing::{DeliveryCounts, DeliveryFilter, DeliveryListing};
use crate::row::{count, moment};
use crate::{Store, StoreError};

/// A delivery that was claimed, with all it takes to attempt it.
pub struct Delivery {
    /// Its name.
    pub id: DeliveryId,
    /// Where it goes.
    pub endpoint: EndpointId,
    /// The endpoint's URL.
    pub url: String,
    /// What to sign it with.
    pub secret: Vec<u8>,
    /// What to sign it with as well, while receivers change over.
    pub old_secret: Option<Vec<u8>>,
    /// The `webhook-id`.
    pub event: EventId,
    /// The payment it tells of.
    pub payment: PaymentId,
    /// The bytes to sign and send.
    pub body: Vec<u8>,
    /// The attempts made before this one.
    pub attempts: u32,
    /// When what it tells of happened.
    pub created_at: Timestamp,
    /// Until when the claim holds; the attempt has to be over by then.
    pub lease_until: Timestamp,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery")
            .field("id", &self.id)
            .field("endpoint", &self.endpoint)
            .field("event", &self.event)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Claims those of the deliveries that are due and unclaimed, until `lease_until`.
    ///
    /// # Errors
    /// [`StoreError`] when nothing was claimed, or that is unknown: the lease then runs out.
    pub async fn claim_deliveries(
        &self,
        ids: &[DeliveryId],
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Vec<Delivery>, StoreError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
        let rows = sqlx::query!(
            // Found by their ids alone and judged afterwards: with both in one, the planner may walk
            // through everything that is pending for the sake of one.
            "with wanted as (
                 select id, endpoint_id, state, due_at, lease_until from webhook_deliveries
                 where id = any($1) order by id for update skip locked
             )
             update webhook_deliveries d set lease_until = $3
             from wanted w join webhook_endpoints e on e.id = w.endpoint_id and e.state = 'enabled'
             where d.id = w.id and w.state = 'pending' and w.due_at <= $2
               and (w.lease_until is null or w.lease_until < $2)
             returning d.id, d.endpoint_id, e.url, e.secret,
                       case when e.old_secret_until > $2 then e.old_secret end as old_secret,
                       d.event_id, d.payment_id, d.body, d.attempts, d.created_at",
            &ids,
            now.to_datetime(),
            lease_until.to_datetime(),
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(Delivery {
                    id: DeliveryId::new(row.id),
                    endpoint: EndpointId::new(row.endpoint_id),
                    url: row.url,
                    secret: row.secret,
                    old_secret: row.old_secret,
                    event: EventId::new(row.event_id),
                    payment: PaymentId::new(row.payment_id),
                    body: row.body,
                    attempts: count(row.attempts)?,
                    created_at: moment(row.created_at),
                    lease_until,
                })
            })
            .collect()
    }
}
