//! The listening side.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use redis::{Msg, RedisError, RedisResult};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::UNVERSIONED;
use super::publisher::Change;
use crate::backoff::Backoff;
use crate::connection::Endpoint;
use crate::duty::{self, Duty};
use crate::meters;

/// How many payments one process watches at most.
const MAX_WATCHED: usize = 65_536;
/// How long the channel may be silent before the connection is asked whether it still lives.
const SILENCE: Duration = Duration::from_secs(5);
/// How long that answer may take.
const PING_LIMIT: Duration = Duration::from_secs(2);

/// One process's ear on the status channel. It comes back by itself, for ever, when Redis was away.
/// Listening ends when the last clone is gone.
#[derive(Clone)]
pub struct Subscriber {
    watched: Arc<Watched>,
    listening: Arc<Listening>,
}

struct Listening {
    connected: watch::Receiver<bool>,
    _task: AbortOnDropHandle<()>,
}

/// There are as many watchers as the process can take. The reader still has its own checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many payments are being watched")]
pub struct TooManyWatchers;

impl Subscriber {
    pub(crate) fn spawn(endpoint: Endpoint, channel: String) -> Self {
        let watched = Arc::new(Watched::default());
        let (up, connected) = watch::channel(false);
        let listener = Listener { endpoint, channel, watched: Arc::clone(&watched), up };
        let task = tokio::spawn(duty::carry_out(listener));
        Self {
            watched,
            listening: Arc::new(Listening { connected, _task: AbortOnDropHandle::new(task) }),
        }
    }

    /// Watches one payment from now on, until the [`Watch`] is dropped. Look at the ledger *after*
    /// this call, or a change in between goes unseen.
    ///
    /// # Errors
    ///
    /// [`TooManyWatchers`] when the process watches 65,536 payments already.
    pub fn watch(&self, payment: impl Into<String>) -> Result<Watch, TooManyWatchers> {
        let payment = payment.into();
        let versions = self.watched.enter(&payment)?;
        Ok(Watch { payment, versions: Some(versions), watched: Arc::clone(&self.watched) })
    }

    /// Waits until the channel is subscribed, which it is except while Redis is away.
    pub async fn connected(&self) {
        let mut connected = self.listening.connected.clone();
        // It fails only when the task is gone, and the task lives as long as `self`.
        let _ = connected.wait_for(|up| *up).await;
    }

    /// How many payments are being watched.
    pub fn watched(&self) -> usize {
        self.watched.lock().len()
    }
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber").finish_non_exhaustive()
    }
}

/// A watch over one payment.
pub struct Watch {
    payment: String,
    /// Taken out only by drop, which has to let go of it before it counts the others.
    versions: Option<watch::Receiver<u64>>,
    watched: Arc<Watched>,
}

impl Watch {
    /// Waits for the next change that was published, and returns the highest version heard of.
    /// Waits for ever if there is none: bound it. Nothing is lost if the wait is given up and
    /// taken up again.
    pub async fn changed(&mut self) -> u64 {
        if let Some(versions) = &mut self.versions
            && versions.changed().await.is_ok()
        {
            return *versions.borrow_and_update();
        }
        std::future::pending().await
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.versions = None;
        self.watched.leave(&self.payment);
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("payment", &self.payment).finish_non_exhaustive()
    }
}

/// The watched payments, each with the highest version heard of.
#[derive(Default)]
struct Watched(Mutex<HashMap<String, watch::Sender<u64>>>);

impl Watched {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, watch::Sender<u64>>> {
        // No step under the lock leaves the map half-changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, payment: &str) -> Result<watch::Receiver<u64>, TooManyWatchers> {
        let mut payments = self.lock();
        let room = payments.len() < MAX_WATCHED;
        match payments.entry(payment.to_owned()) {
            Entry::Occupied(known) => Ok(known.get().subscribe()),
            Entry::Vacant(place) if room => Ok(place.insert(watch::Sender::new(0)).subscribe()),
            Entry::Vacant(_) => Err(TooManyWatchers),
        }
    }

    fn leave(&self, payment: &str) {
        let mut payments = self.lock();
        if payments.get(payment).is_some_and(|versions| versions.receiver_count() == 0) {
            payments.remove(payment);
        }
    }

    fn heard(&self, changes: &[Change]) {
        let payments = self.lock();
        for (payment, version) in changes {
            if let Some(versions) = payments.get(payment) {
                versions.send_if_modified(|known| {
                    let newer = version > known;
                    if newer {
                        *known = *version;
                    }
                    newer || *version == UNVERSIONED
                });
            }
        }
    }
}

/// Keeps a subscription up.
struct Listener {
    endpoint: Endpoint,
    channel: String,
    watched: Arc<Watched>,
    up: watch::Sender<bool>,
}

impl Duty for Listener {
    const NAME: &'static str = "status listener";

    async fn run(&mut self) {
        let mut backoff = Backoff::default();
        loop {
            let error = match subscribe(&self.endpoint, &self.channel).await {
                Ok(pubsub) => {
                    backoff.reset();
                    self.up.send_replace(true);
                    let error = listen(pubsub, &self.watched).await;
                    self.up.send_replace(false);
                    error
                }
                Err(error) => error,
            };
            meters::redis_error("subscribe");
            if backoff.failures() == 0 {
                tracing::warn!(%error, "the status channel is away");
            }
            tokio::time::sleep(backoff.next_wait()).await;
        }
    }
}

async fn subscribe(endpoint: &Endpoint, channel: &str) -> RedisResult<redis::aio::PubSub> {
    let mut pubsub = endpoint.pubsub().await?;
    match timeout(PING_LIMIT, pubsub.subscribe(channel)).await {
        Ok(subscribed) => subscribed.map(|()| pubsub),
        Err(_) => Err(timed_out()),
    }
}

/// Listens until the connection is lost, and says how. A silent connection is asked now and then,
/// as a lost one may be silent too.
async fn listen(pubsub: redis::aio::PubSub, watched: &Watched) -> RedisError {
    let (mut sink, mut messages) = pubsub.split();
    loop {
        match timeout(SILENCE, messages.next()).await {
            Ok(Some(message)) => hear(&message, watched),
            Ok(None) => return std::io::Error::from(std::io::ErrorKind::ConnectionReset).into(),
            Err(_) => match timeout(PING_LIMIT, sink.ping::<redis::Value>()).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return error,
                Err(_) => return timed_out(),
            },
        }
    }
}

fn hear(message: &Msg, watched: &Watched) {
    match serde_json::from_slice::<Vec<Change>>(message.get_payload_bytes()) {
        Ok(changes) => watched.heard(&changes),
        // Not from us; the payload is not repeated in the log.
        Err(_) => tracing::warn!("a message on the status channel was not understood"),
    }
}

fn timed_out() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}
