//! Accounts and their API keys.

use domain::{AccountId, ApiKeyId, Scope, Timestamp};

use crate::row::{moment, parse};
use crate::{Store, StoreError};

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

    /// Stores a key.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot take it.
    pub async fn create_api_key(&self, key: &NewApiKey, now: Timestamp) -> Result<(), StoreError> {
        let scopes: Vec<String> =
            key.scopes.iter().map(|scope| scope.as_str().to_owned()).collect();
        sqlx::query!(
            "insert into api_keys (id, account_id, token_sha256, last_four, scopes, created_at)
             values ($1, $2, $3, $4, $5, $6)",
            key.id.uuid(),
            key.account.uuid(),
            key.token_sha256.as_slice(),
            key.last_four,
            &scopes,
            now.to_datetime(),
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
            r#"select id, account_id, scopes, revoked_at is not null as "revoked!"
               from api_keys where token_sha256 = $1"#,
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
            "select k.id, k.account_id, a.name, k.last_four, k.scopes, k.created_at, k.revoked_at
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
                })
            })
            .collect()
    }
}
