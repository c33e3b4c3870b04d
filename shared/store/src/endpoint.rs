//! Where sellers want to be told.

mod event;
mod failing;
mod secret;
mod standing;
mod update;

use domain::{AccountId, EndpointId, EndpointTerms, EventType, Timestamp};
use sqlx::PgTransaction;
use time::OffsetDateTime;
use uuid::Uuid;

pub(crate) use self::failing::note_failures;
pub use self::secret::{EndpointSecrets, NewSecret, Rotation};
pub use self::standing::Announce;
pub use self::update::EndpointUpdate;
use crate::row::{count, moment, parse, unreadable};
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
    /// How it wants to be told.
    pub terms: EndpointTerms,
    /// Since when nothing has arrived at it, if so.
    pub failing_since: Option<Timestamp>,
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
    /// How it wants to be told.
    pub terms: EndpointTerms,
}

impl std::fmt::Debug for NewEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewEndpoint")
            .field("id", &self.id)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

struct EndpointRow {
    id: Uuid,
    account_id: Uuid,
    url: String,
    event_types: Vec<String>,
    state: String,
    disabled_reason: Option<String>,
    payload_version: String,
    ordering: String,
    max_in_flight: Option<i32>,
    max_per_second: Option<i32>,
    ed25519: bool,
    failing_since: Option<OffsetDateTime>,
    created_at: OffsetDateTime,
}

impl EndpointRow {
    fn terms(&self) -> Result<EndpointTerms, StoreError> {
        Ok(EndpointTerms {
            payload_version: parse(&self.payload_version, "payload version")?,
            ordering: parse(&self.ordering, "order of deliveries")?,
            max_in_flight: self.max_in_flight.map(count).transpose()?,
            max_per_second: self.max_per_second.map(count).transpose()?,
            ed25519: self.ed25519,
        })
    }

    fn into_endpoint(self) -> Result<Endpoint, StoreError> {
        let terms = self.terms()?;
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
            terms,
            failing_since: self.failing_since.map(moment),
            url: self.url,
            state,
            created_at: moment(self.created_at),
        })
    }
}

fn names(types: &[EventType]) -> Vec<String> {
    types.iter().map(|kind| kind.as_str().to_owned()).collect()
}

/// A limit as the ledger stores it; none comes near the bound.
fn limit(limit: Option<u32>) -> Option<i32> {
    limit.map(|limit| i32::try_from(limit).unwrap_or(i32::MAX))
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
                 id, account_id, url, event_types, secret, state, created_at, updated_at,
                 payload_version, ordering, max_in_flight, max_per_second, ed25519
             )
             select $1, $2, $3, $4, $5, 'enabled', $6, $6, $8, $9, $10, $11, $12
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
            new.terms.payload_version.as_str(),
            new.terms.ordering.as_str(),
            limit(new.terms.max_in_flight),
            limit(new.terms.max_per_second),
            new.terms.ed25519,
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
            r#"select e.id, e.account_id, e.url, e.event_types, e.state, e.disabled_reason,
                      e.payload_version, e.ordering, e.max_in_flight, e.max_per_second, e.ed25519,
                      f.since as "failing_since?", e.created_at
               from webhook_endpoints e left join webhook_endpoint_failures f on f.endpoint_id = e.id
               where e.account_id = $1 and e.state <> 'deleted' order by e.id"#,
            account.uuid(),
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(EndpointRow::into_endpoint).collect()
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
