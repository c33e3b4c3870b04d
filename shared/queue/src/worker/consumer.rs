//! One consumer of the group: its name, its tasks, and how it comes and goes.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::Place;
use super::backend::StreamBackend;
use super::clerk::{BACKLOG, Clerk};
use super::held::Held;
use super::inbox::Inbox;
use super::lease::LeaseKeeper;
use super::reader::{LONGEST_BLOCK, Reader, hand_back};
use crate::connection::Link;
use crate::duty::{self, Duty};
use crate::error::WorkError;
use crate::meters::JobMeters;
use crate::scripts::LEAVE;
use crate::stream::{GROUP, Keys};

/// How long the last acknowledgements may take when everything else has ended.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);
/// How long to wait for the reader between two attempts to wake it.
const WAKE_INTERVAL: Duration = Duration::from_millis(50);
/// How often to try; then the reader is stopped where it is.
const WAKES: usize = 100;
/// How many entries that never arrived are handed back at once.
const LEAVE_BATCH: usize = 1_000;

/// The running parts of a worker that are not apalis'. Its tasks end with it.
pub(super) struct Consumer {
    name: String,
    keys: Keys,
    link: Link,
    held: Held,
    inbox: Arc<Inbox>,
    meters: JobMeters,
    stop: CancellationToken,
    connection_id: Option<Arc<AtomicU64>>,
    /// Until it has been stopped.
    reader: Option<AbortOnDropHandle<()>>,
    clerk: AbortOnDropHandle<()>,
    _lease_keeper: AbortOnDropHandle<()>,
}

impl Consumer {
    /// Starts reading, under a name that was never used before: a name that is used again would
    /// inherit what its last bearer left pending.
    pub(super) fn start(place: Place, concurrency: NonZeroUsize) -> Self {
        let Place { stream, keys, endpoint, settings } = place;
        let name = format!("{}-{}", std::process::id(), Uuid::now_v7());
        let link = endpoint.link(Duration::ZERO);
        let held = Held::default();
        let inbox = Arc::new(Inbox::default());
        let meters = JobMeters::new(&stream);
        let stop = CancellationToken::new();
        let connection_id = Arc::new(AtomicU64::new(0));
        let (sender, endings) = mpsc::channel(BACKLOG);
        let reader = Reader {
            keys: keys.clone(),
            link: endpoint.link(LONGEST_BLOCK),
            consumer: name.clone(),
            lease: settings.lease,
            delivery_limit: settings.delivery_limit,
            slots: Arc::new(Semaphore::new(concurrency.get())),
            inbox: Arc::clone(&inbox),
            held: held.clone(),
            endings: sender,
            meters: meters.clone(),
            stop: stop.clone(),
            connection_id: Arc::clone(&connection_id),
        };
        let clerk = Clerk {
            keys: keys.clone(),
            link: link.clone(),
            held: held.clone(),
            endings,
            batch: Vec::new(),
        };
        let lease_keeper = LeaseKeeper {
            keys: keys.clone(),
            link: link.clone(),
            held: held.clone(),
            consumer: name.clone(),
            lease: settings.lease,
            consumer_expiry: settings.consumer_expiry,
        };
        Self {
            // On a cluster the id says nothing without its server; there a stop takes as long as
            // the read waits.
            connection_id: (!endpoint.is_cluster()).then_some(connection_id),
            reader: Some(spawn(reader)),
            clerk: spawn(clerk),
            _lease_keeper: spawn(lease_keeper),
            name,
            keys,
            link,
            held,
            inbox,
            meters,
            stop,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The end that an apalis worker takes deliveries from.
    pub(super) fn backend(&self) -> StreamBackend {
        StreamBackend { inbox: Arc::clone(&self.inbox), meters: self.meters.clone() }
    }

    /// Reads nothing more and hands back what was not started. A read that waits is woken rather
    /// than dropped: dropping it could lose the reply, and the entries in it would wait for the
    /// lease.
    pub(super) async fn stop_reading(&mut self) {
        let Some(mut reader) = self.reader.take() else {
            return;
        };
        self.stop.cancel();
        // While Redis is away the clerk may have no room; then they come back after the lease.
        let _ = timeout(FLUSH_LIMIT, hand_back(self.inbox.close())).await;
        for _ in 0..WAKES {
            self.wake_reader().await;
            if timeout(WAKE_INTERVAL, &mut reader).await.is_ok() {
                return;
            }
        }
    }

    /// Flushes what the clerk still has to write, and leaves the group.
    ///
    /// The apalis worker, which may hold tickets, has ended before.
    pub(super) async fn finish(mut self) -> Result<(), WorkError> {
        self.stop_reading().await;
        let flushed = timeout(FLUSH_LIMIT, &mut self.clerk).await.is_ok();
        match self.held.pending() {
            0 if flushed => {
                self.leave().await;
                Ok(())
            }
            entries => Err(WorkError::Unfinished { entries }),
        }
    }

    async fn wake_reader(&self) {
        let Some(id) = &self.connection_id else {
            return;
        };
        let mut command = redis::cmd("CLIENT");
        command.arg("UNBLOCK").arg(id.load(Ordering::Acquire));
        // Without it the read just waits to its end.
        let waking = self.link.query::<redis::Value>("unblock", &command);
        let _ = timeout(WAKE_INTERVAL, waking).await;
    }

    async fn leave(&self) {
        let mut script = LEAVE.key(&*self.keys.stream);
        script.arg(GROUP).arg(&self.name).arg(LEAVE_BATCH);
        let leaving = self.link.invoke::<u64>("leave", &script);
        if !matches!(timeout(FLUSH_LIMIT, leaving).await, Ok(Ok(1))) {
            // Whatever is pending comes back after the lease; the name is swept away later.
            tracing::info!(consumer = self.name, "the consumer's name stays for now");
        }
    }
}

fn spawn(duty: impl Duty) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(duty::carry_out(duty)))
}
