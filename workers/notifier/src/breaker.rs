//! When an endpoint that fails is left alone for a while. Pure.
//!
//! A breaker spares the endpoint, and the slots that its attempts would hold. What it keeps back is
//! put off, and uses up no attempt.

use std::collections::VecDeque;
use std::time::Duration;

use domain::Timestamp;

/// How far back attempts count, and how many of them at most.
const WINDOW: Duration = Duration::from_secs(60);
const MOST_COUNTED: usize = 64;

/// So many attempts at least say something about an endpoint.
const FEWEST: usize = 10;

/// So many calls at least that all hang say that an endpoint does.
const FEWEST_HANGING: usize = 4;

/// The first pause, which doubles with each failed probe, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);

/// The breaker of one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    /// When attempts ended lately, and whether they failed.
    ended: VecDeque<(Timestamp, bool)>,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Closed,
    Open {
        until: Timestamp,
        pause: Duration,
    },
    /// One attempt is under way to see whether the endpoint is well again.
    Probing {
        until: Timestamp,
        pause: Duration,
    },
}

/// Whether an attempt may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Like any other.
    Granted,
    /// As the only one, to see whether the endpoint is well again.
    ToProbe,
    /// Not before the probe that is under way is over.
    AfterTheProbe,
    /// Not before then.
    NotBefore(Timestamp),
}

/// Whether an endpoint hangs, when a call of it has had no answer for `took` and is given up. `others` are under way
/// to it for so long each, and `quiet` ago it answered something, if it ever did.
///
/// One that is slow once answers others meanwhile. To wait until as many calls are given up as otherwise open a
/// breaker would take one time limit after the other, since fewer are made at once after each.
pub(crate) fn hangs(took: Duration, others: &[Duration], quiet: Option<Duration>) -> bool {
    others.len() + 1 >= FEWEST_HANGING
        && others.iter().all(|other| *other >= took / 2)
        && quiet.is_none_or(|quiet| quiet >= took)
}

impl Breaker {
    /// Whether an attempt may be made now.
    pub(crate) fn look(&self, now: Timestamp) -> Leave {
        match self.state {
            State::Closed => Leave::Granted,
            State::Probing { .. } => Leave::AfterTheProbe,
            State::Open { until, .. } if now < until => Leave::NotBefore(until),
            State::Open { .. } => Leave::ToProbe,
        }
    }

    /// The probe is under way; who makes it says what came of it.
    pub(crate) fn probe(&mut self) {
        if let State::Open { until, pause } = self.state {
            self.state = State::Probing { until, pause };
        }
    }

    /// Until when nothing may be attempted, if so.
    pub(crate) fn open_until(&self) -> Option<Timestamp> {
        match self.state {
            State::Open { until, .. } => Some(until),
            State::Closed | State::Probing { .. } => None,
        }
    }

    /// Whether nothing has failed lately.
    pub(crate) fn knows_nothing_bad(&self) -> bool {
        self.state == State::Closed && self.ended.iter().all(|(_, failed)| !failed)
    }

    /// Says that an attempt failed, or did not.
    pub(crate) fn note(&mut self, failed: bool, now: Timestamp) {
        match self.state {
            // It was under way when the breaker opened, and says nothing new.
            State::Open { .. } => {}
            State::Probing { pause, .. } if failed => {
                let pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                self.state = State::Open { until: now.plus(pause), pause };
            }
            State::Probing { .. } => *self = Self::default(),
            State::Closed => self.count(failed, now),
        }
    }

    /// The endpoint hangs: it is left alone, whatever is known of it besides.
    pub(crate) fn open(&mut self, now: Timestamp) {
        if self.state == State::Closed {
            self.ended.clear();
            self.state = State::Open { until: now.plus(FIRST_PAUSE), pause: FIRST_PAUSE };
        }
    }

    /// Somebody did something about the endpoint, or wants to see whether it is well: the next attempt is a probe.
    pub(crate) fn look_again(&mut self, now: Timestamp) {
        self.ended.clear();
        if self.state != State::Closed {
            self.state = State::Open { until: now, pause: FIRST_PAUSE };
        }
    }

    /// The probe was not made: another may be.
    pub(crate) fn give_up_probe(&mut self) {
        if let State::Probing { until, pause } = self.state {
            self.state = State::Open { until, pause };
        }
    }

