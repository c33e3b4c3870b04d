//! The handle that everything starts from.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use redis::{Pipeline, Value};
use tokio_util::sync::CancellationToken;

use crate::bell::{self, Bell};
use crate::config::{QueueConfig, QueueConfigError};
use crate::connection::{Endpoint, Link};
use crate::dead::{self, DeadEntry};
use crate::error::{HandlerError, QueueError, WorkError};
use crate::gate::Gates;
use crate::job::Job;
use crate::rate_limit::{Quota, RateLimit, Turnstile};
use crate::scripts::{DEPTH, LINE};
use crate::status::{self, Publisher, Subscriber};
use crate::stream::{GROUP, Keys, Stream};
use crate::worker;

/// How long a readiness check waits for Redis.
const PING_LIMIT: Duration = Duration::from_secs(1);
/// How many jobs one push sends per round trip.
const PUSH_BATCH: usize = 1_000;

/// The queue of one installation. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct Queue {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: Arc<QueueConfig>,
    endpoint: Endpoint,
    link: Link,
    hasty_link: Link,
    bell: Bell,
    publisher: Publisher,
}

/// How much is in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// All entries, waiting and running.
    pub length: u64,
    /// Delivered and not yet acknowledged.
    pub pending: u64,
    /// Waiting to be delivered for the first time: the number to scale workers by.
    pub lag: u64,
    /// Entries in the dead stream.
    pub dead: u64,
}

impl Queue {
    /// A handle on the Redis of this configuration. Nothing is connected yet, so it succeeds while
    /// Redis is away; connections are made at first use and made anew when they fail.
    ///
    /// Call it within a tokio runtime: the tasks that send rings and status changes start here, and
    /// end with the last handle.
    ///
    /// # Errors
    ///
    /// [`QueueConfigError`] when a setting cannot work.
    pub fn connect(config: QueueConfig) -> Result<Self, QueueConfigError> {
        config.check()?;
        let endpoint = Endpoint::new(&config.url, config.command_timeout)?;
        let link = endpoint.link(Duration::ZERO);
        let hasty_link = endpoint.hasty_link(config.limit_timeout);
        let bell = Bell::new(link.clone(), config.prefix.as_str().into(), config.stream_limit);
        let publisher = Publisher::new(link.clone(), status::channel(&config.prefix));
        Ok(Self {
            shared: Arc::new(Shared {
                settings: Arc::new(config),
                endpoint,
                link,
                hasty_link,
                bell,
                publisher,
            }),
        })
    }

    /// The bell of this queue.
    pub fn bell(&self) -> Bell {
        self.shared.bell.clone()
    }

    /// The telling side of the status channel.
    pub fn publisher(&self) -> Publisher {
        self.shared.publisher.clone()
    }

    /// The gates of this installation.
    pub fn gates(&self) -> Gates {
        Gates::new(self.shared.link.clone(), self.shared.settings.prefix.as_str().into())
    }

    /// A rate limit of this installation: processes that give it the same name and quota share it.
    pub fn rate_limit(&self, name: &str, quota: Quota) -> RateLimit {
        RateLimit::new(self.shared.hasty_link.clone(), &self.shared.settings.prefix, name, quota)
    }

    /// A turnstile of this installation, shared by the processes that give it the same name. Must be
    /// called within a tokio runtime, whose task tells the others until the turnstile is gone.
    pub fn turnstile(&self, name: &str) -> Turnstile {
        Turnstile::spawn(self.shared.hasty_link.clone(), &self.shared.settings.prefix, name)
    }

    /// Starts to listen on the status channel. One subscriber is enough for a process.
    pub fn subscribe(&self) -> Subscriber {
        let channel = status::channel(&self.shared.settings.prefix);
        Subscriber::spawn(self.shared.endpoint.clone(), channel)
    }

