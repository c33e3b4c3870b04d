//! Places for requests that wait, so that waiting is never what brings the process down.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::ApiKeyId;

/// How a client waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// With a request that is answered when there is news.
    Poll,
    /// With a stream that stays open.
    Stream,
}

impl Waits {
    /// The gauge that counts them.
    const fn gauge(self) -> &'static str {
        match self {
            Self::Poll => "long_poll_waiters",
            Self::Stream => "sse_clients",
        }
    }
}

/// The places of one process.
#[derive(Clone, Debug)]
pub(crate) struct Waiters {
    most: usize,
    most_per_key: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_key: HashMap<ApiKeyId, usize>,
}

/// A place, free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    key: ApiKeyId,
    waits: Waits,
    waiters: Waiters,
}

impl Waiters {
    pub(crate) fn new(most: usize, most_per_key: usize) -> Self {
        for waits in [Waits::Poll, Waits::Stream] {
            metrics::gauge!(waits.gauge()).increment(0);
        }
        Self { most, most_per_key, taken: Arc::default() }
    }

    /// A place for a request of this key, or none when all, or all of this key, are taken.
    pub(crate) fn enter(&self, key: ApiKeyId, waits: Waits) -> Option<Place> {
        let mut taken = self.lock();
        let own = taken.by_key.get(&key).copied().unwrap_or_default();
        if taken.all >= self.most || own >= self.most_per_key {
            return None;
        }
        taken.all += 1;
        taken.by_key.insert(key, own + 1);
        metrics::gauge!(waits.gauge()).increment(1);
        Some(Place { key, waits, waiters: self.clone() })
    }

    /// How many places are taken.
    pub(crate) fn taken(&self) -> usize {
        self.lock().all
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Every step under the lock leaves the counts whole.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        metrics::gauge!(self.waits.gauge()).decrement(1);
        let mut taken = self.waiters.lock();
        taken.all = taken.all.saturating_sub(1);
        if let Some(own) = taken.by_key.get_mut(&self.key) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                taken.by_key.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn key(bits: u128) -> ApiKeyId {
        ApiKeyId::new(Uuid::from_u128(bits))
    }

    #[test]
    fn places_are_limited_for_each_key_and_for_all() {
        let waiters = Waiters::new(3, 2);
        let one = [waiters.enter(key(1), Waits::Poll), waiters.enter(key(1), Waits::Poll)];
        assert!(one.iter().all(Option::is_some));
        assert!(waiters.enter(key(1), Waits::Poll).is_none());
        let other = waiters.enter(key(2), Waits::Stream);
        assert!(other.is_some() && waiters.enter(key(3), Waits::Poll).is_none());
    }

    #[test]
    fn a_place_that_was_left_is_free_again_and_nothing_is_remembered() {
        let waiters = Waiters::new(1, 1);
        for _ in 0..3 {
            assert!(waiters.enter(key(1), Waits::Poll).is_some());
        }
        assert_eq!(waiters.taken(), 0);
        assert!(waiters.lock().by_key.is_empty());
    }
}
