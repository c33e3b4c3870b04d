//! The keys of the ledger, each answer remembered for some seconds.

use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::http::HeaderMap;
use domain::{AccountId, ApiKeyId, Scope, Timestamp};
use futures::FutureExt;
use moka::future::Cache;
use runtime::Clock;
use store::{ApiKey, Store, StoreError};

use crate::jwt::{Bearer, Jwt};
use crate::{ApiToken, Denied, bearer};

/// How long an answer about a key is believed. With the time that the look-up itself may take, a
/// revoked key works for no longer than five seconds.
const BELIEVED_FOR: Duration = Duration::from_secs(4);

/// The most keys remembered, unknown ones included.
const REMEMBERED: u64 = 20_000;

/// Who a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The account it acts for.
    pub account: AccountId,
    /// The key it brought; for one that brought a token of an identity provider, its account's id.
    pub key: ApiKeyId,
}

/// A key that is good, as far as is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GoodKey {
    pub(crate) caller: Caller,
    /// What all keys of its account may send together in a second, where that was said.
    pub(crate) requests_per_second: Option<NonZeroU32>,
}

/// Looks keys up. Clones share what is remembered.
#[derive(Clone, Debug)]
pub struct ApiKeys {
    store: Store,
    clock: Clock,
    remembered: Cache<[u8; 32], Option<ApiKey>>,
    tokens: Arc<OnceLock<Jwt>>,
    /// Tokens of an identity provider that were good a moment ago.
    proven: moka::sync::Cache<[u8; 32], GoodKey>,
    /// The limits of accounts that tokens name; none for one that is not there.
    accounts: Cache<AccountId, Option<Option<NonZeroU32>>>,
}

impl ApiKeys {
    /// The keys of this ledger.
    pub fn new(store: Store, clock: Clock) -> Self {
        let remembered =
            Cache::builder().max_capacity(REMEMBERED).time_to_live(BELIEVED_FOR).build();
        let proven = moka::sync::Cache::builder().max_capacity(REMEMBERED);
        let proven = proven.time_to_live(BELIEVED_FOR).build();
        let accounts = Cache::builder().max_capacity(REMEMBERED).time_to_live(BELIEVED_FOR).build();
        Self { store, clock, remembered, tokens: Arc::default(), proven, accounts }
    }

    /// Takes these tokens beside keys, from now on and once for all.
    pub fn take_tokens(&self, tokens: Jwt) {
        self.tokens.get_or_init(|| tokens);
    }

    /// Who sends a request with these headers, if the key it brought is good for `scope`.
    ///
    /// # Errors
    /// [`Denied`], which is also a [`runtime::Problem`] to answer with.
    pub async fn authorize(&self, headers: &HeaderMap, scope: Scope) -> Result<Caller, Denied> {
        let token = bearer::token(headers)?;
        if let Some(tokens) = self.tokens.get().filter(|_| Jwt::is_one(token)) {
            return self.authorize_token(tokens, token, scope).await;
        }
        let key = self.find(token).await.map_err(Denied::Undecided)?.ok_or(Denied::Unknown)?;
        if key.revoked {
            return Err(Denied::Revoked);
        }
        if key.has_expired(self.now()) {
            return Err(Denied::Expired);
        }
        if !key.scopes.contains(&scope) {
            return Err(Denied::OutOfScope(scope));
        }
        Ok(Caller { account: key.account, key: key.id })
    }

    /// The same for a token of an identity provider.
    async fn authorize_token(
        &self,
        tokens: &Jwt,
        token: &str,
        scope: Scope,
    ) -> Result<Caller, Denied> {
        let Bearer { account, scopes } = tokens.check(token, self.now().unix_secs())?;
        let limit = self.accounts.try_get_with(account, self.store.find_account_limit(account));
        let limit = limit.await.map_err(Denied::Undecided)?.ok_or(Denied::UnknownAccount)?;
        let caller = Caller { account, key: ApiKeyId::new(account.uuid()) };
        let good = GoodKey { caller, requests_per_second: limit };
        self.proven.insert(ApiToken::digest_of(token), good);
        if scopes.contains(&scope) { Ok(caller) } else { Err(Denied::TokenOutOfScope(scope)) }
    }

    /// What is remembered of the key with this digest, where it is good; the ledger is not asked.
    pub(crate) fn recall(&self, digest: &[u8; 32]) -> Option<GoodKey> {
        if let Some(proven) = self.proven.get(digest) {
            return Some(proven);
        }
        // It only waits for housekeeping of its own, which is no reason to make anybody wait.
        let key = self.remembered.get(digest).now_or_never()???;
        let is_good = !key.revoked && !key.has_expired(self.now());
        let caller = Caller { account: key.account, key: key.id };
        is_good.then_some(GoodKey { caller, requests_per_second: key.requests_per_second })
    }

    /// Concurrent callers with the same key share one look-up; failures are not remembered.
    async fn find(&self, token: &str) -> Result<Option<ApiKey>, Arc<StoreError>> {
        let digest = ApiToken::digest_of(token);
        self.remembered.try_get_with(digest, self.look_up(digest)).await
    }

    async fn look_up(&self, digest: [u8; 32]) -> Result<Option<ApiKey>, StoreError> {
        let found = self.store.find_api_key(digest).await?;
        let now = self.now();
        let used = found.iter().find(|key| !key.revoked && !key.has_expired(now));
        if let Some(key) = used.filter(|key| key.is_use_news(now)) {
            let (store, key) = (self.store.clone(), key.id);
            // Nobody waits for it, and the next look-up tries again.
            tokio::spawn(async move {
                if let Err(error) = store.note_api_key_use(key, now).await {
                    tracing::debug!(%key, %error, "a key's use was not written down");
                }
            });
        }
        Ok(found)
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.clock.now_unix_ms())
    }
}
