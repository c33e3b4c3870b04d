//! A delivery that tells of nothing: its endpoint's owner wants to see whether it arrives.

use domain::{AccountId, DeliveryId, EndpointId, EventId, Timestamp};
use uuid::Uuid;

use crate::{Store, StoreError};

/// The type of the event behind every trial.
const KIND: &str = "webhook_endpoint.test";

/// A trial to be made.
#[derive(Clone, Debug)]
pub struct NewTrial {
    /// Its name.
    pub delivery: DeliveryId,
    /// The `webhook-id`.
    pub event: EventId,
    /// Whose.
    pub account: AccountId,
    /// Where it goes.
    pub endpoint: EndpointId,
    /// The type that the body shows.
    pub event_type: String,
    /// The bytes to sign and send.
    pub body: Vec<u8>,
}

/// What became of the wish for a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// It is due now, and is tried once.
    Due,
    /// The endpoint is disabled, and is told nothing.
    EndpointIsDown,
    /// The account has no such endpoint.
    Unknown,
}

impl Store {
    /// Makes a delivery to the account's endpoint that is tried once.
    ///
    /// # Errors
    /// [`StoreError`] when it was not made.
    pub async fn try_endpoint(
        &self,
        trial: &NewTrial,
        now: Timestamp,
    ) -> Result<Trial, StoreError> {
        let mut tx = self.pool.begin().await?;
        let state = sqlx::query_scalar!(
            "select state from webhook_endpoints where id = $1 and account_id = $2 for share",
            trial.endpoint.uuid(),
            trial.account.uuid(),
        )
        .fetch_optional(&mut *tx)
        .await?;
        match state.as_deref() {
            Some("enabled") => {}
            Some("disabled") => return Ok(Trial::EndpointIsDown),
            _ => return Ok(Trial::Unknown),
        }
        sqlx::query!(
            "insert into endpoint_events (id, account_id, endpoint_id, type, at)
             values ($1, $2, $3, $4, $5)",
            trial.event.uuid(),
            trial.account.uuid(),
            trial.endpoint.uuid(),
            KIND,
            now.to_datetime(),
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!(
            "insert into webhook_deliveries (
                 id, endpoint_id, account_id, event_id, payment_id, event_type, kind, body, state,
                 due_at, created_at
             )
             values ($1, $2, $3, $4, $5, $6, 'test', $7, 'pending', $8, $8)",
            trial.delivery.uuid(),
            trial.endpoint.uuid(),
            trial.account.uuid(),
            trial.event.uuid(),
            Uuid::nil(),
            trial.event_type,
            trial.body,
            now.to_datetime(),
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Trial::Due)
    }
}
