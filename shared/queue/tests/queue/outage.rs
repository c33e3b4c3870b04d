//! Redis that goes away, forgets, or falls silent.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use queue::{Job, Queue, Stream};
use tokio::task::JoinHandle;

use crate::redis_server::RedisServer;
use crate::stage::{
    LONG_LEASE, Record, Worker, config, depth_is, emptied, eventually, ids, jobs, queue,
};

/// Pushes batches without a pause until told to stop, and keeps the ids that Redis has confirmed.
struct Writer {
    confirmed: Record,
    over: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Writer {
    fn start(queue: &Queue) -> Self {
        let confirmed = Record::default();
        let over = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn({
            let (queue, confirmed, over) = (queue.clone(), confirmed.clone(), Arc::clone(&over));
            async move {
                let mut round = 0;
                while !over.load(Ordering::Relaxed) {
                    round += 1;
                    let id = |number| Job::new(format!("{round}-{number}"));
                    let batch: Vec<_> = (0..10).map(id).collect();
                    if queue.push(&Stream::Risk, &batch).await.is_ok() {
                        batch.iter().for_each(|job| confirmed.add(job));
                    }
                    tokio::task::yield_now().await;
                }
            }
        });
        Self { confirmed, over, task }
    }

    /// Waits until `count` more have been confirmed.
    async fn goes_on(&self, count: usize) {
        let goal = self.confirmed.runs().len() + count;
        eventually("more jobs are confirmed", async || {
            (self.confirmed.runs().len() >= goal).then_some(())
        })
        .await;
    }

    async fn stop(self) -> BTreeSet<String> {
        self.over.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        self.confirmed.ids()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_killed_under_load_loses_no_confirmed_job() {
    let mut redis = RedisServer::start().await;
    let queue = queue(&redis, Duration::from_secs(1));
    let worker = Worker::recording(&queue, Stream::Risk, 8);
    let writer = Writer::start(&queue);
    writer.goes_on(500).await;

    redis.kill();
    redis.run().await;

    writer.goes_on(500).await;
    let confirmed = writer.stop().await;
    worker.record.holds(&confirmed).await;
    emptied(&queue, &Stream::Risk).await;
    worker.stopped().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_shut_down_under_load_loses_no_confirmed_job() {
    let mut redis = RedisServer::start().await;
    let queue = queue(&redis, Duration::from_secs(1));
    let worker = Worker::recording(&queue, Stream::Risk, 8);
    let writer = Writer::start(&queue);
    writer.goes_on(500).await;

    redis.shut_down().await;
    redis.run().await;

    writer.goes_on(500).await;
    let confirmed = writer.stop().await;
    worker.record.holds(&confirmed).await;
    emptied(&queue, &Stream::Risk).await;
    worker.stopped().await.unwrap();
}

#[tokio::test]
async fn a_flushed_redis_does_not_stop_the_worker() {
    let redis = RedisServer::start().await;
    let queue = queue(&redis, LONG_LEASE);
    let worker = Worker::recording(&queue, Stream::Risk, 4);
    queue.push(&Stream::Risk, &jobs(3)).await.unwrap();
    worker.record.holds(&ids(3)).await;

    let mut connection = redis.connect().await;
    redis::cmd("FLUSHALL").exec_async(&mut connection).await.unwrap();
    queue.push(&Stream::Risk, &jobs(10)).await.unwrap();

    worker.record.holds(&ids(10)).await;
    emptied(&queue, &Stream::Risk).await;
    worker.stopped().await.unwrap();
}

#[tokio::test]
async fn a_redis_that_falls_silent_does_not_stop_the_worker() {
    let redis = RedisServer::start().await;
    let mut config = config(&redis, LONG_LEASE);
    config.command_timeout = Duration::from_millis(200);
    let queue = Queue::connect(config).unwrap();
    let worker = Worker::recording(&queue, Stream::Risk, 4);
    queue.push(&Stream::Risk, &jobs(3)).await.unwrap();
    worker.record.holds(&ids(3)).await;

    redis.freeze();
    // Longer than the longest read may take: the worker's own connections have timed out too.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(queue.ping().await.is_err());
    redis.thaw();

    eventually("Redis is back", async || queue.ping().await.ok()).await;
    queue.push(&Stream::Risk, &jobs(10)).await.unwrap();
    worker.record.holds(&ids(10)).await;
    worker.stopped().await.unwrap();
}

#[tokio::test]
async fn a_job_that_outlives_an_outage_is_not_taken_from_its_consumer() {
    const LEASE: Duration = Duration::from_secs(1);
    let mut redis = RedisServer::start().await;
    let queue = queue(&redis, LEASE);
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let busy = Worker::start(&queue, Stream::Risk, 1, {
        let gate = Arc::clone(&gate);
        move |_| {
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.unwrap().forget();
                Ok(())
            }
        }
    });
    queue.push(&Stream::Risk, &jobs(1)).await.unwrap();
    busy.record.holds(&ids(1)).await;
    // Several, so that one of them is almost surely back before the busy one can renew its lease.
    let idle: Vec<_> = (0..8).map(|_| Worker::recording(&queue, Stream::Risk, 4)).collect();

    redis.kill();
    // Every lease runs out meanwhile.
    tokio::time::sleep(LEASE * 2).await;
    redis.run().await;
    // Longer than everybody needs to be back, and to look for jobs of the dead.
    tokio::time::sleep(LEASE * 4).await;
    gate.add_permits(1);

    emptied(&queue, &Stream::Risk).await;
    assert_eq!(busy.record.runs().len(), 1);
    busy.stopped().await.unwrap();
    for worker in idle {
        assert_eq!(worker.record.runs().len(), 0);
        worker.stopped().await.unwrap();
    }
}

#[tokio::test]
async fn a_worker_that_starts_while_redis_is_down_works_when_it_comes() {
    let mut redis = RedisServer::absent();
    let queue = queue(&redis, LONG_LEASE);
    let worker = Worker::recording(&queue, Stream::Risk, 4);
    assert!(queue.ping().await.is_err());

    redis.run().await;
    eventually("Redis takes jobs", async || queue.push(&Stream::Risk, &jobs(5)).await.ok()).await;

    worker.record.holds(&ids(5)).await;
    worker.stopped().await.unwrap();
}

#[tokio::test]
async fn a_worker_stops_while_redis_is_down_and_says_what_is_left() {
    let mut redis = RedisServer::start().await;
    let queue = queue(&redis, LONG_LEASE);
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let worker = Worker::start(&queue, Stream::Risk, 2, {
        let gate = Arc::clone(&gate);
        move |_| {
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.unwrap().forget();
                Ok(())
            }
        }
    });
    queue.push(&Stream::Risk, &jobs(2)).await.unwrap();
    depth_is(&queue, &Stream::Risk, |depth| depth.pending == 2).await;
    worker.record.holds(&ids(2)).await;

    redis.kill();
    gate.add_permits(2);

    let ended = worker.stopped().await;
    assert_eq!(ended, Err(queue::WorkError::Unfinished { entries: 2 }));
}
