//! Accounts and their API keys.

mod rotation;

pub use self::rotation::{KeyNotRotated, KeyRotation, RotatedKey};

use std::num::NonZeroU32;
use std::time::Duration;

use domain::{AccountId, ApiKeyId, Scope, Timestamp};

use crate::row::{moment, parse};
use crate::{Store, StoreError};

/// A key's use is written down when the last one that was is older than this.
const USE_NOTED_EVERY: Duration = Duration::from_secs(3_600);

/// What a presented key may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// The key.
    pub id: ApiKeyId,
    /// Whose key it is.
    pub account: AccountId,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Whether it was revoked.
    pub revoked: bool,
    /// When it stops being good, if it does by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, within an hour.
    pub last_used_at: Option<Timestamp>,
    /// How many requests in a second all keys of its account may send together, where that was said.
    pub requests_per_second: Option<NonZeroU32>,
}

impl ApiKey {
    /// Whether it is no longer good by then.
    #[must_use]
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }

    /// Whether a use of it now should be written down.
    #[must_use]
    pub fn is_use_news(&self, now: Timestamp) -> bool {
        self.last_used_at.is_none_or(|used| used.plus(USE_NOTED_EVERY) <= now)
    }
}

/// A key to be stored: its digest, never the key.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    /// Its name.
    pub id: ApiKeyId,
    /// Whose key it is.
    pub account: AccountId,
    /// SHA-256 of the key.
    pub token_sha256: [u8; 32],
    /// The key's last four characters, so that its owner can tell it from others.
    pub last_four: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it stops being good by itself; none: never.
    pub expires_at: Option<Timestamp>,
}

/// A key as its owner sees it.
#[derive(Clone, Debug)]
pub struct ApiKeyListing {
    /// The key.
    pub id: ApiKeyId,
    /// Whose key it is.
    pub account: AccountId,
    /// The account's name.
    pub account_name: String,
    /// The key's last four characters.
    pub last_four: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
    /// When it stops being good, if it does by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, within an hour.
    pub last_used_at: Option<Timestamp>,
    /// The key whose place it takes.
    pub replaces: Option<ApiKeyId>,
    /// How many requests in a second all keys of its account may send together, where that was said.
    pub requests_per_second: Option<NonZeroU32>,
}

fn per_second(count: Option<i32>) -> Option<NonZeroU32> {
    count.and_then(|count| u32::try_from(count).ok()).and_then(NonZeroU32::new)
}

fn scopes(names: &[String]) -> Result<Vec<Scope>, StoreError> {
    names.iter().map(|name| parse(name, "scope")).collect()
}

impl Store {
    /// Opens an account.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot take it.
    pub async fn create_account(
        &self,
        id: AccountId,
        name: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into accounts (id, name, created_at) values ($1, $2, $3)",
            id.uuid(),
            name,
            now.to_datetime(),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Whether there is such an account.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn has_account(&self, id: AccountId) -> Result<bool, StoreError> {
        let found = sqlx::query_scalar!("select 1 as one from accounts where id = $1", id.uuid())
            .fetch_optional(&self.pool)
            .await?;
        Ok(found.is_some())
    }

    /// Says how many requests in a second all keys of an account may send together; none: what every
    /// key may by itself. False when there is no such account.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot take it.
    pub async fn limit_account(
        &self,
        id: AccountId,
        requests_per_second: Option<NonZeroU32>,
    ) -> Result<bool, StoreError> {
        let count = requests_per_second.map(|count| i32::try_from(count.get()).unwrap_or(i32::MAX));
        let done = sqlx::query!(
            "update accounts set requests_per_second = $2 where id = $1",
            id.uuid(),
            count,
        )
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// The account's own limit, where it has one; nothing when there is no such account.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn find_account_limit(
        &self,
        id: AccountId,
    ) -> Result<Option<Option<NonZeroU32>>, StoreError> {
        let found = sqlx::query_scalar!(
            "select requests_per_second from accounts where id = $1",
            id.uuid(),
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(found.map(per_second))
    }

    /// Writes down that a key is used, unless somebody has within the hour.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot take it.
    pub async fn note_api_key_use(&self, id: ApiKeyId, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query!(
            "update api_keys set last_used_at = $2
             where id = $1 and (last_used_at is null or last_used_at <= $3)",
            id.uuid(),
            now.to_datetime(),
            now.minus(USE_NOTED_EVERY).to_datetime(),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Stores a key.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot take it.
    pub async fn create_api_key(&self, key: &NewApiKey, now: Timestamp) -> Result<(), StoreError> {
        let scopes: Vec<String> =
            key.scopes.iter().map(|scope| scope.as_str().to_owned()).collect();
        sqlx::query!(
            "insert into api_keys
                (id, account_id, token_sha256, last_four, scopes, created_at, expires_at)
             values ($1, $2, $3, $4, $5, $6, $7)",
            key.id.uuid(),
            key.account.uuid(),
            key.token_sha256.as_slice(),
            key.last_four,
            &scopes,
            now.to_datetime(),
            key.expires_at.map(Timestamp::to_datetime),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The key with this SHA-256, revoked or not.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn find_api_key(&self, sha256: [u8; 32]) -> Result<Option<ApiKey>, StoreError> {
        let row = sqlx::query!(
            r#"select k.id, k.account_id, k.scopes, k.revoked_at is not null as "revoked!",
                      k.expires_at, k.last_used_at, a.requests_per_second
               from api_keys k join accounts a on a.id = k.account_id
               where k.token_sha256 = $1"#,
            sha256.as_slice(),
        )
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| {
            Ok(ApiKey {
                id: ApiKeyId::new(row.id),
                account: AccountId::new(row.account_id),
                scopes: scopes(&row.scopes)?,
                revoked: row.revoked,
                expires_at: row.expires_at.map(moment),
                last_used_at: row.last_used_at.map(moment),
                requests_per_second: per_second(row.requests_per_second),
            })
        })
        .transpose()
    }

    /// Revokes a key; false when there is none of this name that was still good.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot take it.
    pub async fn revoke_api_key(&self, id: ApiKeyId, now: Timestamp) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "update api_keys set revoked_at = $2 where id = $1 and revoked_at is null",
            id.uuid(),
            now.to_datetime(),
        )
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Every key of every account, oldest first.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn list_api_keys(&self) -> Result<Vec<ApiKeyListing>, StoreError> {
        let rows = sqlx::query!(
            "select k.id, k.account_id, a.name, k.last_four, k.scopes, k.created_at, k.revoked_at,
                    k.expires_at, k.last_used_at, k.replaces, a.requests_per_second
             from api_keys k join accounts a on a.id = k.account_id
             order by k.id",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(ApiKeyListing {
                    id: ApiKeyId::new(row.id),
                    account: AccountId::new(row.account_id),
                    account_name: row.name,
                    last_four: row.last_four,
                    scopes: scopes(&row.scopes)?,
                    created_at: moment(row.created_at),
                    revoked_at: row.revoked_at.map(moment),
                    expires_at: row.expires_at.map(moment),
                    last_used_at: row.last_used_at.map(moment),
                    replaces: row.replaces.map(ApiKeyId::new),
                    requests_per_second: per_second(row.requests_per_second),
                })
            })
            .collect()
    }
}
