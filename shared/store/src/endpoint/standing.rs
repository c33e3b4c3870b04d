//! Whether an endpoint is told anything, and what becomes meanwhile of what is on its way to it.

use domain::{AccountId, DeliveryId, EndpointId, EndpointNews, Timestamp};
use sqlx::PgTransaction;

use super::event::tell_others;
use super::owns;
use crate::{Store, StoreError};

/// Whether the account's other endpoints are told that one was disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announce<'a> {
    /// They are, as its owner may not know: it is disabled for what this URL answered, as long as that is
    /// the one it has.
    ToOthers(&'a str),
    /// They are not: its owner did it.
    ToNobody,
}

impl Store {
    /// Stops telling an endpoint anything; what is on its way is held until it is enabled. What is on
    /// its way to others from this is to be rung for; none when it stays as it was.
    ///
    /// # Errors
    /// [`StoreError`] when nothing changed.
    pub async fn disable_endpoint(
        &self,
        id: EndpointId,
        reason: &str,
        announce: Announce<'_>,
        now: Timestamp,
    ) -> Result<Option<Vec<DeliveryId>>, StoreError> {
        let mut tx = self.pool.begin().await?;
        let url = match announce {
            Announce::ToOthers(url) => {
                one_at_a_time(&mut tx, id).await?;
                Some(url)
            }
            Announce::ToNobody => None,
        };
        hold_pending(&mut tx, id).await?;
        let done = sqlx::query!(
            "update webhook_endpoints set state = 'disabled', disabled_reason = $2, updated_at = $3
             where id = $1 and state = 'enabled' and url = coalesce($4, url)",
            id.uuid(),
            reason,
            now.to_datetime(),
            url,
        )
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            // It was disabled or deleted already, or is elsewhere; if it is enabled by now, nothing may be held.
            tx.rollback().await?;
            return Ok(None);
        }
        // As when an endpoint is deleted: what came in between.
        hold_pending(&mut tx, id).await?;
        let told = match announce {
            Announce::ToOthers(_) => {
                tell_others(&mut tx, id, EndpointNews::Disabled(reason), now).await?
            }
            Announce::ToNobody => Vec::new(),
        };
        tx.commit().await?;
        Ok(Some(told))
    }

    /// Tells the account's endpoint again, from now on and of everything that was held; nothing
    /// changes when it is enabled already. False when the account has no such endpoint.
    ///
    /// # Errors
    /// [`StoreError`] when nothing changed.
    pub async fn enable_endpoint(
        &self,
        account: AccountId,
        id: EndpointId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin().await?;
        if !owns(&mut tx, account, id).await? {
            return Ok(false);
        }
        // Nobody claims what is pending while its endpoint is disabled.
        release_held(&mut tx, id, now).await?;
        let done = sqlx::query!(
            "update webhook_endpoints set state = 'enabled', disabled_reason = null, updated_at = $2
             where id = $1 and state = 'disabled'",
            id.uuid(),
            now.to_datetime(),
        )
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            // It is enabled, or was deleted meanwhile: then nothing may be pending.
            let still = owns(&mut tx, account, id).await?;
            tx.rollback().await?;
            return Ok(still);
        }
        // As when it is disabled: what was held in between would be held for ever.
        release_held(&mut tx, id, now).await?;
        // Whoever enables it begins anew, or its first failure would be its last.
        sqlx::query!("delete from webhook_endpoint_failures where endpoint_id = $1", id.uuid())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(true)
    }
}

/// Locks the endpoint's account: two of its endpoints that are disabled at once would each wait to
/// tell the other.
async fn one_at_a_time(tx: &mut PgTransaction<'_>, id: EndpointId) -> Result<(), StoreError> {
    sqlx::query!(
        "select id from accounts
         where id = (select account_id from webhook_endpoints where id = $1) for no key update",
        id.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(())
}

/// Holds what is on its way to an endpoint; locked in the same order.
async fn hold_pending(tx: &mut PgTransaction<'_>, id: EndpointId) -> Result<(), StoreError> {
    sqlx::query!(
        "with pending as (
             select id from webhook_deliveries
             where endpoint_id = $1 and state = 'pending' order by id for update
         )
         update webhook_deliveries d set state = 'held', due_at = null, lease_until = null
         from pending where d.id = pending.id",
        id.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Lets what was held be attempted now; locked in the same order.
async fn release_held(
    tx: &mut PgTransaction<'_>,
    id: EndpointId,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!(
        "with held as (
             select id from webhook_deliveries
             where endpoint_id = $1 and state = 'held' order by id for update
         )
         update webhook_deliveries d set state = 'pending', due_at = $2
         from held where d.id = held.id",
        id.uuid(),
        now.to_datetime(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
