//! Where sellers want to be told.

mod secret;
mod standing;

use domain::{AccountId, EndpointId, EventType, Timestamp};
use sqlx::PgTransaction;
use time::OffsetDateTime;
use uuid::Uuid;

pub use self::secret::{EndpointSecrets, NewSecret, Rotation};
use crate::row::{moment, parse, unreadable};
use crate::{Store, StoreError};

/// Whether an endpoint is told anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointState {
    /// It is.
    Enabled,
    /// It is not, for this reason, until it is enabled again.
    Disabled(String),
}

/// A seller's endpoint, without its secret.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its name.
    pub id: EndpointId,
    /// Whose it is.
    pub account: AccountId,
    /// Where it is.
    pub url: String,
    /// What it hears of.
    pub event_types: Vec<EventType>,
    /// Whether it is told anything.
    pub state: EndpointState,
    /// When it was made.
    pub created_at: Timestamp,
}

/// An endpoint to be made.
pub struct NewEndpoint {
    /// Its name.
    pub id: EndpointId,
    /// Whose it is.
    pub account: AccountId,
    /// Where it is.
    pub url: String,
    /// What it hears of; at least one.
    pub event_types: Vec<EventType>,
    /// What its deliveries are signed with: 24 to 64 random bytes.
    pub secret: Vec<u8>,
}

impl std::fmt::Debug for NewEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewEndpoint")
            .field("id", &self.id)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// What is to become of an endpoint; what is none stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointUpdate {
    /// Where it is from now on.
    pub url: Option<String>,
    /// What it hears of from now on; at least one.
    pub event_types: Option<Vec<EventType>>,
}

struct EndpointRow {
    id: Uuid,
    account_id: Uuid,
    url: String,
    event_types: Vec<String>,
    state: String,
    disabled_reason: Option<String>,
    created_at: OffsetDateTime,
}

impl EndpointRow {
    fn into_endpoint(self) -> Result<Endpoint, StoreError> {
        let state = match self.state.as_str() {
            "enabled" => EndpointState::Enabled,
            "disabled" => EndpointState::Disabled(self.disabled_reason.unwrap_or_default()),
            _ => return Err(unreadable("endpoint state")),
        };
        let types = self.event_types.iter().map(|name| parse(name, "event type"));
        Ok(Endpoint {
            id: EndpointId::new(self.id),
            account: AccountId::new(self.account_id),
            event_types: types.collect::<Result<_, _>>()?,
            url: self.url,
            state,
            created_at: moment(self.created_at),
        })
    }
}

fn names(types: &[EventType]) -> Vec<String> {
    types.iter().map(|kind| kind.as_str().to_owned()).collect()
}

impl Store {
    /// Makes an endpoint, unless the account has `most` of them already: then false.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot take it.
    pub async fn create_endpoint(
        &self,
        new: &NewEndpoint,
        most: i64,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let types = names(&new.event_types);
        let mut tx = self.pool.begin().await?;
        // The account's row is the lock that makes counting and inserting one step.
        sqlx::query!("select id from accounts where id = $1 for update", new.account.uuid())
            .fetch_optional(&mut *tx)
            .await?;
        let done = sqlx::query!(
            "insert into webhook_endpoints (
                 id, account_id, url, event_types, secret, state, created_at, updated_at
             )
             select $1, $2, $3, $4, $5, 'enabled', $6, $6
             where (
                 select count(*) from webhook_endpoints where account_id = $2 and state <> 'deleted'
             ) < $7",
            new.id.uuid(),
            new.account.uuid(),
            new.url,
            &types,
            new.secret,
            now.to_datetime(),
            most,
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// The account's endpoints, oldest first.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn list_endpoints(&self, account: AccountId) -> Result<Vec<Endpoint>, StoreError> {
        let rows = sqlx::query_as!(
            EndpointRow,
            "select id, account_id, url, event_types, state, disabled_reason, created_at
             from webhook_endpoints where account_id = $1 and state <> 'deleted' order by id",
            account.uuid(),
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(EndpointRow::into_endpoint).collect()
    }

    /// Gives the account's endpoint another URL or other event types, and says how it is then; none when
    /// the account has no such endpoint. What is on its way goes to the new URL.
    ///
    /// # Errors
    /// [`StoreError`] when nothing changed.
    pub async fn update_endpoint(
        &self,
        account: AccountId,
        id: EndpointId,
        update: &EndpointUpdate,
        now: Timestamp,
    ) -> Result<Option<Endpoint>, StoreError> {
        let types = update.event_types.as_ref().map(|types| names(types));
        let row = sqlx::query_as!(
            EndpointRow,
            "update webhook_endpoints
             set url = coalesce($3, url), event_types = coalesce($4, event_types), updated_at = $5
             where id = $1 and account_id = $2 and state <> 'deleted'
             returning id, account_id, url, event_types, state, disabled_reason, created_at",
            id.uuid(),
            account.uuid(),
            update.url.as_deref(),
            types.as_deref(),
            now.to_datetime(),
        )
        .fetch_optional(&self.pool)
        .await?;
        row.map(EndpointRow::into_endpoint).transpose()
    }

    /// Deletes the account's endpoint and cancels what is on its way to it, in one step; false
    /// when the account has no such endpoint.
    ///
    /// # Errors
    /// [`StoreError`] when nothing was deleted.
    pub async fn delete_endpoint(
        &self,
        account: AccountId,
        id: EndpointId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin().await?;
        if !owns(&mut tx, account, id).await? {
            return Ok(false);
        }
        cancel_waiting(&mut tx, id, now).await?;
        let done = sqlx::query!(
            "update webhook_endpoints
             set state = 'deleted', disabled_reason = null, updated_at = $2
             where id = $1 and state <> 'deleted'",
            id.uuid(),
            now.to_datetime(),
        )
        .execute(&mut *tx)
        .await?;
        // Payments that move wait for the endpoint's row, so most was done before it was locked;
        // this is what came in between.
        cancel_waiting(&mut tx, id, now).await?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }
}

/// Whether the account has this endpoint.
async fn owns(
    tx: &mut PgTransaction<'_>,
    account: AccountId,
    id: EndpointId,
) -> Result<bool, StoreError> {
    let owned = sqlx::query_scalar!(
        "select 1 as one from webhook_endpoints
             where id = $1 and account_id = $2 and state <> 'deleted'",
        id.uuid(),
        account.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(owned.is_some())
}

/// Cancels what is on its way to an endpoint. Rows are locked in the order of their ids, as they
/// are when attempts are recorded.
async fn cancel_waiting(
    tx: &mut PgTransaction<'_>,
    id: EndpointId,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!(
        "with waiting as (
             select id from webhook_deliveries
             where endpoint_id = $1 and state in ('pending', 'held') order by id for update
         )
         update webhook_deliveries d
         set state = 'canceled', due_at = null, lease_until = null, finished_at = $2
         from waiting where d.id = waiting.id",
        id.uuid(),
        now.to_datetime(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
