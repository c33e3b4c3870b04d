//! Our streams as apalis sees them.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use apalis_core::backend::finalize::Ephemeral;
use apalis_core::backend::{Backend, BackendConfig};
use apalis_core::task::Task;
use apalis_core::task::builder::TaskBuilder;
use apalis_core::task::task_id::TaskId;
use apalis_core::worker::context::WorkerContext;

use super::delivery::Delivery;
use super::inbox::Inbox;
use super::receipt_layer::ReceiptLayer;
use crate::meters::JobMeters;

/// The apalis end of a consumer. It has no errors: those of Redis stay with the tasks that talk to
/// it, as an error here would end the worker.
#[derive(Debug)]
pub(super) struct StreamBackend {
    pub(super) inbox: Arc<Inbox>,
    pub(super) meters: JobMeters,
}

impl Backend for StreamBackend {
    type Task = Task<Delivery>;
    type Error = Infallible;

    fn poll_ready(
        &mut self,
        _: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, Infallible>>> {
        self.inbox.poll_take(context).map(|delivery| {
            delivery.map(|delivery| {
                let id = TaskId::from_string(delivery.job().id.clone());
                Ok(TaskBuilder::new(delivery).task_id(id).build())
            })
        })
    }

    /// Nothing to flush: the consumer outlives the worker and ends its own tasks.
    fn poll_close(
        &mut self,
        _: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
}

impl BackendConfig for StreamBackend {
    type Args = Delivery;
    type Id = TaskId;
    /// Handed over decoded, so that an entry that cannot be decoded never reaches apalis.
    type Kind = Ephemeral;
    type Config = ();
    type Layer = ReceiptLayer;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> ReceiptLayer {
        ReceiptLayer::new(self.meters.clone())
    }
}
