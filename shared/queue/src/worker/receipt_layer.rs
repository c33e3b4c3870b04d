//! The tower layer that writes the receipt when a handler has ended.

use std::any::Any;
use std::task::{Context, Poll};

use apalis_core::error::BoxDynError;
use apalis_core::task::Task;
use futures::future::BoxFuture;
use tokio::time::Instant;
use tower::{Layer, Service};

use super::delivery::Delivery;
use crate::meters::{JobMeters, Outcome};

/// The longest panic message that is kept.
const LONGEST_PANIC: usize = 1_000;

/// Why a job did not end well, as it travels through apalis' layers.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The handler said so, or took too long; it has been logged.
    #[error("the handler failed")]
    Failed,
    /// The handler panicked.
    #[error("the handler panicked: {0}")]
    Panicked(String),
}

impl Failure {
    /// From what a panic carried.
    pub(super) fn panicked(payload: &Box<dyn Any + Send>) -> Self {
        let text = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        Self::Panicked(text.chars().take(LONGEST_PANIC).collect())
    }
}

/// Wraps every handler run.
#[derive(Debug, Clone)]
pub(super) struct ReceiptLayer {
    meters: JobMeters,
}

impl ReceiptLayer {
    pub(super) fn new(meters: JobMeters) -> Self {
        Self { meters }
    }
}

impl<S> Layer<S> for ReceiptLayer {
    type Service = ReceiptService<S>;

    fn layer(&self, inner: S) -> ReceiptService<S> {
        ReceiptService { inner, meters: self.meters.clone() }
    }
}

/// See [`ReceiptLayer`].
#[derive(Debug, Clone)]
pub(super) struct ReceiptService<S> {
    inner: S,
    meters: JobMeters,
}

impl<S> Service<Task<Delivery>> for ReceiptService<S>
where
    S: Service<Task<Delivery>, Response = (), Error = BoxDynError>,
    S::Future: Send + 'static,
{
    type Response = ();
    type Error = BoxDynError;
    type Future = BoxFuture<'static, Result<(), BoxDynError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxDynError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut task: Task<Delivery>) -> Self::Future {
        let ticket = task.args.tear_off_ticket();
        let meters = self.meters.clone();
        let started = Instant::now();
        let run = self.inner.call(task);
        Box::pin(async move {
            let result = run.await;
            meters.ran(started.elapsed());
            let Some(ticket) = ticket else {
                return result;
            };
            match result.as_ref().map_err(|error| error.downcast_ref()) {
                Ok(()) => {
                    meters.ended(Outcome::Done);
                    ticket.finished().await;
                }
                Err(Some(Failure::Panicked(message))) => {
                    tracing::error!(panic = message, "a handler panicked");
                    meters.ended(Outcome::Panic);
                    ticket.dead(format!("the handler panicked: {message}")).await;
                }
                // Whatever else a layer may return is a failed run like the handler's own.
                Err(Some(Failure::Failed) | None) => {
                    meters.ended(Outcome::Error);
                    ticket.finished().await;
                }
            }
            result
        })
    }
}
