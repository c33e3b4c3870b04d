//! Events on their way to endpoints.

mod announcement;
mod attempt;
mod listing;
mod outlook;
mod trial;

use domain::{DeliveryId, DeliveryOrder, EndpointId, EventId, PaymentId, Timestamp};
use uuid::Uuid;

pub(crate) use self::announcement::announce;
pub use self::attempt::{AttemptRecord, DeliveryNext, LoggedAttempt, Reception, Redelivery};
pub use self::listing::{DeliveryCounts, DeliveryFilter, DeliveryListing};
pub use self::outlook::{DeliveryKind, Outlook, PutOff};
pub use self::trial::{NewTrial, Trial};
use crate::row::{count, moment, parse};
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
    /// Whether to sign it with Ed25519 besides.
    pub ed25519: bool,
    /// The `webhook-id`.
    pub event: EventId,
    /// The payment it tells of, if it tells of one.
    pub payment: Option<PaymentId>,
    /// The bytes to sign and send.
    pub body: Vec<u8>,
    /// Why it is made.
    pub kind: DeliveryKind,
    /// Whether its endpoint wants the events of a payment in order.
    pub in_order: bool,
    /// The attempts made before this one.
    pub attempts: u32,
    /// Whether an earlier event of its payment has not arrived though the endpoint wants them in order.
    pub overtook: bool,
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
             update webhook_deliveries d
             set lease_until = $3,
                 -- Decided once, so that the same bytes are sent each time; who has a lease that ran
                 -- out may have been sent already.
                 overtook = case
                     when d.attempts > 0 or w.lease_until is not null or e.ordering = 'none'
                         then d.overtook
                     else coalesce((
                         select bool_or(before.state = 'pending') from payment_events own
                         join payment_events earlier
                             on earlier.payment_id = own.payment_id and earlier.version < own.version
                         join webhook_deliveries before
                             on before.event_id = earlier.id and before.endpoint_id = d.endpoint_id
                         where own.id = d.event_id
                     ), false)
                 end
             from wanted w join webhook_endpoints e on e.id = w.endpoint_id and e.state = 'enabled'
             where d.id = w.id and w.state = 'pending' and w.due_at <= $2
               and (w.lease_until is null or w.lease_until < $2)
             returning d.id, d.endpoint_id, e.url, e.secret,
                       case when e.old_secret_until > $2 then e.old_secret end as old_secret,
                       e.ed25519, e.ordering, d.event_id, d.payment_id, d.body, d.kind, d.attempts,
                       d.overtook, d.created_at",
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
                    ed25519: row.ed25519,
                    payment: payment(row.payment_id),
                    body: row.body,
                    kind: parse(&row.kind, "kind of delivery")?,
                    in_order: row.ordering != DeliveryOrder::None.as_str(),
                    attempts: count(row.attempts)?,
                    overtook: row.overtook,
                    created_at: moment(row.created_at),
                    lease_until,
                })
            })
            .collect()
    }
}

/// The payment that a delivery tells of; the nil UUID where it tells of something else.
fn payment(id: Uuid) -> Option<PaymentId> {
    (!id.is_nil()).then(|| PaymentId::new(id))
}
