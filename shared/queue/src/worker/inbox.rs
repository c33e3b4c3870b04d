//! Deliveries between the reader and the apalis worker.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;

use super::delivery::Delivery;

/// What has been read and not started. Never more than there are slots, as every delivery
/// occupies one.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    reader: AtomicWaker,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Delivery>,
    closed: bool,
}

impl Inbox {
    /// Puts deliveries in; returns them if the inbox is closed.
    pub(super) fn put(&self, deliveries: Vec<Delivery>) -> Result<(), Vec<Delivery>> {
        let mut state = self.lock();
        if state.closed {
            return Err(deliveries);
        }
        state.waiting.extend(deliveries);
        drop(state);
        self.reader.wake();
        Ok(())
    }

    /// Takes the oldest out; `None` when the inbox is closed.
    pub(super) fn poll_take(&self, context: &Context<'_>) -> Poll<Option<Delivery>> {
        self.reader.register(context.waker());
        let mut state = self.lock();
        match state.waiting.pop_front() {
            Some(delivery) => Poll::Ready(Some(delivery)),
            None if state.closed => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    /// Lets nothing more in or out, and returns what was left.
    pub(super) fn close(&self) -> Vec<Delivery> {
        let mut state = self.lock();
        state.closed = true;
        let left = std::mem::take(&mut state.waiting);
        drop(state);
        self.reader.wake();
        left.into()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No step under the lock leaves the state half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
