//! Poll tokens as the installation makes them.

#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the test")]

use access::{Denied, PollTokens};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use domain::PaymentId;
use testkit::Database;

fn headers(token: &str) -> HeaderMap {
    HeaderMap::from_iter([(AUTHORIZATION, format!("Bearer {token}").try_into().unwrap())])
}

fn payment() -> PaymentId {
    PaymentId::new(runtime::new_uuid())
}

#[tokio::test]
async fn a_token_is_good_for_its_payment_in_every_process_and_for_no_other() {
    let database = Database::create().await;
    let (one, other) =
        (PollTokens::new(database.store.clone()), PollTokens::new(database.store.clone()));
    let payment_of_it = payment();
    let token = one.mint(payment_of_it).await.unwrap();
    assert!(PollTokens::is_brought(&headers(&token)));
    other.authorize(&headers(&token), payment_of_it).await.unwrap();

    let denied = other.authorize(&headers(&token), payment()).await;
    assert!(matches!(denied, Err(Denied::NotItsToken)));
}

#[tokio::test]
async fn what_is_no_token_lets_nobody_in() {
    let database = Database::create().await;
    let tokens = PollTokens::new(database.store.clone());
    let payment = payment();
    let good = tokens.mint(payment).await.unwrap();
    let (short, long) = (&good[..good.len() - 2], format!("{good}AA"));
    for token in ["qtp_", "qtp_x", "qtp_!", "qtk_key", short, &long] {
        let denied = tokens.authorize(&headers(token), payment).await;
        assert!(matches!(denied, Err(Denied::NotItsToken)), "{token}");
    }
    assert!(!PollTokens::is_brought(&headers("qtk_key")));
    assert!(!PollTokens::is_brought(&HeaderMap::new()));
}

#[tokio::test]
async fn tokens_of_another_installation_are_not_good_here() {
    let (here, there) = (Database::create().await, Database::create().await);
    // Both come from one template, as a copied ledger would.
    let renewed = "update installation_secrets set secret = sha256('another')";
    sqlx::raw_sql(renewed).execute(there.store.pool()).await.unwrap();
    let payment = payment();
    let token = PollTokens::new(there.store.clone()).mint(payment).await.unwrap();
    let denied = PollTokens::new(here.store.clone()).authorize(&headers(&token), payment).await;
    assert!(matches!(denied, Err(Denied::NotItsToken)));
}

#[tokio::test]
async fn while_the_ledger_is_away_only_what_was_read_of_it_is_known() {
    let database = Database::create().await;
    let (knows, does_not) =
        (PollTokens::new(database.store.clone()), PollTokens::new(database.store.clone()));
    let payment = payment();
    let token = knows.mint(payment).await.unwrap();
    database.store.close().await;
    knows.authorize(&headers(&token), payment).await.unwrap();
    let denied = does_not.authorize(&headers(&token), payment).await;
    assert!(matches!(denied, Err(Denied::Undecided(error)) if error.is_unavailable()));
}
