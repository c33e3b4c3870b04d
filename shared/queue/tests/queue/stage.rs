//! What the tests are arranged from: waiting, queues, workers that keep a record.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use queue::{Depth, HandlerError, Job, Queue, QueueConfig, Stream, WorkError};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::redis_server::RedisServer;

/// How long anything may take that is not about time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Longer than any test: with it, nothing comes again because a lease has run out.
pub(crate) const LONG_LEASE: Duration = Duration::from_secs(600);

/// Waits until `probe` finds something.
pub(crate) async fn eventually<T>(what: &str, probe: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, what, probe).await
}

/// Waits until `probe` finds something, for `limit` at most.
pub(crate) async fn within<T>(
    limit: Duration,
    what: &str,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The configuration for a test: the defaults with this lease.
pub(crate) fn config(redis: &RedisServer, lease: Duration) -> QueueConfig {
    let mut config = QueueConfig::new(redis.url());
    config.lease = lease;
    config.command_timeout = Duration::from_secs(5);
    config.limit_timeout = Duration::from_secs(5);
    config
}

pub(crate) fn queue(redis: &RedisServer, lease: Duration) -> Queue {
    Queue::connect(config(redis, lease)).unwrap()
}

/// `count` jobs with ids that differ.
pub(crate) fn jobs(count: usize) -> Vec<Job> {
    ids(count).into_iter().map(Job::new).collect()
}

/// The ids of [`jobs`].
pub(crate) fn ids(count: usize) -> BTreeSet<String> {
    (0..count).map(|number| format!("job-{number:06}")).collect()
}

/// A record of the runs that have started, in order.
#[derive(Clone, Default)]
pub(crate) struct Record(Arc<Mutex<Vec<String>>>);

impl Record {
    pub(crate) fn add(&self, job: &Job) {
        self.0.lock().unwrap().push(job.id.clone());
    }

    /// Every run.
    pub(crate) fn runs(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// The ids that ran at least once.
    pub(crate) fn ids(&self) -> BTreeSet<String> {
        self.runs().into_iter().collect()
    }

    pub(crate) async fn holds(&self, expected: &BTreeSet<String>) {
        self.holds_within(PATIENCE, expected).await;
    }

    pub(crate) async fn holds_within(&self, limit: Duration, expected: &BTreeSet<String>) {
        within(limit, "all jobs have run", async || self.ids().is_superset(expected).then_some(()))
            .await;
    }
}

/// A worker that runs as a task of this process.
pub(crate) struct Worker {
    pub(crate) record: Record,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), WorkError>>,
}

impl Worker {
    /// A worker whose handler records the job and then does what `handler` says.
    pub(crate) fn start<H, F>(queue: &Queue, stream: Stream, concurrency: usize, handler: H) -> Self
    where
        H: Fn(Job) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        let record = Record::default();
        let shutdown = CancellationToken::new();
        let recording = {
            let record = record.clone();
            move |job: Job| {
                record.add(&job);
                handler(job)
            }
        };
        let (queue, token) = (queue.clone(), shutdown.clone());
        let concurrency = NonZeroUsize::new(concurrency).unwrap();
        let task =
            tokio::spawn(async move { queue.work(stream, concurrency, recording, token).await });
        Self { record, shutdown, task }
    }

    /// A worker that only records.
    pub(crate) fn recording(queue: &Queue, stream: Stream, concurrency: usize) -> Self {
        Self::start(queue, stream, concurrency, |_| async { Ok(()) })
    }

    /// Asks the worker to stop.
    pub(crate) fn stop(&self) {
        self.shutdown.cancel();
    }

    /// Waits for the worker's end.
    pub(crate) async fn ended(self) -> Result<(), WorkError> {
        let ended = tokio::time::timeout(PATIENCE, self.task).await;
        ended.expect("the worker ends").unwrap()
    }

    /// Asks the worker to stop, and waits until it has.
    pub(crate) async fn stopped(self) -> Result<(), WorkError> {
        self.stop();
        self.ended().await
    }
}

/// Waits until the stream is like this.
pub(crate) async fn depth_is(
    queue: &Queue,
    stream: &Stream,
    like: impl Fn(&Depth) -> bool,
) -> Depth {
    eventually("the stream has the expected depth", async || {
        queue.depth(stream).await.ok().filter(&like)
    })
    .await
}

/// Waits until nothing is in the stream, waiting or running.
pub(crate) async fn emptied(queue: &Queue, stream: &Stream) {
    depth_is(queue, stream, |depth| depth.length == 0).await;
}
