//! Consumers that die.

use std::time::Duration;

use queue::{Job, Queue, Stream};

use crate::child::{CONCURRENCY, ChildWorker, POISON};
use crate::redis_server::RedisServer;
use crate::stage::{Worker, config, depth_is, emptied, eventually, ids, jobs, queue};

#[tokio::test]
async fn a_killed_consumers_jobs_are_done_by_another() {
    const LEASE: Duration = Duration::from_secs(2);
    let redis = RedisServer::start().await;
    let queue = queue(&redis, LEASE);
    let child = ChildWorker::start(&redis.url(), LEASE, 5);
    queue.push(&Stream::Risk, &jobs(200)).await.unwrap();
    depth_is(&queue, &Stream::Risk, |depth| depth.pending == CONCURRENCY as u64).await;
    let survivor = Worker::recording(&queue, Stream::Risk, 16);
    depth_is(&queue, &Stream::Risk, |depth| depth.lag == 0).await;

    child.kill();

    let deadline = LEASE + Duration::from_secs(2);
    survivor.record.holds_within(deadline, &ids(200)).await;
    emptied(&queue, &Stream::Risk).await;
    assert_eq!(survivor.record.runs().len(), 200);
    survivor.stopped().await.unwrap();
}

#[tokio::test]
async fn a_job_that_kills_its_process_reaches_the_dead_stream_at_the_limit() {
    const LEASE: Duration = Duration::from_millis(400);
    const LIMIT: u32 = 3;
    let redis = RedisServer::start().await;
    let queue = queue(&redis, LEASE);
    queue.push(&Stream::Risk, &[Job::new(POISON)]).await.unwrap();
    let mut crashes = 0;
    let mut child = ChildWorker::start(&redis.url(), LEASE, LIMIT);

    let dead = eventually("the job is given up", async || {
        if child.has_ended() {
            crashes += 1;
            child = ChildWorker::start(&redis.url(), LEASE, LIMIT);
        }
        queue.dead_entries(&Stream::Risk, 1).await.unwrap().pop()
    })
    .await;

    assert_eq!(crashes, LIMIT);
    assert_eq!(dead.reason, "delivered 3 times and never finished");
    assert_eq!(dead.body, br#"{"v":1,"id":"poison"}"#);
}

#[tokio::test]
async fn the_names_of_dead_consumers_are_cleared_away() {
    const LEASE: Duration = Duration::from_millis(400);
    let redis = RedisServer::start().await;
    let mut config = config(&redis, LEASE);
    config.consumer_expiry = Duration::from_secs(1);
    let queue = Queue::connect(config).unwrap();
    let child = ChildWorker::start(&redis.url(), LEASE, 5);
    queue.push(&Stream::Risk, &jobs(10)).await.unwrap();
    depth_is(&queue, &Stream::Risk, |depth| depth.pending == 10).await;
    child.kill();

    let survivor = Worker::recording(&queue, Stream::Risk, 4);

    eventually("only the survivor is left", async || {
        (consumers(&redis).await.len() == 1).then_some(())
    })
    .await;
    survivor.record.holds(&ids(10)).await;
    survivor.stopped().await.unwrap();
}

/// The names in the risk stream's group.
pub(crate) async fn consumers(redis: &RedisServer) -> Vec<String> {
    let mut connection = redis.connect().await;
    let mut command = redis::cmd("XINFO");
    command.arg("CONSUMERS").arg("{q:risk}").arg("workers");
    let reply: redis::streams::StreamInfoConsumersReply =
        command.query_async(&mut connection).await.unwrap();
    reply.consumers.into_iter().map(|consumer| consumer.name).collect()
}
