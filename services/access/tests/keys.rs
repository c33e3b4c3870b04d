//! Keys as the ledger has them.

#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the test")]

use std::time::Duration;

use access::{ApiKeys, Denied};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use domain::{Scope, Timestamp};
use runtime::Clock;
use testkit::{Database, Seller, eventually};

fn headers(key: &str) -> HeaderMap {
    HeaderMap::from_iter([(AUTHORIZATION, format!("Bearer {key}").try_into().unwrap())])
}

#[tokio::test]
async fn a_key_speaks_for_its_account_within_its_scopes() {
    let database = Database::create().await;
    let seller = Seller::with_scopes(&database.store, &[Scope::PaymentsRead]).await;
    let keys = ApiKeys::new(database.store.clone(), Clock::system());
    let caller = keys.authorize(&headers(&seller.key), Scope::PaymentsRead).await.unwrap();
    assert_eq!((caller.account, caller.key), (seller.account, seller.key_id));
    let denied = keys.authorize(&headers(&seller.key), Scope::PaymentsWrite).await;
    assert!(matches!(denied, Err(Denied::OutOfScope(Scope::PaymentsWrite))));
}

#[tokio::test]
async fn a_key_that_was_never_made_is_unknown() {
    let database = Database::create().await;
    let keys = ApiKeys::new(database.store.clone(), Clock::system());
    let denied = keys.authorize(&headers("qtk_nobodys"), Scope::PaymentsRead).await;
    assert!(matches!(denied, Err(Denied::Unknown)));
}

#[tokio::test]
async fn a_revoked_key_stops_working_within_seconds() {
    let database = Database::create().await;
    let seller = Seller::create(&database.store).await;
    let keys = ApiKeys::new(database.store.clone(), Clock::system());
    let headers = headers(&seller.key);
    keys.authorize(&headers, Scope::PaymentsRead).await.unwrap();
    database.store.revoke_api_key(seller.key_id, Timestamp::from_unix_secs(1)).await.unwrap();
    eventually(Duration::from_secs(30), || async {
        let answer = keys.authorize(&headers, Scope::PaymentsRead).await;
        matches!(answer, Err(Denied::Revoked)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn nobody_is_let_in_while_the_ledger_is_away() {
    let database = Database::create().await;
    let keys = ApiKeys::new(database.store.clone(), Clock::system());
    database.store.close().await;
    let denied = keys.authorize(&headers("qtk_any"), Scope::PaymentsRead).await;
    assert!(matches!(denied, Err(Denied::Undecided(error)) if error.is_unavailable()));
}
