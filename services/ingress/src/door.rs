//! The door: no more submissions come in than can be dealt with soon.
//!
//! What cannot be taken now is told so at once, before its body is read. To wait would help nobody:
//! authorizations run out, and a line without an end takes the process with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use metrics::gauge;
use queue::{Queue, QueueError, Stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// How often the backlog is looked at. In between, as much comes in as the ledger takes.
const LOOK: Duration = Duration::from_millis(500);

/// The submissions being worked on.
const IN_FLIGHT: &str = "submissions_in_flight";

/// The payments that wait for a worker.
const BACKLOG: &str = "pipeline_backlog";

/// Shows the door's metrics before anybody has come.
pub(crate) fn begin_metrics() {
    gauge!(IN_FLIGHT).set(0);
    gauge!(BACKLOG).set(0);
}

/// Who may come in. Clones are the same door.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    places: Arc<Semaphore>,
    most_waiting: u64,
    crowded: Arc<AtomicBool>,
}

/// A submission's place inside, free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

/// Why a submission may not come in now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Full {
    /// The process works on as many as it may.
    #[error("As many submissions are being worked on as can be")]
    Inside,
    /// As many payments wait for the workers as may.
    #[error("As many payments wait to be settled as can be worked off soon")]
    Backlog,
}

impl Door {
    /// A door to `most_inside` places, closed while more than `most_waiting` payments wait behind it.
    pub(crate) fn new(most_inside: usize, most_waiting: u64) -> Self {
        let places = most_inside.min(Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(places)),
            most_waiting,
            crowded: Arc::new(AtomicBool::new(false)),
        }
    }

    /// A place for a submission.
    pub(crate) fn enter(&self) -> Result<Place, Full> {
        if self.crowded.load(Ordering::Relaxed) {
            return Err(Full::Backlog);
        }
        let permit = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Full::Inside)?;
        gauge!(IN_FLIGHT).increment(1);
        Ok(Place { _permit: permit })
    }

    /// Looks at how many payments wait in these streams, until `shutdown`.
    ///
    /// While Redis does not say, the door is open: the ledger keeps what is taken.
    pub(crate) async fn watch(
        self,
        queue: Queue,
        streams: Vec<Stream>,
        shutdown: CancellationToken,
    ) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(looks.tick()).await.is_some() {
            let waiting = waiting(&queue, &streams).await.unwrap_or_default();
            self.note(waiting);
        }
    }

    fn note(&self, waiting: u64) {
        gauge!(BACKLOG).set(f64::from(u32::try_from(waiting).unwrap_or(u32::MAX)));
        let crowded = waiting > self.most_waiting;
        if self.crowded.swap(crowded, Ordering::Relaxed) != crowded {
            match crowded {
                true => tracing::warn!(waiting, "the backlog is at its limit; nothing is taken"),
                false => tracing::info!(waiting, "the backlog is below its limit again"),
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        gauge!(IN_FLIGHT).decrement(1);
    }
}

/// How many payments wait in these streams, or are with a worker.
async fn waiting(queue: &Queue, streams: &[Stream]) -> Result<u64, QueueError> {
    let mut waiting = 0_u64;
    for stream in streams {
        waiting = waiting.saturating_add(queue.depth(stream).await?.length);
    }
    Ok(waiting)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_are_inside_at_once() {
        let door = Door::new(2, 10);
        let (_one, two) = (door.enter().unwrap(), door.enter().unwrap());
        assert_eq!(door.clone().enter().unwrap_err(), Full::Inside);
        drop(two);
        assert!(door.enter().is_ok());
    }

    #[test]
    fn nobody_comes_in_while_too_many_wait_behind_it() {
        let door = Door::new(2, 10);
        for (waiting, closed) in [(0, false), (10, false), (11, true), (12, true), (10, false)] {
            door.note(waiting);
            assert_eq!(door.enter().is_err_and(|full| full == Full::Backlog), closed, "{waiting}");
        }
    }
}
