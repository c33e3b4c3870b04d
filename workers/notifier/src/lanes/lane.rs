//! What is known of one endpoint, and what waits for it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use domain::{DeliveryId, Timestamp};

use super::{Made, Pace};
use crate::breaker::{Breaker, hangs};

/// An attempt that takes longer is slow.
const SLOW: Duration = Duration::from_secs(2);

/// An endpoint is slow when more than a twentieth of its last attempts were.
const REMEMBERED: u32 = 20;
const MOST_SLOW: u32 = 1;

/// Which of two lines a delivery stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// It tells of something that happened just now.
    Live,
    /// It can wait: one that failed several times, or that is made again.
    Later,
}

/// One endpoint.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) in_flight: usize,
    /// Those of them that come from the line of what can wait.
    pub(super) later_in_flight: usize,
    limit: usize,
    /// What the endpoint's owner allows.
    pub(super) most: usize,
    /// Whether its owner allows so many a second.
    pub(super) paced: bool,
    /// Good attempts since the limit last changed.
    good: usize,
    /// Whether each of the last attempts was slow, a bit each.
    slowness: u32,
    pub(super) breaker: Breaker,
    /// When its owner last did something about it.
    pub(super) changed_at: Timestamp,
    /// When those calls began that are under way.
    pub(super) calls: Vec<Instant>,
    /// When it last answered, whatever it said.
    answered: Option<Instant>,
    pub(super) live: VecDeque<DeliveryId>,
    pub(super) later: VecDeque<DeliveryId>,
}

impl Lane {
    pub(super) fn new(limit: usize, changed_at: Timestamp) -> Self {
        Self {
            in_flight: 0,
            later_in_flight: 0,
            limit,
            most: usize::MAX,
            paced: false,
            good: 0,
            slowness: 0,
            breaker: Breaker::default(),
            changed_at,
            calls: Vec::new(),
            answered: None,
            live: VecDeque::new(),
            later: VecDeque::new(),
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.live.is_empty() && self.later.is_empty()
    }

    /// Whether nothing is known of it that would be missed.
    pub(super) fn is_unremarkable(&self, first: usize) -> bool {
        self.limit == first && self.slowness == 0 && self.breaker.knows_nothing_bad()
    }

    /// How many may be under way at once.
    pub(super) fn limit(&self) -> usize {
        self.limit.min(self.most).max(1)
    }

    /// Whether one more from this line may be under way. What can wait leaves a place for what
    /// cannot, where there is more than one.
    pub(super) fn has_place(&self, line: Line) -> bool {
        let later = self.limit().saturating_sub(1).max(1);
        self.in_flight < self.limit() && (line == Line::Live || self.later_in_flight < later)
    }

    pub(super) fn is_slow(&self) -> bool {
        self.slowness.count_ones() > MOST_SLOW
    }

    /// Takes note of how long an attempt took.
    pub(super) fn note_time(&mut self, took: Duration) {
        let remembered = (1 << REMEMBERED) - 1;
        self.slowness = ((self.slowness << 1) | u32::from(took > SLOW)) & remembered;
    }

    /// One more after a whole round of good attempts, half as many after a bad one.
    pub(super) fn note_pace(&mut self, pace: Pace, most: usize) {
        match pace {
            Pace::Good => {
                self.good += 1;
                if self.good >= self.limit {
                    self.limit = (self.limit + 1).min(most);
                    self.good = 0;
                }
            }
            Pace::Unknown => {}
            Pace::TooMuch => {
                self.limit = (self.limit / 2).max(1);
                self.good = 0;
            }
        }
    }

    /// What was known of it before its owner did something about it keeps nobody back.
    pub(super) fn heed_change(&mut self, changed_at: Timestamp, now: Timestamp) {
        if self.changed_at != changed_at {
            self.changed_at = changed_at;
            self.breaker.look_again(now);
        }
    }

    /// A call is over that began then, if it did.
    pub(super) fn end_call(&mut self, begun: Option<Instant>) {
        // Which of two that began at the same time does not matter.
        if let Some(at) = self.calls.iter().position(|call| Some(*call) == begun) {
            self.calls.swap_remove(at);
        }
    }

    /// Takes note of what came of a call that began then.
    pub(super) fn note_end(&mut self, begun: Option<Instant>, made: Made) {
        self.breaker.note(made.failed, made.at);
        let Some(over) = begun.map(|begun| begun + made.took) else { return };
        if !made.timed_out {
            self.answered = self.answered.max(Some(over));
            return;
        }
        let since = |earlier: &Instant| over.saturating_duration_since(*earlier);
        let others: Vec<_> = self.calls.iter().map(since).collect();
        if hangs(made.took, &others, self.answered.as_ref().map(since)) {
            self.breaker.open(made.at);
        }
    }

    pub(super) fn line(&mut self, line: Line) -> &mut VecDeque<DeliveryId> {
        match line {
            Line::Live => &mut self.live,
            Line::Later => &mut self.later,
        }
    }

    /// Until when the breaker lets nothing through, if so.
    pub(super) fn shut_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.breaker.open_until().filter(|until| *until > now)
    }
}
