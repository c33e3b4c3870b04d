//! What happens when more comes than can be dealt with.

use std::time::Duration;

use testkit::{Buyer, RedisServer, eventually};
use x402::Version;

use crate::shop::{Shop, Told};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

impl Shop {
    async fn submit(&self) -> Told {
        Told::by(self.post(&Buyer::new().authorize().sign().body(Version::V2))).await
    }
}

fn assert_sent_away(told: &Told) {
    assert_eq!((told.status, told.code()), (503, "overloaded"), "{}", told.body);
    assert_eq!(told.header("retry-after"), Some("2"));
}

#[tokio::test]
async fn who_comes_while_all_places_are_taken_is_sent_away_at_once() {
    let (shop, store) = Shop::builder().max_in_flight(1).pool(1, PATIENCE).open().await;
    shop.submit().await;
    let only_connection = store.pool().acquire().await.unwrap();
    let (first, second) = (shop.submit(), shop.submit());
    let (mut first, mut second) = (std::pin::pin!(first), std::pin::pin!(second));

    // One of them waits for the ledger inside, so it is the other that has its answer.
    let (sent_away, waiting) = tokio::select! {
        told = &mut first => (told, second),
        told = &mut second => (told, first),
    };
    drop(only_connection);

    assert_sent_away(&sent_away);
    assert_eq!(waiting.await.status, 202);
    assert_eq!(shop.count("payments").await, 2);
}

#[tokio::test]
async fn nothing_is_taken_while_too_many_wait_for_the_workers() {
    let redis = RedisServer::start().await;
    let (shop, _) = Shop::builder().redis(redis.url()).max_backlog(2).open().await;

    // Nobody works here, so what is taken waits.
    let sent_away = eventually(PATIENCE, async || {
        let told = shop.submit().await;
        (told.status != 202).then_some(told)
    })
    .await;
    assert_sent_away(&sent_away);
    assert!(shop.count("payments").await > 2);

    redis.flush().await;
    eventually(PATIENCE, async || (shop.submit().await.status == 202).then_some(())).await;
}
