//! Status changes over pub/sub.

use std::time::Duration;

use queue::Queue;
use queue::status::{Subscriber, Watch};

use crate::redis_server::RedisServer;
use crate::stage::{LONG_LEASE, PATIENCE, eventually, queue};

async fn listening(queue: &Queue) -> Subscriber {
    let subscriber = queue.subscribe();
    tokio::time::timeout(PATIENCE, subscriber.connected()).await.unwrap();
    subscriber
}

async fn next(watch: &mut Watch) -> u64 {
    tokio::time::timeout(PATIENCE, watch.changed()).await.unwrap()
}

#[tokio::test]
async fn every_watcher_hears_of_its_payment_and_of_no_other() {
    let redis = RedisServer::start().await;
    let (teller, listener) = (queue(&redis, LONG_LEASE), queue(&redis, LONG_LEASE));
    let subscriber = listening(&listener).await;
    let mut first = subscriber.watch("pay_1").unwrap();
    let mut second = subscriber.watch("pay_1").unwrap();
    let mut other = subscriber.watch("pay_2").unwrap();

    teller.publisher().publish([("pay_1", 3)]);

    assert_eq!(next(&mut first).await, 3);
    assert_eq!(next(&mut second).await, 3);
    let quiet = tokio::time::timeout(Duration::ZERO, other.changed()).await;
    assert!(quiet.is_err(), "nothing was said of pay_2");
}

#[tokio::test]
async fn a_version_that_is_not_newer_wakes_nobody() {
    let redis = RedisServer::start().await;
    let queue = queue(&redis, LONG_LEASE);
    let subscriber = listening(&queue).await;
    let mut watch = subscriber.watch("pay_1").unwrap();

    queue.publisher().publish([("pay_1", 5), ("pay_1", 4), ("pay_1", 6)]);

    // The three arrive as one message: only the highest is left to hear.
    assert_eq!(next(&mut watch).await, 6);
}

#[tokio::test]
async fn a_thousand_changes_at_once_all_arrive() {
    let redis = RedisServer::start().await;
    let queue = queue(&redis, LONG_LEASE);
    let subscriber = listening(&queue).await;
    let payment = |number: u64| format!("pay_{number}");
    let mut watches: Vec<_> =
        (1..=1_000).map(|number| subscriber.watch(payment(number)).unwrap()).collect();

    queue.publisher().publish((1..=1_000).map(|number| (payment(number), number)));

    for (watch, number) in watches.iter_mut().zip(1..) {
        assert_eq!(next(watch).await, number);
    }
}

#[tokio::test]
async fn a_subscriber_comes_back_after_redis_was_away() {
    let mut redis = RedisServer::start().await;
    let queue = queue(&redis, LONG_LEASE);
    let subscriber = listening(&queue).await;
    let mut watch = subscriber.watch("pay_1").unwrap();

    redis.kill();
    redis.run().await;

    // Until the subscription is back, what is published goes unheard, as documented.
    let mut version = 0;
    let heard = eventually("the watch hears again", async || {
        version += 1;
        queue.publisher().publish([("pay_1", version)]);
        tokio::time::timeout(Duration::from_millis(50), watch.changed()).await.ok()
    })
    .await;
    assert!(heard > 0);
}

#[tokio::test]
async fn a_dropped_watch_is_forgotten() {
    let redis = RedisServer::start().await;
    let queue = queue(&redis, LONG_LEASE);
    let subscriber = queue.subscribe();
    let first = subscriber.watch("pay_1").unwrap();
    let second = subscriber.watch("pay_1").unwrap();

    drop(first);
    assert_eq!(subscriber.watched(), 1);
    drop(second);
    assert_eq!(subscriber.watched(), 0);
}

#[tokio::test]
async fn watchers_are_bounded_and_room_comes_back() {
    let redis = RedisServer::absent();
    let queue = queue(&redis, LONG_LEASE);
    let subscriber = queue.subscribe();
    let watches: Vec<_> =
        (0..65_536).map(|number| subscriber.watch(number.to_string()).unwrap()).collect();

    assert!(subscriber.watch("one too many").is_err());
    assert!(subscriber.watch("7").is_ok(), "that one is being watched already");
    drop(watches);
    assert!(subscriber.watch("one too many").is_ok());
}

#[tokio::test]
async fn a_message_from_elsewhere_is_ignored() {
    let redis = RedisServer::start().await;
    let queue = queue(&redis, LONG_LEASE);
    let subscriber = listening(&queue).await;
    let mut watch = subscriber.watch("pay_1").unwrap();
    let mut connection = redis.connect().await;
    let mut command = redis::cmd("PUBLISH");
    command.arg("status").arg("pay_1 has changed!");

    command.exec_async(&mut connection).await.unwrap();
    queue.publisher().publish([("pay_1", 2)]);

    assert_eq!(next(&mut watch).await, 2);
}
