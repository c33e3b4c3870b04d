//! Group commit: concurrent callers share one flush.
//!
//! While a flush is in flight the next batch gathers, so a lone caller waits for nobody and a thousand share one
//! round trip to the database. With a [`Limits::pace`], a caller that comes soon after a flush waits for company, too.

use std::fmt;
use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How many full batches may wait in the queue unless [`Limits::queue`] says otherwise.
const DEFAULT_QUEUED_BATCHES: usize = 16;

/// Why a submitted item has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CoalesceError {
    /// The coalescer takes no more items. The item was not flushed.
    #[error("the coalescer is closed")]
    Closed,
    /// The queue is full. The item was not flushed; try again later.
    #[error("the coalescer's queue is full")]
    Overloaded,
    /// The flush that carried the item panicked, returned the wrong number of results or was aborted. Whether the
    /// item took effect is unknown: look before trying again.
    #[error("the flush failed before it gave a result")]
    Panicked,
}

/// The bounds of a [`Coalescer`].
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most items in one flush.
    pub max_batch: NonZeroUsize,
    /// The most flushes under way at once; further items gather meanwhile.
    pub max_in_flight: NonZeroUsize,
    /// The most items waiting for a flush; further ones are refused with [`CoalesceError::Overloaded`].
    pub queue: NonZeroUsize,
    /// The least time between the beginnings of two flushes, unless the second is full. The first
    /// after a quiet time waits for nobody.
    pub pace: Duration,
}

impl Limits {
    /// Limits with a queue of 16 full batches and no pace. A zero counts as one.
    #[must_use]
    pub fn new(max_batch: usize, max_in_flight: usize) -> Self {
        let max_batch = at_least_one(max_batch);
        Self {
            max_batch,
            max_in_flight: at_least_one(max_in_flight),
            queue: max_batch.saturating_mul(at_least_one(DEFAULT_QUEUED_BATCHES)),
            pace: Duration::ZERO,
        }
    }
}

/// Gathers items of concurrent callers into batches. Cheap to clone; all clones feed the same batches.
pub struct Coalescer<In, Out> {
    name: &'static str,
    queue: mpsc::Sender<Pending<In, Out>>,
    closing: CancellationToken,
    drained: CancellationToken,
}

struct Pending<In, Out> {
    item: In,
    reply: oneshot::Sender<Result<Out, CoalesceError>>,
}

impl<In, Out> Coalescer<In, Out>
where
    In: Send + 'static,
    Out: Send + 'static,
{
    /// Starts a coalescer on the current tokio runtime. `flush` must give exactly one result for each item, in the
    /// items' order. `name` labels its metrics.
    ///
    /// Items accepted before the last handle is dropped are still flushed.
    #[must_use]
    pub fn spawn<F, Fut>(
        name: &'static str,
        max_batch: usize,
        max_in_flight_flushes: usize,
        flush: F,
    ) -> Self
    where
        F: Fn(Vec<In>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Vec<Out>> + Send + 'static,
    {
        Self::spawn_with(name, Limits::new(max_batch, max_in_flight_flushes), flush)
    }

    /// Like [`Coalescer::spawn`], with limits of one's own.
    #[must_use]
    pub fn spawn_with<F, Fut>(name: &'static str, limits: Limits, flush: F) -> Self
    where
        F: Fn(Vec<In>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Vec<Out>> + Send + 'static,
    {
        begin_metrics(name);
        let (sender, receiver) = mpsc::channel(limits.queue.get());
        let driver = Driver {
            name,
            limits,
            queue: receiver,
            slots: Arc::new(Semaphore::new(limits.max_in_flight.get())),
            closing: CancellationToken::new(),
            last: None,
            flush: Arc::new(flush),
        };
        let drained = CancellationToken::new();
        let closing = driver.closing.clone();
        let on_end = drained.clone().drop_guard();
        tokio::spawn(async move {
            driver.run().await;
            drop(on_end);
        });
        Self { name, queue: sender, closing, drained }
    }

    /// Joins the next batch and waits for this item's result. A caller may go away while it waits: the item is
    /// flushed all the same.
    ///
    /// # Errors
    /// At once when the queue is full or closed; later when the flush fails. See [`CoalesceError`].
    pub async fn submit(&self, item: In) -> Result<Out, CoalesceError> {
        // The driver closes the queue only when a slot is free; refusing must not wait for that.
        if self.closing.is_cancelled() {
            return Err(CoalesceError::Closed);
        }
        let (reply, result) = oneshot::channel();
        self.queue.try_send(Pending { item, reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                ::metrics::counter!("coalesce_overloaded_total", "name" => self.name).increment(1);
                CoalesceError::Overloaded
            }
            mpsc::error::TrySendError::Closed(_) => CoalesceError::Closed,
        })?;
        // A dropped reply means that the flush was torn down half way: its effect is unknown.
        result.await.unwrap_or(Err(CoalesceError::Panicked))
    }

    /// Refuses new items on every handle and waits until all accepted ones have been flushed.
    pub async fn drain(&self) {
        self.closing.cancel();
        self.drained.cancelled().await;
    }
}

impl<In, Out> Clone for Coalescer<In, Out> {
    fn clone(&self) -> Self {
        Self {
            name: self.name,
            queue: self.queue.clone(),
            closing: self.closing.clone(),
            drained: self.drained.clone(),
        }
    }
}

impl<In, Out> fmt::Debug for Coalescer<In, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coalescer").field("name", &self.name).finish_non_exhaustive()
    }
}

