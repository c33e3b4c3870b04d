//! Messages that nobody waits for: buffered, sent in batches by one task, dropped when there are
//! too many.

use std::time::Duration;

use redis::RedisResult;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::duty::{self, Duty};

/// How many messages wait at most. At the design rate that is several seconds of an outage.
const CAPACITY: usize = 65_536;
/// How many go into one round trip.
const BATCH: usize = 1_000;
/// How long one batch is tried, so that a short outage loses nothing.
const PATIENCE: Duration = Duration::from_secs(5);

/// Brings batches to Redis, and hears of those that were not brought.
pub(crate) trait Courier: Send + Sync + 'static {
    type Message: Send + Sync + 'static;

    /// Sends all of them. On an error those that were sent are no longer in the batch, and it is
    /// called again with the others.
    fn deliver(
        &self,
        batch: &mut Vec<Self::Message>,
    ) -> impl Future<Output = RedisResult<()>> + Send;

    /// These could not be sent in time.
    fn give_up(&self, batch: &[Self::Message], error: &redis::RedisError);
}

enum Parcel<M> {
    Message(M),
    /// Answered when everything before it has been sent or given up.
    Flush(oneshot::Sender<()>),
}

/// The near end of the buffer. The sending task ends when the last clone is gone.
pub(crate) struct Outbox<M> {
    sender: mpsc::Sender<Parcel<M>>,
}

impl<M> Clone for Outbox<M> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone() }
    }
}

impl<M: Send + Sync + 'static> Outbox<M> {
    /// Starts the sending task on the current runtime.
    pub(crate) fn open(courier: impl Courier<Message = M>) -> Self {
        let (sender, parcels) = mpsc::channel(CAPACITY);
        tokio::spawn(duty::carry_out(Sender { parcels, courier }));
        Self { sender }
    }

    /// Buffers the message if there is room. Never waits.
    pub(crate) fn offer(&self, message: M) -> bool {
        self.sender.try_send(Parcel::Message(message)).is_ok()
    }

    /// Waits until everything offered so far was sent or given up, for this long at most.
    pub(crate) async fn flush(&self, limit: Duration) -> bool {
        let flushed = async {
            let (done, flushed) = oneshot::channel();
            // Both fail only when the task is gone, and then nothing is buffered any more.
            let _ = self.sender.send(Parcel::Flush(done)).await;
            let _ = flushed.await;
        };
        tokio::time::timeout(limit, flushed).await.is_ok()
    }
}

/// Sends what was buffered until nobody can buffer any more.
struct Sender<C: Courier> {
    parcels: mpsc::Receiver<Parcel<C::Message>>,
    courier: C,
}

impl<C: Courier> Duty for Sender<C> {
    const NAME: &'static str = "outbox";

    async fn run(&mut self) {
        let mut received = Vec::with_capacity(BATCH);
        while self.parcels.recv_many(&mut received, BATCH).await > 0 {
            let mut batch = Vec::with_capacity(received.len());
            let mut flushes = Vec::new();
            for parcel in received.drain(..) {
                match parcel {
                    Parcel::Message(message) => batch.push(message),
                    Parcel::Flush(done) => flushes.push(done),
                }
            }
            if !batch.is_empty() {
                self.send_patiently(batch).await;
            }
            for done in flushes {
                // Whoever asked may have stopped waiting.
                let _ = done.send(());
            }
        }
    }
}

impl<C: Courier> Sender<C> {
    async fn send_patiently(&self, mut batch: Vec<C::Message>) {
        let deadline = Instant::now() + PATIENCE;
        let mut backoff = Backoff::default();
        loop {
            let Err(error) = self.courier.deliver(&mut batch).await else {
                return;
            };
            let wait = backoff.next_wait();
            if Instant::now() + wait > deadline {
                self.courier.give_up(&batch, &error);
                return;
            }
            tokio::time::sleep(wait).await;
        }
    }
}
