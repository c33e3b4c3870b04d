//! One job on its way through the worker, and the obligation to report how it ended.

use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::held::Held;
use crate::entry::EntryId;
use crate::job::Job;

/// What is known of an entry besides its job.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) id: EntryId,
    pub(super) deliveries: u32,
    pub(super) body: Vec<u8>,
}

/// How an entry ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// Handled, successfully or not: to be acknowledged and deleted.
    Finished(EntryId),
    /// Never started: to go back to the stream.
    Unstarted(EntryId),
    /// Hopeless: to go to the dead stream.
    Dead { origin: Origin, reason: String },
}

impl Ending {
    pub(super) fn id(&self) -> EntryId {
        match self {
            Self::Finished(id) | Self::Unstarted(id) => *id,
            Self::Dead { origin, .. } => origin.id,
        }
    }
}

/// A job and its ticket.
#[derive(Debug)]
pub(super) struct Delivery {
    job: Job,
    /// Torn off by the receipt layer before the handler runs.
    ticket: Option<Ticket>,
}

impl Delivery {
    pub(super) fn new(job: Job, ticket: Ticket) -> Self {
        Self { job, ticket: Some(ticket) }
    }

    pub(super) fn job(&self) -> &Job {
        &self.job
    }

    pub(super) fn tear_off_ticket(&mut self) -> Option<Ticket> {
        self.ticket.take()
    }

    pub(super) fn into_job(self) -> Job {
        self.job
    }
}

/// The slot a job occupies and the duty to say how it ended. Dropped without saying, the entry is
/// abandoned: nobody renews it any more and it is delivered again after the lease.
#[derive(Debug)]
pub(super) struct Ticket {
    origin: Option<Origin>,
    held: Held,
    endings: mpsc::Sender<Ending>,
    _slot: OwnedSemaphorePermit,
}

impl Ticket {
    pub(super) fn new(
        origin: Origin,
        held: Held,
        endings: mpsc::Sender<Ending>,
        slot: OwnedSemaphorePermit,
    ) -> Self {
        Self { origin: Some(origin), held, endings, _slot: slot }
    }

    /// The handler ran to its end.
    pub(super) async fn finished(self) {
        self.end(|origin| Ending::Finished(origin.id)).await;
    }

    /// The handler never ran.
    pub(super) async fn unstarted(self) {
        self.end(|origin| Ending::Unstarted(origin.id)).await;
    }

    /// The handler will never succeed.
    pub(super) async fn dead(self, reason: String) {
        self.end(|origin| Ending::Dead { origin, reason }).await;
    }

    /// Waits while the clerk has more endings to write down than it may keep.
    async fn end(mut self, ending: impl FnOnce(Origin) -> Ending) {
        if let Ok(place) = self.endings.reserve().await
            && let Some(origin) = self.origin.take()
        {
            place.send(ending(origin));
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(origin) = &self.origin {
            self.held.abandon(origin.id);
        }
    }
}
