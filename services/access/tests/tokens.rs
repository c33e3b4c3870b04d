//! Tokens of an identity provider beside keys of the ledger.

#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the test")]

use access::{ApiKeys, BadToken, Denied, Jwt};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD as B64, Engine};
use domain::{AccountId, Scope};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use runtime::{Clock, Config};
use serde_json::json;
use testkit::{Database, Seller};

const NOW: i64 = 1_700_000_000;

/// A provider, the file with its key, and keys of a ledger beside which its tokens are taken.
struct Provider {
    database: Database,
    keys: ApiKeys,
    pair: Ed25519KeyPair,
    _file: tempfile::NamedTempFile,
}

impl Provider {
    async fn start() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
        let x = B64.encode(pair.public_key().as_ref());
        let set = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "1"}]});
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), set.to_string()).unwrap();
        let text = format!(
            "jwt.issuer = 'https://id.example'\njwt.audience = 'pay'\njwt.jwks = '{}'",
            file.path().display()
        );
        let environment = [("DATABASE_URL", "postgres://db/q"), ("REDIS_URL", "redis://cache")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let none = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
        let config = Config::from_sources(&text, &environment, &none).unwrap();
        let database = Database::create().await;
        let keys = ApiKeys::new(database.store.clone(), Clock::fixed(NOW * 1_000));
        keys.take_tokens(Jwt::from_config(&config).unwrap().unwrap());
        Self { database, keys, pair, _file: file }
    }

    fn token(&self, account: AccountId, exp: i64) -> HeaderMap {
        let header = json!({"alg": "EdDSA", "kid": "1"});
        let claims = json!({
            "iss": "https://id.example", "aud": "pay", "exp": exp,
            "quittance_account": account, "scope": "payments:read ops",
        });
        let message =
            format!("{}.{}", B64.encode(header.to_string()), B64.encode(claims.to_string()));
        let signature = B64.encode(self.pair.sign(message.as_bytes()));
        let value = format!("Bearer {message}.{signature}").try_into().unwrap();
        HeaderMap::from_iter([(AUTHORIZATION, value)])
    }
}

#[tokio::test]
async fn a_token_stands_for_its_account_within_the_scopes_that_tokens_may_give() {
    let provider = Provider::start().await;
    let seller = Seller::create(&provider.database.store).await;
    let token = provider.token(seller.account, NOW + 60);
    let caller = provider.keys.authorize(&token, Scope::PaymentsRead).await.unwrap();
    assert_eq!(caller.account, seller.account);
    for scope in [Scope::PaymentsWrite, Scope::Webhooks, Scope::Risk, Scope::Ops] {
        let denied = provider.keys.authorize(&token, scope).await;
        assert!(matches!(denied, Err(Denied::TokenOutOfScope(_))), "{scope}");
    }
    // Keys are taken as before.
    let key = format!("Bearer {}", seller.key).try_into().unwrap();
    let key = HeaderMap::from_iter([(AUTHORIZATION, key)]);
    provider.keys.authorize(&key, Scope::PaymentsWrite).await.unwrap();
}

#[tokio::test]
async fn a_token_for_no_account_or_past_its_end_lets_nobody_in() {
    let provider = Provider::start().await;
    let nobody = provider.token(AccountId::new(runtime::new_uuid()), NOW + 60);
    let denied = provider.keys.authorize(&nobody, Scope::PaymentsRead).await;
    assert!(matches!(denied, Err(Denied::UnknownAccount)));
    let seller = Seller::create(&provider.database.store).await;
    let late = provider.token(seller.account, NOW - 60);
    let denied = provider.keys.authorize(&late, Scope::PaymentsRead).await;
    assert!(matches!(denied, Err(Denied::BadToken(BadToken::Expired))));
}

#[tokio::test]
async fn where_no_issuer_is_configured_a_token_is_a_key_that_nobody_knows() {
    let provider = Provider::start().await;
    let seller = Seller::create(&provider.database.store).await;
    let keys = ApiKeys::new(provider.database.store.clone(), Clock::fixed(NOW * 1_000));
    let token = provider.token(seller.account, NOW + 60);
    let denied = keys.authorize(&token, Scope::PaymentsRead).await;
    assert!(matches!(denied, Err(Denied::Unknown)));
}
