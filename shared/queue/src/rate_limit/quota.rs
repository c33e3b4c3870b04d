//! The generic cell rate algorithm, without a clock and without a store.

use std::time::Duration;

/// How much one subject may take: `per_period` in each `period` in the long run, and up to `burst` at
/// once after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// How much in each period; nought counts as one.
    pub per_period: u32,
    /// The period.
    pub period: Duration,
    /// How much at once; nought counts as one.
    pub burst: u32,
}

/// Whether a subject may have what it asked for, and what it may have then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it may.
    pub allowed: bool,
    /// How much it may still have at once.
    pub remaining: u32,
    /// When it may have what it was refused; nothing where it was allowed.
    pub retry_after: Duration,
    /// When it may have all of `burst` at once again.
    pub reset: Duration,
}

impl Quota {
    /// Decides on taking `cost` at `now`, where the bucket is full again at `due`, and says when it is
    /// full then; both in microseconds of one clock. A cost above the burst is the whole burst.
    #[must_use]
    pub fn decide(&self, due: u64, now: u64, cost: u32) -> (u64, Verdict) {
        self.decide_up_to(due, now, (cost, self.room()))
    }

    /// The same where a bucket may be full again as late as this, because others took from it too.
    pub(super) fn decide_up_to(
        &self,
        due: u64,
        now: u64,
        (cost, furthest): (u32, u64),
    ) -> (u64, Verdict) {
        let room = self.room();
        // What lies further ahead comes from a clock that was put back, or from a larger quota.
        let due = due.clamp(now, now.saturating_add(furthest));
        let next = due.saturating_add(self.cost(cost));
        let ahead = next.saturating_sub(now);
        match ahead.checked_sub(room) {
            Some(over) if over > 0 => (due, self.verdict(due.saturating_sub(now), over)),
            Some(_) | None => (next, self.verdict(ahead, 0)),
        }
    }

    /// What follows where the bucket is full again in `ahead`, and what was asked for lies `over`
    /// beyond its room; both in microseconds.
    pub(super) fn verdict(&self, ahead: u64, over: u64) -> Verdict {
        let left = self.room().saturating_sub(ahead).checked_div(self.interval());
        Verdict {
            allowed: over == 0,
            remaining: left.and_then(|left| u32::try_from(left).ok()).unwrap_or_default(),
            retry_after: Duration::from_micros(over),
            reset: Duration::from_micros(ahead),
        }
    }

    /// What `cost` takes up, in microseconds.
    pub(super) fn cost(&self, cost: u32) -> u64 {
        self.interval().saturating_mul(u64::from(cost.min(self.burst.max(1))))
    }

    /// What the bucket holds, in microseconds.
    pub(super) fn room(&self) -> u64 {
        self.interval().saturating_mul(u64::from(self.burst.max(1)))
    }

    /// The time that earns one, in microseconds.
    fn interval(&self) -> u64 {
        let period = u64::try_from(self.period.as_micros()).unwrap_or(u64::MAX);
        (period / u64::from(self.per_period.max(1))).max(1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const SECOND: u64 = 1_000_000;

    #[test]
    fn a_burst_passes_and_then_one_each_time_that_one_is_earned() {
        let quota = Quota { per_period: 60, period: MINUTE, burst: 3 };
        let mut due = 0;
        // When it asks, whether it may, what is left, and how long it must wait.
        for (at, allowed, remaining, wait) in [
            (100.0, true, 2, 0.0),
            (100.0, true, 1, 0.0),
            (100.0, true, 0, 0.0),
            (100.0, false, 0, 1.0),
            (100.5, false, 0, 0.5),
            (101.0, true, 0, 0.0),
            (103.5, true, 1, 0.0),
            (900.0, true, 2, 0.0),
        ] {
            let now = Duration::from_secs_f64(at).as_micros().try_into().unwrap();
            let (next, verdict) = quota.decide(due, now, 1);
            due = next;
            let expected = (allowed, remaining, Duration::from_secs_f64(wait));
            assert_eq!((verdict.allowed, verdict.remaining, verdict.retry_after), expected, "{at}");
        }
    }

    #[test]
    fn a_clock_that_was_put_back_locks_nobody_out_for_longer_than_a_burst_takes() {
        let quota = Quota { per_period: 60, period: MINUTE, burst: 3 };
        let (_, verdict) = quota.decide(1_000_000 * SECOND, 100 * SECOND, 1);
        assert_eq!((verdict.allowed, verdict.retry_after), (false, Duration::from_secs(1)));
        let (_, verdict) = quota.decide(1_000_000 * SECOND, 101 * SECOND, 99);
        assert_eq!((verdict.allowed, verdict.retry_after), (false, Duration::from_secs(3)));
    }

    fn quotas() -> impl Strategy<Value = Quota> {
        (0u32..2_000, 1u64..100_000, 0u32..50).prop_map(|(per_period, period, burst)| Quota {
            per_period,
            period: Duration::from_millis(period),
            burst,
        })
    }

    proptest! {
        #[test]
        fn in_any_span_no_more_passes_than_the_burst_and_what_it_earns(
            quota in quotas(),
            asked in prop::collection::vec((0u64..5_000_000, 0u32..5), 1..200),
        ) {
            let (mut due, mut now, mut passed) = (0, SECOND, Vec::new());
            for (pause, cost) in asked {
                now += pause;
                let (next, verdict) = quota.decide(due, now, cost);
                if verdict.allowed {
                    passed.push((now, quota.cost(cost)));
                } else {
                    prop_assert_eq!(next, due.clamp(now, now + quota.room()));
                    // Whoever waits for as long as it is told may have it, and not a moment sooner.
                    let wait = u64::try_from(verdict.retry_after.as_micros()).unwrap();
                    prop_assert!(quota.decide(next, now + wait, cost).1.allowed);
                    prop_assert!(!quota.decide(next, now + wait - 1, cost).1.allowed);
                }
                // What is said to remain can be had at once, and not one more.
                let all = quota.decide(next, now, verdict.remaining).1;
                prop_assert!(all.allowed && all.remaining == 0);
                due = next;
            }
            for first in 0..passed.len() {
                let spent: u64 = passed[first..].iter().map(|(_, cost)| cost).sum();
                let span = passed.last().unwrap().0 - passed[first].0;
                prop_assert!(spent <= quota.room() + span);
            }
        }

        #[test]
        fn nothing_overflows(due: u64, now: u64, cost: u32, per: u32, secs: u64, burst: u32) {
            let quota =
                Quota { per_period: per, period: Duration::from_secs(secs), burst };
            let (next, _) = quota.decide(due, now, cost);
            prop_assert!(next >= now);
        }
    }
}
