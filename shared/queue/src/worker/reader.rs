//! The reader: takes from Redis as many entries as there are free slots, and not one more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::{RedisResult, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::delivery::{Delivery, Ending, Origin, Ticket};
use super::held::Held;
use super::inbox::Inbox;
use super::lease::{RENEWALS, millis};
use crate::backoff::Backoff;
use crate::connection::Link;
use crate::duty::Duty;
use crate::entry::{self, RawEntry};
use crate::job::{self, InvalidJob, Job};
use crate::meters::{JobMeters, Outcome};
use crate::scripts::{DEAD_LIMIT, JOIN, RECLAIM};
use crate::stream::{GROUP, Keys};

/// How many entries one read takes at most.
const BATCH: usize = 512;
/// How many entries one reclaim takes at most; it runs inside Redis in one piece.
const RECLAIM_BATCH: usize = 100;
/// How many calls one look through the pending entries may take.
const RECLAIM_CALLS: usize = 20;
/// How long others may take to be back after an outage. It is twice the longest wait between two
/// attempts.
const OUTAGE_GRACE: Duration = Duration::from_secs(2);
/// The longest wait for new entries, and so the longest time between two reclaims with free slots.
pub(super) const LONGEST_BLOCK: Duration = Duration::from_secs(1);

/// Reads until it is told to stop.
pub(super) struct Reader {
    pub(super) keys: Keys,
    /// Used by nobody else, as a blocking read holds everything behind it up.
    pub(super) link: Link,
    pub(super) consumer: String,
    pub(super) lease: Duration,
    pub(super) delivery_limit: u32,
    pub(super) slots: Arc<Semaphore>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) held: Held,
    pub(super) endings: mpsc::Sender<Ending>,
    pub(super) meters: JobMeters,
    pub(super) stop: CancellationToken,
    /// The connection that may be waiting in a read, so that it can be woken; 0 when unknown.
    pub(super) connection_id: Arc<AtomicU64>,
}

/// What the reader knows of its connection.
enum Standing {
    /// Nothing: the group may be missing and leases may only look as if they had run out.
    Outside,
    /// The group exists, and reclaiming is due at this time.
    Joined { reclaim_at: Instant },
}

impl Duty for Reader {
    const NAME: &'static str = "reader";

    async fn run(&mut self) {
        let mut backoff = Backoff::default();
        let mut standing = Standing::Outside;
        while !self.stop.is_cancelled() {
            match self.turn(&mut standing).await {
                Ok(()) => {
                    if backoff.reset() {
                        tracing::info!(stream = &*self.keys.stream, "reading again");
                    }
                }
                Err(error) => {
                    standing = Standing::Outside;
                    if backoff.failures() == 0 {
                        tracing::warn!(%error, stream = &*self.keys.stream, "reading failed");
                    }
                    let wait = backoff.next_wait();
                    let _ = tokio::time::timeout(wait, self.stop.cancelled()).await;
                }
            }
        }
    }
}
impl Reader {
    /// Waits for a free slot, then fills the free slots: with entries of dead consumers first, if
    /// it is time to look for them, then with new ones.
    async fn turn(&self, standing: &mut Standing) -> RedisResult<()> {
        let reclaim_at = match standing {
            Standing::Joined { reclaim_at } => reclaim_at,
            Standing::Outside => {
                self.join().await?;
                // After an outage every lease looks as if it had run out. Those who live get the
                // time to renew theirs before anything is taken from them.
                let reclaim_at = Instant::now() + OUTAGE_GRACE.max(self.lease / RENEWALS);
                *standing = Standing::Joined { reclaim_at };
                return Ok(());
            }
        };
        let Some(mut room) = self.room().await else {
            return Ok(());
        };
        if Instant::now() >= *reclaim_at {
            self.reclaim(&mut room).await?;
            *reclaim_at = Instant::now() + self.block();
        }
        if room.num_permits() > 0 {
            self.read(&mut room).await?;
        }
        Ok(())
    }

    /// Makes sure of the group, and learns the connection's id.
    async fn join(&self) -> RedisResult<()> {
        let mut script = JOIN.key(&*self.keys.stream);
        script.arg(GROUP);
        self.link.invoke::<()>("join", &script).await?;
        let mut command = redis::cmd("CLIENT");
        command.arg("ID");
        // Not every user may ask; then a stop takes as long as the read waits.
        let id = self.link.query("client_id", &command).await.unwrap_or(0);
        self.connection_id.store(id, Ordering::Release);
        Ok(())
    }

