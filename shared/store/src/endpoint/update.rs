//! Changing an endpoint.

use domain::{
    AccountId, DeliveryOrder, EndpointId, EndpointTerms, EventType, PayloadVersion, Timestamp,
};

use super::{Endpoint, EndpointRow, limit, names};
use crate::{Store, StoreError};

/// What is to become of an endpoint; what is none stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointUpdate {
    /// Where it is from now on.
    pub url: Option<String>,
    /// What it hears of from now on; at least one.
    pub event_types: Option<Vec<EventType>>,
    /// The shape of the bodies.
    pub payload_version: Option<PayloadVersion>,
    /// The order of a payment's events.
    pub ordering: Option<DeliveryOrder>,
    /// A bound on calls at once, or that there is none.
    pub max_in_flight: Option<Option<u32>>,
    /// A bound on calls a second, or that there is none.
    pub max_per_second: Option<Option<u32>>,
    /// Whether deliveries are signed with Ed25519 besides.
    pub ed25519: Option<bool>,
}

impl EndpointUpdate {
    fn terms(&self, before: EndpointTerms) -> EndpointTerms {
        EndpointTerms {
            payload_version: self.payload_version.unwrap_or(before.payload_version),
            ordering: self.ordering.unwrap_or(before.ordering),
            max_in_flight: self.max_in_flight.unwrap_or(before.max_in_flight),
            max_per_second: self.max_per_second.unwrap_or(before.max_per_second),
            ed25519: self.ed25519.unwrap_or(before.ed25519),
        }
    }
}

impl Store {
    /// Changes the account's endpoint, and says how it is then; none when the account has no such
    /// endpoint. What is on its way goes to the new URL, of which nothing bad is known.
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
        let mut tx = self.pool.begin().await?;
        let row = sqlx::query_as!(
            EndpointRow,
            r#"select e.id, e.account_id, e.url, e.event_types, e.state, e.disabled_reason,
                      e.payload_version, e.ordering, e.max_in_flight, e.max_per_second, e.ed25519,
                      f.since as "failing_since?", e.created_at
               from webhook_endpoints e left join webhook_endpoint_failures f on f.endpoint_id = e.id
               where e.id = $1 and e.account_id = $2 and e.state <> 'deleted' for update of e"#,
            id.uuid(),
            account.uuid(),
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let before = row.into_endpoint()?;
        let moves = update.url.as_ref().is_some_and(|url| *url != before.url);
        let after = Endpoint {
            url: update.url.clone().unwrap_or(before.url),
            failing_since: before.failing_since.filter(|_| !moves),
            event_types: update.event_types.clone().unwrap_or(before.event_types),
            terms: update.terms(before.terms),
            ..before
        };
        sqlx::query!(
            "update webhook_endpoints
             set url = $2, event_types = $3, payload_version = $4, ordering = $5,
                 max_in_flight = $6, max_per_second = $7, ed25519 = $8, updated_at = $9
             where id = $1",
            id.uuid(),
            after.url,
            &names(&after.event_types),
            after.terms.payload_version.as_str(),
            after.terms.ordering.as_str(),
            limit(after.terms.max_in_flight),
            limit(after.terms.max_per_second),
            after.terms.ed25519,
            now.to_datetime(),
        )
        .execute(&mut *tx)
        .await?;
        if moves {
            sqlx::query!("delete from webhook_endpoint_failures where endpoint_id = $1", id.uuid())
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(Some(after))
    }
}
