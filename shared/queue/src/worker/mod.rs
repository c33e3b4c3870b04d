//! One worker: an apalis worker over our backend, and the tasks that feed it.
//!
//! ```text
//!  reader ──▶ inbox ──▶ apalis worker ──▶ handler
//!    │ read, reclaim        (backend, receipt layer)
//!    ▼                             │ receipts
//!  Redis ◀── clerk ◀───────────────┘
//!    ▲ ack, hand back, bury
//!    └────── lease keeper: renews what is held
//! ```

mod backend;
mod clerk;
mod consumer;
mod delivery;
mod held;
mod inbox;
mod lease;
mod reader;
mod receipt_layer;

use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use apalis::layers::catch_panic::CatchPanicLayer;
use apalis_core::error::WorkerError;
use apalis_core::worker::builder::WorkerBuilder;
use apalis_core::worker::context::WorkerContext;
use apalis_core::worker::event::Event;
use apalis_core::worker::ext::parallelize::ParallelizeExt;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use crate::config::QueueConfig;
use crate::connection::Endpoint;
use crate::error::{HandlerError, WorkError};
use crate::job::Job;
use crate::stream::{Keys, Stream};

use backend::StreamBackend;
use consumer::Consumer;
use delivery::Delivery;
use receipt_layer::Failure;

/// How long to wait before an apalis worker that ended by itself is started again.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// Where a worker works.
pub(crate) struct Place {
    pub(crate) stream: Stream,
    pub(crate) keys: Keys,
    pub(crate) endpoint: Endpoint,
    pub(crate) settings: Arc<QueueConfig>,
}

/// See [`crate::Queue::work`].
pub(crate) async fn work<H, F>(
    place: Place,
    concurrency: NonZeroUsize,
    handler: H,
    shutdown: CancellationToken,
) -> Result<(), WorkError>
where
    H: Fn(Job) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<(), HandlerError>> + Send + 'static,
{
    let limits = Limits::of(&place);
    let mut consumer = Consumer::start(place, concurrency);
    while !shutdown.is_cancelled() {
        let context = WorkerContext::new(consumer.name());
        let worker = apalis_worker(&context, consumer.backend(), handler.clone(), limits.clone());
        // Should apalis itself panic, its worker is started again like after any other end.
        let mut worker = pin!(AssertUnwindSafe(run(worker)).catch_unwind());
        tokio::select! {
            _ = &mut worker => {
                tracing::error!(stream = %limits.stream, "the worker ended by itself; starting it again");
                let _ = tokio::time::timeout(RESTART_DELAY, shutdown.cancelled()).await;
            }
            () = shutdown.cancelled() => {
                // It fails only for a worker that has not started, which is dropped just below.
                let _ = context.stop();
                let drained = tokio::time::timeout(limits.drain, &mut worker);
                let (_, ()) = tokio::join!(drained, consumer.stop_reading());
            }
        }
    }
    consumer.finish().await
}

/// The limits on handlers, and the stream they work for.
#[derive(Clone)]
struct Limits {
    stream: Arc<str>,
    handler: Duration,
    drain: Duration,
}

impl Limits {
    fn of(place: &Place) -> Self {
        Self {
            stream: place.stream.to_string().into(),
            handler: place.settings.handler_deadline,
            drain: place.settings.drain_deadline,
        }
    }
}

/// One apalis worker, as the stream of its events; polling the stream runs it.
///
/// Boxed here, where all types are known: the compiler cannot prove that an async block holding
/// apalis' layered types may move between threads.
fn apalis_worker<H, F>(
    context: &WorkerContext,
    backend: StreamBackend,
    handler: H,
    limits: Limits,
) -> BoxStream<'static, Result<Event, WorkerError>>
where
    H: Fn(Job) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<(), HandlerError>> + Send + 'static,
{
    WorkerBuilder::new(context)
        .backend(backend)
        // Aborted when the worker is dropped at the drain deadline, as nothing renews them then.
        .parallelize(|run| AbortOnDropHandle::new(tokio::spawn(run)))
        .layer(CatchPanicLayer::with_panic_handler(Failure::panicked))
        .build(move |delivery: Delivery| {
            handle(handler.clone(), delivery.into_job(), limits.clone())
        })
        .stream()
        .boxed()
}

/// Runs the worker to its end. The events are of no interest: the receipt layer has seen them.
async fn run(mut worker: BoxStream<'static, Result<Event, WorkerError>>) {
    while let Some(event) = worker.next().await {
        if let Err(error) = event {
            tracing::error!(%error, "the worker failed");
            return;
        }
    }
}

/// Runs the handler for one job, within its deadline and a span of its own.
async fn handle<H, F>(handler: H, job: Job, limits: Limits) -> Result<(), Failure>
where
    H: Fn(Job) -> F,
    F: Future<Output = Result<(), HandlerError>>,
{
    let span = tracing::info_span!(
        "job",
        stream = %limits.stream,
        job = %job.id,
        traceparent = job.traceparent.as_deref(),
    );
    async {
        match tokio::time::timeout(limits.handler, handler(job)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the handler failed");
                Err(Failure::Failed)
            }
            Err(_) => {
                tracing::warn!(limit = ?limits.handler, "the handler took too long and was stopped");
                Err(Failure::Failed)
            }
        }
    }
    .instrument(span)
    .await
}