    /// All free slots, at least one; nothing when it is time to stop.
    async fn room(&self) -> Option<OwnedSemaphorePermit> {
        let slots = Arc::clone(&self.slots);
        let mut room = tokio::select! {
            biased;
            () = self.stop.cancelled() => return None,
            slot = slots.acquire_owned() => slot.ok()?,
        };
        let more = self.slots.available_permits().min(BATCH - 1);
        if let Ok(more) = u32::try_from(more)
            && let Ok(more) = Arc::clone(&self.slots).try_acquire_many_owned(more)
        {
            room.merge(more);
        }
        Some(room)
    }

    /// Reads new entries, waiting for the first one for a while.
    async fn read(&self, room: &mut OwnedSemaphorePermit) -> RedisResult<()> {
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(GROUP).arg(&self.consumer);
        command.arg("COUNT").arg(room.num_permits());
        command.arg("BLOCK").arg(millis(self.block()));
        command.arg("STREAMS").arg(&*self.keys.stream).arg(">");
        let reply: Value = self.link.query("read", &command).await?;
        self.take_in(entry::from_read(reply), room).await;
        Ok(())
    }

    /// Takes over entries whose lease has run out, until all have been looked at or the room is
    /// full.
    async fn reclaim(&self, room: &mut OwnedSemaphorePermit) -> RedisResult<()> {
        let mut cursor = "0-0".to_owned();
        for _ in 0..RECLAIM_CALLS {
            let count = room.num_permits().min(RECLAIM_BATCH);
            if count == 0 {
                break;
            }
            let mut script = RECLAIM.key(&*self.keys.stream);
            script.key(&*self.keys.dead).arg(GROUP).arg(&self.consumer);
            script.arg(millis(self.lease)).arg(cursor).arg(count);
            script.arg(self.delivery_limit).arg(DEAD_LIMIT);
            let reply = self.link.invoke("reclaim", &script).await?;
            let reclaimed = entry::from_reclaim(reply);
            for entry in reclaimed.buried {
                tracing::error!(%entry, stream = &*self.keys.stream, "delivered too often");
                self.meters.ended(Outcome::Dead);
            }
            self.take_in(reclaimed.entries, room).await;
            cursor = reclaimed.cursor;
            if cursor == "0-0" {
                break;
            }
        }
        Ok(())
    }

    /// Puts entries into the inbox, each with one of the slots.
    async fn take_in(&self, entries: Vec<RawEntry>, room: &mut OwnedSemaphorePermit) {
        let mut deliveries = Vec::with_capacity(entries.len());
        for entry in entries {
            // Our own, reclaimed while it runs: taking it over has renewed it, which is enough.
            if !self.held.take(entry.id) {
                continue;
            }
            let decoded = match &entry.body {
                Some(body) => Job::decode(body),
                None => Err(InvalidJob::Missing),
            };
            // Only what is not a job is longer, and of that the beginning is enough.
            let mut body = entry.body.unwrap_or_default();
            body.truncate(job::MAX_BYTES);
            let origin = Origin { id: entry.id, deliveries: entry.deliveries, body };
            // There is one for every entry, as no more were asked for.
            let Some(slot) = room.split(1) else {
                self.held.abandon(origin.id);
                continue;
            };
            let ticket = Ticket::new(origin, self.held.clone(), self.endings.clone(), slot);
            match decoded {
                Ok(job) => deliveries.push(Delivery::new(job, ticket)),
                Err(reason) => {
                    tracing::error!(entry = %entry.id, stream = &*self.keys.stream, "not a job");
                    self.meters.ended(Outcome::Undecodable);
                    ticket.dead(reason.to_string()).await;
                }
            }
        }
        if let Err(deliveries) = self.inbox.put(deliveries) {
            hand_back(deliveries).await;
        }
    }

    fn block(&self) -> Duration {
        LONGEST_BLOCK.min(self.lease / 4)
    }
}

/// Returns to the stream what was not started.
pub(super) async fn hand_back(deliveries: Vec<Delivery>) {
    for mut delivery in deliveries {
        if let Some(ticket) = delivery.tear_off_ticket() {
            ticket.unstarted().await;
        }
    }
}
