//! A new key in the place of an old one.

use domain::{AccountId, ApiKeyId, Scope, Timestamp};

use super::scopes;
use crate::row::moment;
use crate::{Store, StoreError};

/// A new key for an account that has one to be replaced.
#[derive(Clone, Debug)]
pub struct KeyRotation {
    /// The key whose place it takes.
    pub replaces: ApiKeyId,
    /// Until when that one stays good, at the latest.
    pub old_until: Timestamp,
    /// The new key's name.
    pub id: ApiKeyId,
    /// SHA-256 of the new key.
    pub token_sha256: [u8; 32],
    /// The new key's last four characters.
    pub last_four: String,
    /// When the new key stops being good by itself; none: never.
    pub expires_at: Option<Timestamp>,
}

/// What a rotation made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotatedKey {
    /// Whose keys they are.
    pub account: AccountId,
    /// What the new key may do: what the old one may.
    pub scopes: Vec<Scope>,
    /// Until when the old one is good.
    pub old_until: Timestamp,
}

/// Why no key took another's place.
#[derive(Debug, thiserror::Error)]
pub enum KeyNotRotated {
    /// There is no such key, or it is no longer good.
    #[error("there is no key {0} that is still good")]
    NoGoodKey(ApiKeyId),
    /// Another key has taken its place.
    #[error("{key} was rotated before: {by} took its place")]
    Replaced {
        /// The key.
        key: ApiKeyId,
        /// The other.
        by: ApiKeyId,
    },
    /// The ledger cannot take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for KeyNotRotated {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Store {
    /// Stores a key of the same account and with the same scopes as the one that it replaces, and lets
    /// that one end; or neither. Of two rotations at the same instant one is refused.
    ///
    /// # Errors
    /// [`KeyNotRotated`].
    pub async fn rotate_api_key(
        &self,
        rotation: &KeyRotation,
        now: Timestamp,
    ) -> Result<RotatedKey, KeyNotRotated> {
        let old = rotation.replaces;
        let mut transaction = self.pool.begin().await?;
        let row = sqlx::query!(
            "select account_id, scopes, expires_at from api_keys
             where id = $1 and revoked_at is null and (expires_at is null or expires_at > $2)
             for update",
            old.uuid(),
            now.to_datetime(),
        )
        .fetch_optional(&mut *transaction)
        .await?
        .ok_or(KeyNotRotated::NoGoodKey(old))?;
        let by = sqlx::query_scalar!("select id from api_keys where replaces = $1", old.uuid())
            .fetch_optional(&mut *transaction)
            .await?;
        if let Some(by) = by {
            return Err(KeyNotRotated::Replaced { key: old, by: ApiKeyId::new(by) });
        }
        sqlx::query!(
            "insert into api_keys (id, account_id, token_sha256, last_four, scopes, created_at,
                                   expires_at, replaces)
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
            rotation.id.uuid(),
            row.account_id,
            rotation.token_sha256.as_slice(),
            rotation.last_four,
            &row.scopes,
            now.to_datetime(),
            rotation.expires_at.map(Timestamp::to_datetime),
            old.uuid(),
        )
        .execute(&mut *transaction)
        .await?;
        // One that ends sooner anyway ends when it would have.
        let old_until = row
            .expires_at
            .map_or(rotation.old_until, |expires_at| moment(expires_at).min(rotation.old_until));
        sqlx::query!(
            "update api_keys set expires_at = $2 where id = $1",
            old.uuid(),
            old_until.to_datetime(),
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(RotatedKey {
            account: AccountId::new(row.account_id),
            scopes: scopes(&row.scopes)?,
            old_until,
        })
    }
}
