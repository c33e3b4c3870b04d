//! Ringing for what is due.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use domain::{ChainId, DeliveryId};
use queue::{Job, Stream};
use store::{Due, DueDeliveries, Lines};
use tokio_util::sync::CancellationToken;

use crate::Reconciler;
use crate::measure::RINGS;
use crate::rung::Rung;

/// How many full batches of payments one round takes at most before deliveries have their turn.
const MOST_BATCHES: u32 = 64;

/// How many deliveries of one endpoint one look finds at most.
const ENDPOINT_SHARE: i64 = 32;

/// A payment may stand in its line for as long as the first there does, and up to this: it is rung for
/// when it has been due for longer.
const LONGEST_LINE: Duration = Duration::from_secs(30);

/// With so many bells unanswered, ringing more for deliveries tells nobody anything.
const MOST_UNANSWERED: u64 = 10_000;

/// Looks for what is due in every interval, until `shutdown`.
pub(crate) async fn run(
    reconciler: Reconciler,
    chains: &[ChainId],
    (interval, batch): (Duration, i64),
    shutdown: &CancellationToken,
) {
    let chains = chains.to_vec();
    let mut waker = Waker { reconciler, chains, batch, rung: Rung::default() };
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        // What failed was noted, and is due in the next round as well.
        let _ = waker.round(shutdown).await;
    }
}

struct Waker {
    reconciler: Reconciler,
    /// The networks that payments stand in line for.
    chains: Vec<ChainId>,
    batch: i64,
    rung: Rung,
}

impl Waker {
    /// One look at everything; `None` when something was away and it ended early.
    async fn round(&mut self, shutdown: &CancellationToken) -> Option<()> {
        // Taking a payment puts it off, so nothing is taken while nobody would hear the bell.
        let Reconciler { queue, redis, .. } = &self.reconciler;
        let unanswered = redis.note(queue.depth(&Stream::Notify).await)?.lag;
        self.wake_payments(shutdown).await?;
        if unanswered < MOST_UNANSWERED {
            self.wake_deliveries(shutdown).await?;
        }
        Some(())
    }

    async fn wake_payments(&self, shutdown: &CancellationToken) -> Option<()> {
        let Reconciler { store, ledger, .. } = &self.reconciler;
        let lines = self.lines().await?;
        for _ in 0..MOST_BATCHES {
            let now = self.reconciler.now();
            let due = ledger.note(store.take_due(self.batch, &lines, now).await)?;
            for (stream, jobs) in by_stream(&due) {
                self.ring(&stream, &jobs).await?;
            }
            if is_short(due.len(), self.batch) || shutdown.is_cancelled() {
                break;
            }
        }
        Some(())
    }

    /// For how long payments wait whose bells nobody has answered yet. To ring for them once more
    /// would cost as much as a step of theirs, and put everybody behind them further back.
    async fn lines(&self) -> Option<Lines> {
        let mut settlement = HashMap::new();
        for chain in &self.chains {
            settlement.insert(*chain, self.line(&Stream::settle(*chain)).await?);
        }
        Some(Lines { risk: self.line(&Stream::Risk).await?, settlement })
    }

    async fn line(&self, stream: &Stream) -> Option<Duration> {
        let Reconciler { queue, redis, .. } = &self.reconciler;
        let waiting = redis.note(queue.waiting_for(stream).await)?;
        Some(waiting.unwrap_or_default().min(LONGEST_LINE))
    }

    /// Ends by itself: what was rung for is not found again, and only so many are remembered.
    async fn wake_deliveries(&mut self, shutdown: &CancellationToken) -> Option<()> {
        self.rung.forget_old(Instant::now());
        while self.rung.room() > 0 && !shutdown.is_cancelled() {
            let due = self.due_deliveries().await?;
            let jobs: Vec<Job> = due.iter().map(|id| Job::new(id.to_string())).collect();
            self.ring(&Stream::Notify, &jobs).await?;
            self.rung.remember(&due, Instant::now());
            if is_short(due.len(), self.batch.min(ENDPOINT_SHARE)) {
                break;
            }
        }
        Some(())
    }

    async fn due_deliveries(&self) -> Option<Vec<DeliveryId>> {
        let Reconciler { store, ledger, .. } = &self.reconciler;
        let room = i64::try_from(self.rung.room()).unwrap_or(i64::MAX);
        let wanted = DueDeliveries {
            limit: self.batch.min(room),
            share: ENDPOINT_SHARE,
            except: &self.rung.deliveries(),
        };
        ledger.note(store.due_deliveries(wanted, self.reconciler.now()).await)
    }

    async fn ring(&self, stream: &Stream, jobs: &[Job]) -> Option<()> {
        if jobs.is_empty() {
            return Some(());
        }
        let Reconciler { queue, redis, .. } = &self.reconciler;
        redis.note(queue.push(stream, jobs).await)?;
        let count = u64::try_from(jobs.len()).unwrap_or(u64::MAX);
        metrics::counter!(RINGS, "stream" => stream.to_string()).increment(count);
        Some(())
    }
}

fn by_stream(due: &[Due]) -> HashMap<Stream, Vec<Job>> {
    let mut streams: HashMap<Stream, Vec<Job>> = HashMap::new();
    for due in due {
        // A payment that is over is never due.
        if let Some(stream) = Stream::for_payment(due.state, due.chain) {
            streams.entry(stream).or_default().push(Job::new(due.payment.to_string()));
        }
    }
    streams
}

/// Whether fewer were found than were asked for: there are no more.
fn is_short(found: usize, asked: i64) -> bool {
    i64::try_from(found).is_ok_and(|found| found < asked)
}
