//! Telling of an outage once, however often it is met.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether something on which the reconciler depends is away.
#[derive(Debug)]
pub(crate) struct Outage {
    what: &'static str,
    away: AtomicBool,
}

impl Outage {
    /// Nothing is known to be wrong.
    pub(crate) fn of(what: &'static str) -> Self {
        Self { what, away: AtomicBool::new(false) }
    }

    /// It did its part, or it did not: logs the change from one to the other, and nothing else.
    pub(crate) fn note<T, E: Display>(&self, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => {
                if self.away.swap(false, Ordering::Relaxed) {
                    tracing::info!("{} is back", self.what);
                }
                Some(value)
            }
            Err(error) => {
                if !self.away.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "{} is away; trying again until it is back", self.what);
                }
                None
            }
        }
    }
}
