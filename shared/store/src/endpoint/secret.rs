//! What an endpoint's deliveries are signed with.

use domain::{AccountId, EndpointId, Timestamp};

use crate::row::moment;
use crate::{Store, StoreError};

/// The secrets of an endpoint.
pub struct EndpointSecrets {
    /// The one that counts.
    pub current: Vec<u8>,
    /// Until when deliveries are signed with the one before it as well.
    pub old_until: Option<Timestamp>,
}

impl std::fmt::Debug for EndpointSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EndpointSecrets")
            .field("old_until", &self.old_until)
            .finish_non_exhaustive()
    }
}

/// A secret that is to count from now on.
pub struct NewSecret {
    /// 24 to 64 random bytes.
    pub secret: Vec<u8>,
    /// Until when deliveries are signed with the present one as well; none ends that one now.
    pub old_until: Option<Timestamp>,
}

impl std::fmt::Debug for NewSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewSecret").field("old_until", &self.old_until).finish_non_exhaustive()
    }
}

/// What became of the wish for a new secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It counts from now on.
    Done,
    /// The one before the present one is in use until then, and there is no room for a third.
    TooSoon(Timestamp),
    /// The account has no such endpoint.
    Unknown,
}

impl Store {
    /// What deliveries to the account's endpoint are signed with at this time.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn endpoint_secrets(
        &self,
        account: AccountId,
        id: EndpointId,
        now: Timestamp,
    ) -> Result<Option<EndpointSecrets>, StoreError> {
        let row = sqlx::query!(
            "select secret, old_secret_until from webhook_endpoints
             where id = $1 and account_id = $2 and state <> 'deleted'",
            id.uuid(),
            account.uuid(),
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| EndpointSecrets {
            current: row.secret,
            old_until: row.old_secret_until.map(moment).filter(|until| *until > now),
        }))
    }

    /// The secrets of endpoints whose deliveries are signed with Ed25519: of this one, or of the
    /// newest ones, at most `most` of them. Earlier secrets that still count are among them.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn ed25519_secrets(
        &self,
        endpoint: Option<EndpointId>,
        most: i64,
        now: Timestamp,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let rows = sqlx::query!(
            "select secret, case when old_secret_until > $3 then old_secret end as old_secret
             from webhook_endpoints
             where ed25519 and state <> 'deleted' and ($1::uuid is null or id = $1)
             order by id desc limit $2",
            endpoint.map(EndpointId::uuid),
            most,
            now.to_datetime(),
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().flat_map(|row| [Some(row.secret), row.old_secret]).flatten().collect())
    }

    /// Gives the account's endpoint a new secret.
    ///
    /// Without an overlap nothing but the new secret counts. With one, the present secret takes the
    /// only place for an old one, and has it only when that is free: who rotates twice in a row would
    /// otherwise take away the secret that receivers still use.
    ///
    /// # Errors
    /// [`StoreError`] when nothing changed.
    pub async fn rotate_secret(
        &self,
        account: AccountId,
        id: EndpointId,
        new: &NewSecret,
        now: Timestamp,
    ) -> Result<Rotation, StoreError> {
        let done = sqlx::query!(
            "update webhook_endpoints
             set secret = $3, old_secret = case when $4::timestamptz is not null then secret end,
                 old_secret_until = $4::timestamptz, updated_at = $5
             where id = $1 and account_id = $2 and state <> 'deleted'
               and ($4::timestamptz is null or old_secret_until is null or old_secret_until <= $5)",
            id.uuid(),
            account.uuid(),
            new.secret,
            new.old_until.map(Timestamp::to_datetime),
            now.to_datetime(),
        )
        .execute(&self.pool)
        .await?;
        if done.rows_affected() > 0 {
            return Ok(Rotation::Done);
        }
        let secrets = self.endpoint_secrets(account, id, now).await?;
        Ok(match secrets.map(|secrets| secrets.old_until) {
            Some(Some(until)) => Rotation::TooSoon(until),
            // It was free again a moment later: as good as now.
            Some(None) => Rotation::TooSoon(now),
            None => Rotation::Unknown,
        })
    }
}
