//! Rings that nobody waits for.

use std::time::Duration;

use queue::{Job, Stream};

use crate::redis_server::RedisServer;
use crate::stage::{LONG_LEASE, PATIENCE, Worker, depth_is, eventually, ids, jobs, queue};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rings_of_many_callers_all_arrive() {
    let redis = RedisServer::start().await;
    let queue = queue(&redis, LONG_LEASE);
    let bell = queue.bell();

    let callers: Vec<_> = jobs(2_000)
        .into_iter()
        .map(|job| {
            let bell = bell.clone();
            tokio::spawn(async move { bell.ring(&Stream::Risk, job) })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }

    assert!(bell.flush(PATIENCE).await);
    assert_eq!(queue.depth(&Stream::Risk).await.unwrap().lag, 2_000);
}

#[tokio::test]
async fn one_bell_rings_for_several_streams() {
    let redis = RedisServer::start().await;
    let queue = queue(&redis, LONG_LEASE);
    let bell = queue.bell();

    bell.ring_all(&Stream::Risk, jobs(3));
    bell.ring_all(&Stream::Notify, jobs(2));

    assert!(bell.flush(PATIENCE).await);
    assert_eq!(queue.depth(&Stream::Risk).await.unwrap().lag, 3);
    assert_eq!(queue.depth(&Stream::Notify).await.unwrap().lag, 2);
}

/// On one thread the sending task cannot run before the ringing one waits, and it does not wait.
#[tokio::test(flavor = "current_thread")]
async fn ringing_while_redis_is_down_returns_at_once() {
    let redis = RedisServer::absent();
    let queue = queue(&redis, LONG_LEASE);
    let bell = queue.bell();

    bell.ring_all(&Stream::Risk, jobs(200_000));

    let flushed = bell.flush(Duration::from_millis(100)).await;
    assert!(!flushed, "the buffer is full of rings that nobody takes");
}

#[tokio::test]
async fn an_outage_shorter_than_the_bells_patience_loses_no_ring() {
    let mut redis = RedisServer::start().await;
    let queue = queue(&redis, LONG_LEASE);
    let worker = Worker::recording(&queue, Stream::Risk, 4);
    queue.bell().ring(&Stream::Risk, Job::new("before"));
    worker.record.holds(&["before".to_owned()].into()).await;

    redis.kill();
    queue.bell().ring_all(&Stream::Risk, jobs(100));
    redis.run().await;

    worker.record.holds(&ids(100)).await;
    worker.stopped().await.unwrap();
}

#[tokio::test]
async fn rings_that_were_given_up_do_not_hold_up_later_ones() {
    let mut redis = RedisServer::absent();
    let queue = queue(&redis, LONG_LEASE);
    queue.bell().ring_all(&Stream::Risk, jobs(10));
    assert!(queue.bell().flush(PATIENCE).await, "the bell gives up");

    redis.run().await;
    queue.bell().ring(&Stream::Risk, Job::new("later"));

    depth_is(&queue, &Stream::Risk, |depth| depth.lag == 1).await;
}

#[tokio::test]
async fn a_stream_that_nobody_works_on_stays_within_its_limit() {
    let redis = RedisServer::start().await;
    let mut config = crate::stage::config(&redis, LONG_LEASE);
    config.stream_limit = 1_000;
    let queue = queue::Queue::connect(config).unwrap();

    queue.push(&Stream::Risk, &jobs(10_000)).await.unwrap();

    let length = queue.depth(&Stream::Risk).await.unwrap().length;
    // Redis trims whole nodes, of 100 entries by default.
    assert!((1_000..1_200).contains(&length), "{length}");
}

#[tokio::test]
async fn a_ping_finds_out_whether_redis_is_there() {
    let mut redis = RedisServer::absent();
    let queue = queue(&redis, LONG_LEASE);
    assert!(queue.ping().await.is_err());

    redis.run().await;

    eventually("the ping succeeds", async || queue.ping().await.ok()).await;
}