    /// Runs `handler` for the jobs of one stream, at most `concurrency` at a time and spread over
    /// the runtime's threads, until `shutdown`. It never ends because of Redis.
    ///
    /// A handler that returns `Ok` is done, and so is one that returns an error: that is logged
    /// and counted, and the ledger's due time rings again. One that panics moves its job to the
    /// dead stream. One whose process dies leaves its job to another consumer after the lease.
    ///
    /// On `shutdown` nothing more is read, what was read and not started goes back to the stream
    /// at once, and running handlers have until the drain deadline. Dropping the future instead
    /// stops handlers where they are; their jobs come again after the lease.
    ///
    /// # Errors
    ///
    /// [`WorkError::Unfinished`] when the drain deadline passed with something left over.
    pub async fn work<H, F>(
        &self,
        stream: Stream,
        concurrency: NonZeroUsize,
        handler: H,
        shutdown: CancellationToken,
    ) -> Result<(), WorkError>
    where
        H: Fn(Job) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        let place = worker::Place {
            keys: Keys::new(&self.shared.settings.prefix, &stream),
            stream,
            endpoint: self.shared.endpoint.clone(),
            settings: Arc::clone(&self.shared.settings),
        };
        worker::work(place, concurrency, handler, shutdown).await
    }

    /// Puts jobs into a stream and waits until Redis has them. For callers that must know; an HTTP
    /// handler uses the [`Bell`].
    ///
    /// # Errors
    ///
    /// [`QueueError`]; some of the jobs may be in the stream all the same. Pushing all of them again
    /// does no harm.
    pub async fn push(&self, stream: &Stream, jobs: &[Job]) -> Result<(), QueueError> {
        let keys = self.keys(stream);
        for jobs in jobs.chunks(PUSH_BATCH) {
            let mut pipeline = Pipeline::with_capacity(jobs.len());
            for job in jobs {
                let limit = self.shared.settings.stream_limit;
                pipeline.add_command(bell::add_command(&keys, limit, job));
            }
            self.shared.link.send("push", &pipeline).await?;
        }
        Ok(())
    }

    /// Whether Redis answers, found out within a second. For readiness checks.
    ///
    /// # Errors
    ///
    /// [`QueueError`] when it does not, or answers with an error (as while it loads its data).
    pub async fn ping(&self) -> Result<(), QueueError> {
        let command = redis::cmd("PING");
        let ping = self.shared.link.query::<()>("ping", &command);
        match tokio::time::timeout(PING_LIMIT, ping).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(QueueError::TimedOut),
        }
    }

    /// How much is in the stream.
    ///
    /// # Errors
    ///
    /// [`QueueError`] when Redis does not answer.
    pub async fn depth(&self, stream: &Stream) -> Result<Depth, QueueError> {
        let keys = self.keys(stream);
        let mut script = DEPTH.key(&*keys.stream);
        script.key(&*keys.dead).arg(GROUP);
        let (length, pending, dead): (u64, u64, u64) =
            self.shared.link.invoke("depth", &script).await?;
        Ok(Depth {
            length,
            pending,
            // Entries are deleted as they are acknowledged, so whatever is not pending waits.
            lag: length.saturating_sub(pending),
            dead,
        })
    }

    /// For how long the first entry of the stream has waited that no worker has taken; `None` when
    /// each was taken.
    ///
    /// # Errors
    ///
    /// [`QueueError`] when Redis does not answer.
    pub async fn waiting_for(&self, stream: &Stream) -> Result<Option<Duration>, QueueError> {
        let mut script = LINE.key(&*self.keys(stream).stream);
        script.arg(GROUP);
        let ms: Option<u64> = self.shared.link.invoke("waiting_for", &script).await?;
        Ok(ms.map(Duration::from_millis))
    }

    /// The newest entries of the stream's dead stream, newest first. It keeps about 10,000.
    ///
    /// # Errors
    ///
    /// [`QueueError`] when Redis does not answer.
    pub async fn dead_entries(
        &self,
        stream: &Stream,
        limit: usize,
    ) -> Result<Vec<DeadEntry>, QueueError> {
        let mut command = redis::cmd("XREVRANGE");
        command.arg(&*self.keys(stream).dead).arg("+").arg("-");
        command.arg("COUNT").arg(limit);
        let reply: Value = self.shared.link.query("dead_entries", &command).await?;
        Ok(dead::from_range(reply))
    }

    fn keys(&self, stream: &Stream) -> Keys {
        Keys::new(&self.shared.settings.prefix, stream)
    }
}
