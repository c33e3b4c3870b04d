//! The buckets of this process, for while Redis is away.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::quota::{Quota, Verdict};

/// The most subjects that have a bucket of their own; further ones share one.
const MOST: usize = 50_000;

/// How often buckets that are full again are cleared away, at most.
const SWEEP: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Buckets {
    most: usize,
    began: Instant,
    due: HashMap<String, u64>,
    /// The bucket of all for whom there is no place.
    shared: u64,
    swept: Option<u64>,
}

impl Buckets {
    pub(super) fn new(now: Instant) -> Self {
        Self { most: MOST, began: now, due: HashMap::new(), shared: 0, swept: None }
    }

    pub(super) fn take(&mut self, quota: Quota, subject: &str, cost: u32, now: Instant) -> Verdict {
        let since = now.saturating_duration_since(self.began);
        let now = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        if let Some(due) = self.due.get_mut(subject) {
            let (next, verdict) = quota.decide(*due, now, cost);
            *due = next;
            return verdict;
        }
        if self.due.len() >= self.most {
            self.sweep(now);
        }
        let has_place = self.due.len() < self.most;
        let before = if has_place { 0 } else { self.shared };
        let (next, verdict) = quota.decide(before, now, cost);
        if has_place {
            self.due.insert(subject.to_owned(), next);
        } else {
            self.shared = next;
        }
        verdict
    }

    /// Clears away what says no more than nothing would.
    fn sweep(&mut self, now: u64) {
        let sweep = u64::try_from(SWEEP.as_micros()).unwrap_or(u64::MAX);
        if self.swept.is_none_or(|swept| now.saturating_sub(swept) >= sweep) {
            self.due.retain(|_, due| *due > now);
            self.swept = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_come_no_more_is_kept_and_all_are_limited() {
        let quota = Quota { per_period: 1, period: Duration::from_secs(60), burst: 2 };
        let began = Instant::now();
        let mut buckets = Buckets { most: 3, ..Buckets::new(began) };
        let mut passed = |who: &str, secs| {
            buckets.take(quota, who, 1, began + Duration::from_secs(secs)).allowed
        };
        for who in ["a", "b", "c"] {
            assert!(passed(who, 1) && passed(who, 1) && !passed(who, 1), "{who}");
        }
        // There is no place for these: they share one bucket.
        assert!(passed("d", 2) && passed("e", 2) && !passed("f", 2));
        // When the others' buckets are full again their places are free.
        assert!(passed("f", 200) && passed("f", 200) && !passed("f", 200));
        assert_eq!(buckets.due.len(), 1);
    }
}
