//! The only place that reads the wall clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const MILLIS_PER_SECOND: i64 = 1_000;

/// Tells the time since the Unix epoch. Cheap to clone; clones of a manual clock share their time.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The operating system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self { source: Source::System }
    }

    /// A clock that stands still at `unix_ms` milliseconds since the epoch.
    #[must_use]
    pub fn fixed(unix_ms: i64) -> Self {
        Self { source: Source::Manual(Arc::new(AtomicI64::new(unix_ms))) }
    }

    /// A clock that starts at `unix_ms` and moves only when its hand is moved.
    #[must_use]
    pub fn manual(unix_ms: i64) -> (Self, ClockHand) {
        let time = Arc::new(AtomicI64::new(unix_ms));
        (Self { source: Source::Manual(Arc::clone(&time)) }, ClockHand { time })
    }

    /// Milliseconds since the Unix epoch; negative before 1970.
    #[must_use]
    pub fn now_unix_ms(&self) -> i64 {
        match &self.source {
            Source::System => system_unix_ms(),
            Source::Manual(time) => time.load(Ordering::SeqCst),
        }
    }

    /// Whole seconds since the Unix epoch, rounded down; the unit of `validAfter` and `validBefore`.
    #[must_use]
    pub fn now_unix_secs(&self) -> i64 {
        self.now_unix_ms().div_euclid(MILLIS_PER_SECOND)
    }
}

/// Moves the time of a manual [`Clock`].
#[derive(Clone, Debug)]
pub struct ClockHand {
    time: Arc<AtomicI64>,
}

impl ClockHand {
    /// Moves the clock forward by whole milliseconds of `duration`.
    pub fn advance(&self, duration: Duration) {
        self.time.fetch_add(saturating_ms(duration), Ordering::SeqCst);
    }

    /// Sets the clock to `unix_ms`, forward or back.
    pub fn set(&self, unix_ms: i64) {
        self.time.store(unix_ms, Ordering::SeqCst);
    }
}

#[expect(clippy::disallowed_methods, reason = "this module is the one reader of the clock")]
fn system_unix_ms() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => saturating_ms(since),
        Err(before) => saturating_ms(before.duration()).saturating_neg(),
    }
}

fn saturating_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_clock_stands_still() {
        let clock = Clock::fixed(1_772_366_408_999);
        assert_eq!(clock.now_unix_ms(), 1_772_366_408_999);
        assert_eq!(clock.now_unix_secs(), 1_772_366_408);
    }

    #[test]
    fn clones_of_a_manual_clock_move_together() {
        let (clock, hand) = Clock::manual(0);
        let other = clock.clone();
        hand.advance(Duration::from_millis(1_500));
        assert_eq!((clock.now_unix_ms(), other.now_unix_secs()), (1_500, 1));
    }

    #[test]
    fn seconds_round_down_before_the_epoch_too() {
        assert_eq!(Clock::fixed(-1).now_unix_secs(), -1);
    }

    #[test]
    fn the_system_clock_is_past_the_day_this_was_written() {
        assert!(Clock::system().now_unix_secs() > 1_735_689_600);
    }
}
