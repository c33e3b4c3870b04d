//! Leaving a URL alone that keeps failing.

use std::time::{Duration, Instant};

/// When a URL is left alone, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct BreakerPolicy {
    /// So many failures…
    pub failures: usize,
    /// …within this time open the breaker.
    pub within: Duration,
    /// So long after it opened, and after each probe, one call may probe the URL.
    pub rest: Duration,
}

impl Default for BreakerPolicy {
    /// Three failures within a minute, then a probe a minute.
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Self { failures: 3, within: minute, rest: minute }
    }
}

/// The breaker of one URL: closed while it may be asked, open while it should not be.
#[derive(Debug)]
pub struct Breaker {
    policy: BreakerPolicy,
    state: State,
}

#[derive(Debug)]
enum State {
    Closed {
        /// The failures that still count, oldest first.
        failures: Vec<Instant>,
    },
    Open {
        since: Instant,
        /// When the newest probe began. One that was given up half-way is followed by another.
        probed: Option<Instant>,
    },
}

impl Breaker {
    /// One that is closed.
    pub const fn new(policy: BreakerPolicy) -> Self {
        Self { policy, state: State::Closed { failures: Vec::new() } }
    }

    /// Since when it has been open; `None` while it is closed.
    pub const fn opened(&self) -> Option<Instant> {
        match self.state {
            State::Closed { .. } => None,
            State::Open { since, .. } => Some(since),
        }
    }

    /// Whether the caller may probe now. Of callers at once, one may.
    pub fn try_probe(&mut self, now: Instant) -> bool {
        let State::Open { since, probed } = &mut self.state else { return false };
        let rested = now.saturating_duration_since(probed.unwrap_or(*since)) >= self.policy.rest;
        if rested {
            *probed = Some(now);
        }
        rested
    }

    /// Notes an answer: whatever was wrong is over. Failures of a closed breaker go on counting,
    /// since a URL that fails now and then is worse than one that does not.
    pub fn succeeded(&mut self) {
        if self.opened().is_some() {
            self.state = State::Closed { failures: Vec::new() };
        }
    }

    /// Notes a failure.
    pub fn failed(&mut self, now: Instant) {
        let State::Closed { failures } = &mut self.state else { return self.trip(now) };
        failures.retain(|failure| now.saturating_duration_since(*failure) < self.policy.within);
        failures.push(now);
        if failures.len() >= self.policy.failures {
            self.trip(now);
        }
    }

    /// Opens it, or lets an open one rest anew.
    pub fn trip(&mut self, now: Instant) {
        self.state = State::Open { since: now, probed: None };
    }

    /// 0 while it is closed, 1 while it is open, a half while it is being probed.
    pub const fn level(&self) -> f64 {
        match self.state {
            State::Closed { .. } => 0.0,
            State::Open { probed: Some(_), .. } => 0.5,
            State::Open { probed: None, .. } => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Failure,
        Success,
        /// A call that asks to probe, and whether it may.
        Probe(bool),
    }
    use Step::{Failure, Probe, Success};

    #[test]
    fn it_opens_after_three_failures_and_closes_after_a_probe_that_succeeds() {
        for (steps, open) in [
            (&[(0, Failure), (1, Failure)][..], false),
            (&[(0, Failure), (1, Failure), (2, Failure)], true),
            // The first does not count any more.
            (&[(0, Failure), (59, Failure), (60, Failure)], false),
            (&[(0, Failure), (1, Failure), (59, Failure)], true),
            // What fails now and then is left alone too.
            (&[(0, Failure), (1, Success), (2, Failure), (3, Success), (4, Failure)], true),
            // A closed one needs no probe.
            (&[(0, Failure), (100, Probe(false))], false),
            (&[(0, Failure), (0, Failure), (0, Failure), (59, Probe(false))], true),
            // Of two at once one probes.
            (
                &[(0, Failure), (0, Failure), (0, Failure), (60, Probe(true)), (60, Probe(false))],
                true,
            ),
            (&[(0, Failure), (0, Failure), (0, Failure), (60, Probe(true)), (61, Success)], false),
            // It starts over with a clean slate.
            (
                &[
                    (0, Failure),
                    (0, Failure),
                    (0, Failure),
                    (60, Probe(true)),
                    (61, Success),
                    (62, Failure),
                ],
                false,
            ),
            // A probe that fails is followed by another rest.
            (
                &[
                    (0, Failure),
                    (0, Failure),
                    (0, Failure),
                    (60, Probe(true)),
                    (65, Failure),
                    (124, Probe(false)),
                    (125, Probe(true)),
                ],
                true,
            ),
            // One that never ends is followed by another probe.
            (
                &[
                    (0, Failure),
                    (0, Failure),
                    (0, Failure),
                    (60, Probe(true)),
                    (119, Probe(false)),
                    (120, Probe(true)),
                ],
                true,
            ),
            // Any answer closes it, asked for or not.
            (&[(0, Failure), (0, Failure), (0, Failure), (1, Success)], false),
        ] {
            let start = Instant::now();
            let mut breaker = Breaker::new(BreakerPolicy::default());
            for (second, step) in steps {
                let now = start + Duration::from_secs(*second);
                match step {
                    Failure => breaker.failed(now),
                    Success => breaker.succeeded(),
                    Probe(may) => assert_eq!(breaker.try_probe(now), *may, "{steps:?}"),
                }
            }
            assert_eq!(breaker.opened().is_some(), open, "{steps:?}");
        }
    }

    #[test]
    fn a_failure_while_it_is_open_moves_it_behind_the_others_that_are_open() {
        let start = Instant::now();
        let mut breaker = Breaker::new(BreakerPolicy::default());
        breaker.trip(start);

        let later = start + Duration::from_secs(5);
        breaker.failed(later);

        assert_eq!(breaker.opened(), Some(later));
    }

    #[test]
    fn its_level_tells_the_states_apart() {
        let now = Instant::now();
        let mut breaker =
            Breaker::new(BreakerPolicy { rest: Duration::ZERO, ..BreakerPolicy::default() });
        let mut levels = vec![breaker.level()];
        breaker.trip(now);
        levels.push(breaker.level());
        breaker.try_probe(now);
        levels.push(breaker.level());
        breaker.succeeded();
        levels.push(breaker.level());
        assert_eq!(levels, [0.0, 1.0, 0.5, 0.0]);
    }
}
