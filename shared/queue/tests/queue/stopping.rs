//! Workers that are told to stop.

use std::sync::Arc;
use std::time::Duration;

use queue::{Queue, Stream, WorkError};
use tokio::sync::Semaphore;

use crate::recovery::consumers;
use crate::redis_server::RedisServer;
use crate::stage::{
    LONG_LEASE, PATIENCE, Worker, config, depth_is, emptied, eventually, ids, jobs, queue,
};

/// A worker whose handlers wait for a permit each.
fn gated(queue: &Queue, concurrency: usize, gate: &Arc<Semaphore>) -> Worker {
    let gate = Arc::clone(gate);
    Worker::start(queue, Stream::Risk, concurrency, move |_| {
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.unwrap().forget();
            Ok(())
        }
    })
}

#[tokio::test]
async fn a_stopping_worker_finishes_what_runs_and_leaves_the_rest_to_others() {
    let redis = RedisServer::start().await;
    let queue = queue(&redis, LONG_LEASE);
    let gate = Arc::new(Semaphore::new(0));
    let stopping = gated(&queue, 4, &gate);
    queue.push(&Stream::Risk, &jobs(20)).await.unwrap();
    depth_is(&queue, &Stream::Risk, |depth| depth.pending == 4).await;

    stopping.stop();
    let other = Worker::recording(&queue, Stream::Risk, 4);
    depth_is(&queue, &Stream::Risk, |depth| depth.length == 4).await;
    gate.add_permits(4);

    let ran_before = stopping.record.clone();
    stopping.ended().await.unwrap();
    emptied(&queue, &Stream::Risk).await;
    let mut all = ran_before.runs();
    all.extend(other.record.runs());
    assert_eq!(ran_before.runs().len(), 4);
    assert_eq!(all.len(), 20, "each ran once");
    other.stopped().await.unwrap();
}

/// Entries whose delivery never arrived are pending under the worker's name. Without being handed
/// back they would wait for the lease, which is longer than this test.
#[tokio::test]
async fn a_stopping_worker_hands_back_what_it_never_started() {
    let redis = RedisServer::start().await;
    let queue = queue(&redis, LONG_LEASE);
    let gate = Arc::new(Semaphore::new(0));
    let stopping = gated(&queue, 1, &gate);
    queue.push(&Stream::Risk, &jobs(6)).await.unwrap();
    depth_is(&queue, &Stream::Risk, |depth| depth.pending == 1).await;
    let name = consumers(&redis).await.pop().unwrap();
    let mut connection = redis.connect().await;
    let mut lost_read = redis::cmd("XREADGROUP");
    lost_read.arg("GROUP").arg("workers").arg(name).arg("COUNT").arg(5);
    lost_read.arg("STREAMS").arg("{q:risk}").arg(">");
    lost_read.exec_async(&mut connection).await.unwrap();
    depth_is(&queue, &Stream::Risk, |depth| depth.pending == 6).await;

    gate.add_permits(1);
    stopping.stopped().await.unwrap();
    let other = Worker::recording(&queue, Stream::Risk, 4);

    emptied(&queue, &Stream::Risk).await;
    assert_eq!(other.record.runs().len(), 5);
    other.stopped().await.unwrap();
}

#[tokio::test]
async fn a_stopped_worker_leaves_no_name_behind() {
    let redis = RedisServer::start().await;
    let queue = queue(&redis, LONG_LEASE);
    let worker = Worker::recording(&queue, Stream::Risk, 2);
    queue.push(&Stream::Risk, &jobs(5)).await.unwrap();
    worker.record.holds(&ids(5)).await;

    worker.stopped().await.unwrap();

    assert_eq!(consumers(&redis).await, [""; 0]);
}

#[tokio::test]
async fn a_handler_past_the_drain_deadline_is_stopped_and_its_job_comes_again() {
    const LEASE: Duration = Duration::from_millis(600);
    let redis = RedisServer::start().await;
    let mut config = config(&redis, LEASE);
    config.drain_deadline = Duration::from_millis(100);
    let queue = Queue::connect(config).unwrap();
    let never = Arc::new(Semaphore::new(0));
    let stuck = gated(&queue, 2, &never);
    queue.push(&Stream::Risk, &jobs(1)).await.unwrap();
    stuck.record.holds(&ids(1)).await;

    let ended = stuck.stopped().await;

    assert_eq!(ended, Err(WorkError::Unfinished { entries: 1 }));
    assert_eq!(Arc::strong_count(&never), 1, "the handler is gone");
    let other = Worker::recording(&queue, Stream::Risk, 2);
    other.record.holds(&ids(1)).await;
    other.stopped().await.unwrap();
}

#[tokio::test]
async fn a_stopped_worker_leaves_no_read_waiting() {
    let redis = RedisServer::start().await;
    let queue = queue(&redis, LONG_LEASE);
    let worker = Worker::recording(&queue, Stream::Risk, 2);
    queue.push(&Stream::Risk, &jobs(1)).await.unwrap();
    worker.record.holds(&ids(1)).await;
    emptied(&queue, &Stream::Risk).await;

    worker.stopped().await.unwrap();

    let mut connection = redis.connect().await;
    let mut command = redis::cmd("INFO");
    let info: String = command.arg("clients").query_async(&mut connection).await.unwrap();
    assert!(info.contains("blocked_clients:0"), "{info}");
}

/// With this lease nothing comes back by itself: an entry that is read and neither started nor
/// handed back would be missing at the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_come_and_go_under_load_lose_nothing() {
    const ROUNDS: usize = 30;
    const ROUND: usize = 200;
    let redis = RedisServer::start().await;
    let queue = queue(&redis, LONG_LEASE);
    let all: Vec<_> = jobs(ROUNDS * ROUND);
    let mut runs = Vec::new();

    for batch in all.chunks(ROUND) {
        let worker = Worker::recording(&queue, Stream::Risk, 8);
        queue.bell().ring_all(&Stream::Risk, batch.iter().cloned());
        let record = worker.record.clone();
        eventually("some have run", async || (record.runs().len() >= ROUND / 4).then_some(()))
            .await;
        worker.stopped().await.unwrap();
        runs.extend(record.runs());
    }
    let last = Worker::recording(&queue, Stream::Risk, 8);
    assert!(queue.bell().flush(PATIENCE).await);
    emptied(&queue, &Stream::Risk).await;

    runs.extend(last.record.runs());
    assert_eq!(runs.len(), all.len(), "each ran once");
    last.stopped().await.unwrap();
}
