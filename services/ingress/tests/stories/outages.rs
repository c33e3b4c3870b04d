//! What happens while a part of the pipeline is away.

use std::time::Duration;

use domain::Scope;
use serde_json::json;
use store::Store;
use testkit::{Anvil, Buyer, RedisServer};
use x402::Version;

use crate::facilitating::ask;
use crate::shop::{Shop, Told, new_seller};

/// Short enough for a test, long enough for a busy machine to connect to a server that is there.
const WAIT: Duration = Duration::from_secs(2);

/// How many submissions of each seller arrive together.
const EACH: usize = 8;

#[tokio::test]
async fn a_payment_is_accepted_while_redis_is_frozen_or_dead() {
    let mut redis = RedisServer::start().await;
    let (shop, _) = Shop::builder().redis(redis.url()).open().await;
    redis.freeze();
    let frozen = Told::by(shop.post(&Buyer::new().authorize().sign().body(Version::V2))).await;
    redis.kill();
    let dead = Told::by(shop.post(&Buyer::new().authorize().sign().body(Version::V2))).await;
    assert_eq!((frozen.status, dead.status), (202, 202));
    assert_eq!(shop.count("payments").await, 2);
}

#[tokio::test]
async fn while_the_ledger_gives_no_connection_the_seller_is_asked_to_come_back() {
    let (shop, store) = Shop::builder().pool(1, WAIT).open().await;
    // Its key is remembered from here on, so that the next request comes as far as the commit.
    Told::by(shop.post(&Buyer::new().authorize().sign().body(Version::V2))).await;
    let body = Buyer::new().authorize().sign().body(Version::V2);

    let only_connection = store.pool().acquire().await.unwrap();
    let refused = Told::by(shop.post(&body)).await;
    drop(only_connection);
    let accepted = Told::by(shop.post(&body)).await;

    assert_eq!((refused.status, refused.code()), (503, "accept_unavailable"));
    assert_eq!(refused.header("retry-after"), Some("2"));
    assert_eq!(refused.body["retryable"], json!(true));
    assert_eq!(accepted.status, 202);
}

#[tokio::test]
async fn nothing_is_valid_while_the_ledger_gives_no_connection() {
    let anvil = Anvil::start().await;
    let buyer = Buyer::new();
    anvil.mint(buyer.address(), 1_000u64).await;
    let (shop, store) = Shop::builder().node(&anvil).pool(1, WAIT).open().await;
    let body = buyer.authorize().amount(10u64).sign().body(Version::V2);
    let before = ask(&shop, "/verify", &body).await;

    let only_connection = store.pool().acquire().await.unwrap();
    let meanwhile = ask(&shop, "/verify", &body).await;
    drop(only_connection);
    let after = ask(&shop, "/verify", &body).await;

    assert_eq!((&before.body["isValid"], &after.body["isValid"]), (&json!(true), &json!(true)));
    assert_eq!(meanwhile.body["invalidReason"], "unexpected_verify_error");
}

#[tokio::test]
async fn a_caller_that_cannot_be_looked_up_is_asked_to_come_back() {
    let (shop, store) = Shop::builder().pool(1, WAIT).open().await;
    let _only_connection = store.pool().acquire().await.unwrap();
    let told = Told::by(shop.post(&Buyer::new().authorize().sign().body(Version::V2))).await;
    assert_eq!((told.status, told.code()), (503, "accept_unavailable"));
    assert_eq!(told.header("retry-after"), Some("2"));
}

#[tokio::test]
async fn a_cut_connection_to_the_ledger_is_made_anew() {
    let (shop, store) = Shop::builder().pool(2, WAIT).open().await;
    Told::by(shop.post(&Buyer::new().authorize().sign().body(Version::V2))).await;
    cut_connections(&shop, &store).await;
    let told = Told::by(shop.post(&Buyer::new().authorize().sign().body(Version::V2))).await;
    assert_eq!(told.status, 202, "{}", told.body);
}

/// Ends every connection of the API to the ledger on the ledger's side.
async fn cut_connections(shop: &Shop, store: &Store) {
    assert!(store.pool().size() > 0, "there is something to cut");
    let others = "select pg_terminate_backend(pid) from pg_stat_activity
                  where datname = current_database() and pid <> pg_backend_pid()";
    shop.tamper(others.to_owned()).await;
}

/// Nothing of ours deletes an account; here it stands for any submission that the ledger cannot
/// take, whose neighbours must not suffer.
#[tokio::test]
async fn one_submission_that_the_ledger_cannot_take_spoils_no_other() {
    let (shop, store) = Shop::builder().pool(1, WAIT * 10).open().await;
    let gone = new_seller(&shop.database.store, &[Scope::PaymentsWrite]).await;
    let mut malformed = Buyer::new().authorize().sign().body(Version::V2);
    malformed["x402Version"] = json!(3);
    // Both keys are remembered from here on.
    assert_eq!(Told::by(shop.post(&malformed)).await.status, 422);
    assert_eq!(Told::by(shop.post_as(&gone, &malformed)).await.status, 422);
    shop.tamper(format!("delete from api_keys where account_id = '{}'", gone.account.uuid())).await;
    shop.tamper(format!("delete from accounts where id = '{}'", gone.account.uuid())).await;

    // While the API's only connection is taken, all of them gather.
    let only_connection = store.pool().acquire().await.unwrap();
    let submit = |seller| {
        let body = Buyer::new().authorize().sign().body(Version::V2);
        tokio::spawn(Told::by(shop.post_as(seller, &body)))
    };
    let pairs: Vec<_> = (0..EACH).map(|_| (submit(&gone), submit(&shop.seller))).collect();
    drop(only_connection);
    for (refused, accepted) in pairs {
        let (refused, accepted) = (refused.await.unwrap(), accepted.await.unwrap());
        assert_eq!((refused.status, refused.code()), (500, "internal_error"));
        assert_eq!(accepted.status, 202, "{}", accepted.body);
    }
}
