//! Who is calling: API keys, looked up by their digest.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use domain::{AccountId, Scope};
use moka::future::Cache;
use runtime::{Problem, ProblemCode};
use sha2::{Digest, Sha256};
use store::{ApiKey, Store, StoreError};

use crate::{App, refusal};

/// How long an answer about a key is believed: a revoked key works no longer than this.
const KEY_BELIEVED: Duration = Duration::from_secs(5);

/// The most keys remembered, unknown ones included.
const KEYS_REMEMBERED: u64 = 20_000;

/// The longest key that is looked at, in characters.
const LONGEST_KEY: usize = 256;

/// The keys of the ledger, each answer remembered for some seconds.
#[derive(Clone, Debug)]
pub(crate) struct ApiKeys {
    store: Store,
    remembered: Cache<[u8; 32], Option<ApiKey>>,
}

impl ApiKeys {
    pub(crate) fn new(store: Store) -> Self {
        let remembered =
            Cache::builder().max_capacity(KEYS_REMEMBERED).time_to_live(KEY_BELIEVED).build();
        Self { store, remembered }
    }

    /// The key of this text. Concurrent callers with the same key share one look-up.
    async fn find(&self, presented: &str) -> Result<Option<ApiKey>, Arc<StoreError>> {
        let digest: [u8; 32] = Sha256::digest(presented).into();
        self.remembered.try_get_with(digest, self.store.find_api_key(digest)).await
    }
}

/// The account that these headers speak for, if their key may submit payments.
pub(crate) async fn seller(app: &App, headers: &HeaderMap) -> Result<AccountId, Problem> {
    let key = app
        .keys()
        .find(bearer_token(headers)?)
        .await
        .map_err(|error| refusal::ledger_failed(&error, app.settings()))?
        .ok_or_else(|| unauthorized("The API key is not known"))?;
    if key.revoked {
        return Err(Problem::new(ProblemCode::KeyRevoked));
    }
    if !key.scopes.contains(&Scope::PaymentsWrite) {
        let detail = format!("The API key lacks the scope {}", Scope::PaymentsWrite);
        return Err(Problem::new(ProblemCode::Forbidden).detail(detail));
    }
    Ok(key.account)
}

/// The token of `Authorization: Bearer <token>` (RFC 6750); the scheme's case does not matter.
fn bearer_token(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Err(unauthorized("Send the API key as `Authorization: Bearer <key>`"));
    };
    let token = value
        .to_str()
        .ok()
        .filter(|_| values.next().is_none())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim_matches(' '))
        .filter(|token| (1..=LONGEST_KEY).contains(&token.len()));
    token.ok_or_else(|| unauthorized("The Authorization header must be `Bearer <key>`, once"))
}

fn unauthorized(detail: &'static str) -> Problem {
    Problem::new(ProblemCode::Unauthorized).detail(detail)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn token(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        bearer_token(&headers).ok().map(str::to_owned)
    }

    #[test]
    fn a_bearer_token_is_read_whatever_the_case_of_its_scheme() {
        for value in ["Bearer k", "bearer k", "BEARER  k "] {
            assert_eq!(token(&[value]).as_deref(), Some("k"), "{value:?}");
        }
    }

    #[test]
    fn anything_but_one_bearer_token_is_refused() {
        let long = format!("Bearer {}", "k".repeat(LONGEST_KEY + 1));
        for values in [
            &[][..],
            &["k"],
            &["Bearer"],
            &["Bearer "],
            &["Basic k"],
            &["Bearer k\u{e9}"],
            &[&long],
            &["Bearer k", "Bearer l"],
        ] {
            assert_eq!(token(values), None, "{values:?}");
        }
    }
}