    fn count(&mut self, failed: bool, now: Timestamp) {
        self.ended.push_back((now, failed));
        let old = |at: Timestamp| now.since(at) > WINDOW;
        while self.ended.len() > MOST_COUNTED || self.ended.front().is_some_and(|(at, _)| old(*at))
        {
            self.ended.pop_front();
        }
        let failures = self.ended.iter().filter(|(_, failed)| *failed).count();
        // One that succeeds says that the endpoint is well, whatever failed before it.
        if failed && self.ended.len() >= FEWEST && failures * 2 >= self.ended.len() {
            self.open(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_unix_secs(1_000);

    fn at(secs: u64) -> Timestamp {
        START.plus(Duration::from_secs(secs))
    }

    /// After these attempts, one a second.
    fn after(failed: impl IntoIterator<Item = bool>) -> Breaker {
        let mut breaker = Breaker::default();
        for (secs, failed) in failed.into_iter().enumerate() {
            breaker.note(failed, at(u64::try_from(secs).unwrap()));
        }
        breaker
    }

    #[test]
    fn it_opens_when_half_of_ten_attempts_have_failed() {
        assert_eq!(after([true; 9]).look(at(9)), Leave::Granted);
        assert_eq!(after([true; 10]).look(at(9)), Leave::NotBefore(at(39)));
        let half = [false, true].into_iter().cycle();
        assert_eq!(after(half.take(10)).look(at(9)), Leave::NotBefore(at(39)));
        let third = [true, false, false].into_iter().cycle();
        assert_eq!(after(third.take(60)).look(at(60)), Leave::Granted);
    }

    #[test]
    fn an_attempt_that_succeeds_never_opens_it() {
        let mut breaker = after([true; 9]);
        breaker.note(false, at(9));
        assert_eq!(breaker.look(at(9)), Leave::Granted);
        breaker.note(true, at(10));
        assert_eq!(breaker.look(at(10)), Leave::NotBefore(at(40)));
    }

    #[test]
    fn attempts_of_more_than_a_minute_ago_do_not_count() {
        let mut breaker = after([true; 9]);
        breaker.note(true, at(70));
        assert_eq!(breaker.look(at(70)), Leave::Granted);
    }

    #[test]
    fn after_the_pause_one_attempt_decides() {
        let mut breaker = after([true; 10]);
        assert_eq!(breaker.look(at(39)), Leave::ToProbe);
        breaker.probe();
        assert_eq!(breaker.look(at(39)), Leave::AfterTheProbe);
        breaker.note(false, at(40));
        assert_eq!(breaker.look(at(40)), Leave::Granted);
    }

    #[test]
    fn each_failed_probe_doubles_the_pause_up_to_a_quarter_of_an_hour() {
        let (mut breaker, mut now, mut pauses) = (after([true; 10]), at(9), Vec::new());
        for _ in 0..7 {
            let until = breaker.open_until().unwrap();
            pauses.push(until.since(now).as_secs());
            now = until;
            assert_eq!(breaker.look(now), Leave::ToProbe);
            breaker.probe();
            breaker.note(true, now);
        }
        assert_eq!(pauses, [30, 60, 120, 240, 480, 900, 900]);
    }

    #[test]
    fn an_endpoint_hangs_when_all_calls_do_and_nothing_was_answered_meanwhile() {
        let secs = |all: &[u64]| all.iter().copied().map(Duration::from_secs).collect::<Vec<_>>();
        let table: [(&[u64], Option<u64>, bool, &str); 8] = [
            (&[15, 15, 14, 14, 13, 12, 11], None, true, "a burst of which nothing is answered"),
            (&[15, 15, 15], Some(60), true, "it was well a minute ago"),
            (&[15, 15, 15], Some(15), true, "its last answer came before this call began"),
            (&[15, 15, 15], Some(14), false, "it has answered another one since"),
            (&[15, 15, 15, 1], None, false, "one has hardly begun"),
            (&[8, 8, 8], None, true, "they came one after the other"),
            (&[15, 15], None, false, "too few to know"),
            (&[], None, false, "it is slow once, and nothing else is under way"),
        ];
        for (others, quiet, expected, why) in table {
            let quiet = quiet.map(Duration::from_secs);
            assert_eq!(hangs(Duration::from_secs(15), &secs(others), quiet), expected, "{why}");
        }
    }

    #[test]
    fn an_endpoint_about_which_something_was_done_is_probed_at_once() {
        let mut breaker = after([true; 10]);
        breaker.look_again(at(10));
        assert_eq!(breaker.look(at(10)), Leave::ToProbe);
        breaker.probe();
        breaker.note(true, at(11));
        assert_eq!(breaker.look(at(12)), Leave::NotBefore(at(71)));
        // Where nothing is wrong, nobody is kept back.
        let mut closed = after([true; 9]);
        closed.look_again(at(9));
        closed.note(true, at(9));
        assert_eq!(closed.look(at(9)), Leave::Granted);
    }

    #[test]
    fn a_probe_that_is_not_made_leaves_the_next_one_free() {
        let mut breaker = after([true; 10]);
        breaker.probe();
        breaker.give_up_probe();
        assert_eq!(breaker.look(at(39)), Leave::ToProbe);
    }
}