struct Driver<In, Out, F> {
    name: &'static str,
    limits: Limits,
    queue: mpsc::Receiver<Pending<In, Out>>,
    slots: Arc<Semaphore>,
    closing: CancellationToken,
    /// When the last flush began.
    last: Option<Instant>,
    flush: Arc<F>,
}

impl<In, Out, F, Fut> Driver<In, Out, F>
where
    In: Send + 'static,
    Out: Send + 'static,
    F: Fn(Vec<In>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Vec<Out>> + Send + 'static,
{
    async fn run(mut self) {
        // The slot comes first: the batch gathers for as long as all slots are taken.
        while let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await {
            let batch = self.next_batch().await;
            if batch.is_empty() {
                drop(slot);
                break;
            }
            self.last = Some(Instant::now());
            self.start_flush(batch, slot);
        }
        self.wait_for_flushes().await;
    }

    /// The next items, or none when the queue is closed and empty.
    async fn next_batch(&mut self) -> Vec<Pending<In, Out>> {
        let max = self.limits.max_batch.get();
        let mut batch = Vec::new();
        if !self.queue.is_closed() {
            tokio::select! {
                _ = self.queue.recv_many(&mut batch, max) => {}
                () = self.closing.cancelled() => self.queue.close(),
            }
        }
        if batch.is_empty() {
            self.queue.recv_many(&mut batch, max).await;
        }
        self.keep_pace(&mut batch).await;
        batch
    }

    /// Lets a batch that follows closely on another gather until its time has come or it is full.
    async fn keep_pace(&mut self, batch: &mut Vec<Pending<In, Out>>) {
        let Some(due) = self.last.map(|last| last + self.limits.pace) else { return };
        let max = self.limits.max_batch.get();
        while batch.len() < max && Instant::now() < due {
            let room = max.saturating_sub(batch.len());
            let count = tokio::select! {
                count = self.queue.recv_many(batch, room) => count,
                () = self.closing.cancelled() => 0,
                () = tokio::time::sleep_until(due) => 0,
            };
            if count == 0 {
                return;
            }
        }
    }

    fn start_flush(&self, batch: Vec<Pending<In, Out>>, slot: OwnedSemaphorePermit) {
        let (name, flush) = (self.name, Arc::clone(&self.flush));
        record_batch_size(name, batch.len());
        tokio::spawn(async move {
            let (items, replies): (Vec<_>, Vec<_>) =
                batch.into_iter().map(|pending| (pending.item, pending.reply)).unzip();
            // The call is inside the guarded future: a panic before its first await counts too.
            let outcome = AssertUnwindSafe(async { flush(items).await }).catch_unwind().await;
            answer(name, replies, outcome.ok());
            drop(slot);
        });
    }

    async fn wait_for_flushes(&self) {
        let all = u32::try_from(self.limits.max_in_flight.get()).unwrap_or(u32::MAX);
        // Holding every slot proves that no flush is under way. The semaphore is never closed.
        let _all_slots = self.slots.acquire_many(all).await;
    }
}

/// Gives each caller its result; callers that went away are skipped.
fn answer<Out>(
    name: &'static str,
    replies: Vec<oneshot::Sender<Result<Out, CoalesceError>>>,
    outcome: Option<Vec<Out>>,
) {
    match outcome {
        Some(results) if results.len() == replies.len() => {
            for (reply, result) in replies.into_iter().zip(results) {
                let _gone = reply.send(Ok(result));
            }
        }
        other => {
            let results = other.as_ref().map(Vec::len);
            tracing::error!(coalescer = name, items = replies.len(), ?results, "a flush failed");
            for reply in replies {
                let _gone = reply.send(Err(CoalesceError::Panicked));
            }
        }
    }
}

/// Shows the series before anything has happened.
fn begin_metrics(name: &'static str) {
    ::metrics::counter!("coalesce_overloaded_total", "name" => name).increment(0);
    drop(::metrics::histogram!("coalesce_batch_size", "name" => name));
}

fn record_batch_size(name: &'static str, size: usize) {
    let size = u32::try_from(size).unwrap_or(u32::MAX);
    ::metrics::histogram!("coalesce_batch_size", "name" => name).record(f64::from(size));
}

fn at_least_one(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN)
}
