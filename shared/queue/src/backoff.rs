//! How long to wait before asking Redis again.

use std::time::Duration;

use rand::Rng;

/// The first wait, and what every later one is doubled from.
const FIRST: Duration = Duration::from_millis(50);
/// No wait is longer, so that work goes on within about a second of Redis coming back.
const LONGEST: Duration = Duration::from_secs(1);

/// Exponential waits with jitter: each is drawn from the upper half of its range, so that a fleet
/// which lost Redis together does not come back together.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next wait.
    pub(crate) fn next_wait(&mut self) -> Duration {
        let doubled = FIRST.saturating_mul(1 << self.failures.min(10));
        self.failures = self.failures.saturating_add(1);
        let ceiling = doubled.min(LONGEST);
        rand::rng().random_range(ceiling / 2..=ceiling)
    }

    /// Starts again from the shortest wait; says whether there had been a failure.
    pub(crate) fn reset(&mut self) -> bool {
        std::mem::take(&mut self.failures) > 0
    }

    /// How many waits have been handed out since the last success.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_no_further() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..40).map(|_| backoff.next_wait()).collect();
        assert!(waits[0] <= FIRST);
        assert!(waits[10..].iter().all(|wait| *wait >= LONGEST / 2));
        assert!(waits.iter().all(|wait| *wait <= LONGEST));
    }

    #[test]
    fn a_success_starts_over() {
        let mut backoff = Backoff::default();
        backoff.next_wait();
        backoff.next_wait();
        assert!(backoff.reset());
        assert!(backoff.next_wait() <= FIRST);
    }
}
