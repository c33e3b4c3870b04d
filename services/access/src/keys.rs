//! The keys of the ledger, each answer remembered for some seconds.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use domain::{AccountId, ApiKeyId, Scope};
use moka::future::Cache;
use store::{ApiKey, Store, StoreError};

use crate::{ApiToken, Denied, bearer};

/// How long an answer about a key is believed: a revoked key works no longer than this.
const BELIEVED_FOR: Duration = Duration::from_secs(5);

/// The most keys remembered, unknown ones included.
const REMEMBERED: u64 = 20_000;

/// Who a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The account it acts for.
    pub account: AccountId,
    /// The key it brought.
    pub key: ApiKeyId,
}

/// Looks keys up. Clones share what is remembered.
#[derive(Clone, Debug)]
pub struct ApiKeys {
    store: Store,
    remembered: Cache<[u8; 32], Option<ApiKey>>,
}

impl ApiKeys {
    /// The keys of this ledger.
    pub fn new(store: Store) -> Self {
        let remembered =
            Cache::builder().max_capacity(REMEMBERED).time_to_live(BELIEVED_FOR).build();
        Self { store, remembered }
    }

    /// Who sends a request with these headers, if the key it brought is good for `scope`.
    ///
    /// # Errors
    /// [`Denied`], which is also a [`runtime::Problem`] to answer with.
    pub async fn authorize(&self, headers: &HeaderMap, scope: Scope) -> Result<Caller, Denied> {
        let token = bearer::token(headers)?;
        let key = self.find(token).await.map_err(Denied::Undecided)?.ok_or(Denied::Unknown)?;
        if key.revoked {
            return Err(Denied::Revoked);
        }
        if !key.scopes.contains(&scope) {
            return Err(Denied::OutOfScope(scope));
        }
        Ok(Caller { account: key.account, key: key.id })
    }

    /// Concurrent callers with the same key share one look-up; failures are not remembered.
    async fn find(&self, token: &str) -> Result<Option<ApiKey>, Arc<StoreError>> {
        let digest = ApiToken::digest_of(token);
        self.remembered.try_get_with(digest, self.store.find_api_key(digest)).await
    }
}
