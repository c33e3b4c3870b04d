//! Limits that a process decides on by itself, at once, and settles with the others afterwards.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

use super::REST;
use super::quota::{Quota, Verdict};
use crate::connection::Link;
use crate::scripts::TURNSTILE;

/// How often the others are told what was let through here, and heard of what was elsewhere.
const ROUND: Duration = Duration::from_millis(100);

/// The most subjects told of in one script, which holds Redis up.
const AT_ONCE: usize = 256;

/// How many bursts ahead what all let through together is remembered.
const DEBT: u64 = 16;

/// The most subjects that have a bucket of their own; further ones share one.
const MOST: usize = 50_000;

/// The subject of all for whom there is no place. No other is empty.
const THE_REST: &str = "";

/// Counts how often each subject goes through, without asking anybody first. Clones are the same.
///
/// Every process has its own picture of each bucket, and ten times a second adds to Redis what it
/// let through, and takes over what all did. In the long run no more passes than the quota, however
/// many processes there are: what they let through beyond it before they heard of each other, at most
/// a burst each, is a debt that is waited for. Up to sixteen bursts of it are remembered. While Redis
/// does not answer, each process keeps to the quota by itself.
#[derive(Clone)]
pub struct Turnstile(Arc<Shared>);

struct Shared {
    link: Link,
    prefix: String,
    counts: Mutex<Counts>,
}

/// What a process knows.
#[derive(Debug)]
struct Counts {
    most: usize,
    began: Instant,
    /// When each bucket is full again, in microseconds since the beginning.
    due: HashMap<String, u64>,
    /// What the others have not been told.
    untold: HashMap<String, Untold>,
}

/// What one subject took since the last round, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Untold {
    /// Below nought where more was given back.
    taken: i64,
    /// How far ahead its bucket may be.
    furthest: u64,
}

impl Turnstile {
    pub(crate) fn spawn(link: Link, prefix: &str, name: &str) -> Self {
        let counts = Mutex::new(Counts::new(Instant::now()));
        // One hash tag for all subjects, since one script tells of many.
        let shared =
            Arc::new(Shared { link, prefix: format!("{{{prefix}turnstile:{name}}}"), counts });
        tokio::spawn(settle(Arc::downgrade(&shared)));
        Self(shared)
    }

    /// Takes `cost` for a subject by its quota, or says when it can be had. A subject is a short text.
    #[must_use]
    pub fn take(&self, quota: Quota, subject: &str, cost: u32) -> Verdict {
        self.0.counts().take(quota, subject, cost, Instant::now())
    }

    /// Gives back what turned out not to be owed.
    pub fn give_back(&self, quota: Quota, subject: &str, cost: u32) {
        self.0.counts().give_back(quota, subject, cost);
    }
}

impl Counts {
    fn new(began: Instant) -> Self {
        Self { most: MOST, began, due: HashMap::new(), untold: HashMap::new() }
    }

    fn take(&mut self, quota: Quota, subject: &str, cost: u32, now: Instant) -> Verdict {
        let now = self.micros(now);
        let subject = self.place(subject, now);
        let due = self.due.get(subject).copied().unwrap_or_default();
        let furthest = furthest(quota);
        let (next, verdict) = quota.decide_up_to(due, now, (cost, furthest));
        self.set(subject, next);
        if verdict.allowed && cost > 0 {
            self.note(subject, signed(quota.cost(cost)), furthest);
        }
        verdict
    }

    fn give_back(&mut self, quota: Quota, subject: &str, cost: u32) {
        let cost = quota.cost(cost);
        // Where its bucket was cleared away it was full, and is.
        if let Some(due) = self.due.get_mut(subject) {
            *due = due.saturating_sub(cost);
            self.note(subject, signed(cost).saturating_neg(), furthest(quota));
        }
    }

    /// Takes over what Redis says: in how long a bucket is full again by what all have let through.
    fn learn(&mut self, subject: &str, ahead: u64, now: Instant) {
        let now = self.micros(now);
        let since = self.untold.get(subject).map_or(0, |untold| untold.taken);
        let told = now.saturating_add(ahead).saturating_add_signed(since);
        // A Redis that has forgotten lets nobody through for whom there is a bucket here.
        if let Some(due) = self.due.get_mut(subject) {
            *due = (*due).max(told);
        }
    }

    /// The subject whose bucket this one takes from.
    fn place<'a>(&mut self, subject: &'a str, now: u64) -> &'a str {
        if self.due.contains_key(subject) {
            return subject;
        }
        if self.due.len() >= self.most {
            // What is full again says no more than nothing would.
            self.due.retain(|_, due| *due > now);
        }
        if self.due.len() < self.most { subject } else { THE_REST }
    }

    fn set(&mut self, subject: &str, due: u64) {
        match self.due.get_mut(subject) {
            Some(known) => *known = due,
            None => {
                self.due.insert(subject.to_owned(), due);
            }
        }
    }

    fn note(&mut self, subject: &str, taken: i64, furthest: u64) {
        match self.untold.get_mut(subject) {
            Some(untold) => {
                *untold = Untold { taken: untold.taken.saturating_add(taken), furthest };
            }
            // Those who share a bucket share it here alone: elsewhere they may have their own.
            None if subject == THE_REST => {}
            None => {
                self.untold.insert(subject.to_owned(), Untold { taken, furthest });
            }
        }
    }

    fn micros(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.began);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }
}

fn furthest(quota: Quota) -> u64 {
    quota.room().saturating_mul(DEBT)
}

fn signed(micros: u64) -> i64 {
    i64::try_from(micros).unwrap_or(i64::MAX)
}

impl Shared {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        // A panic leaves the counts whole.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of these subjects, and takes over what is said of them.
    async fn tell(&self, subjects: &[(String, Untold)]) -> redis::RedisResult<()> {
        let mut script = TURNSTILE.prepare_invoke();
        for (subject, untold) in subjects {
            script.key(format!("{}:{subject}", self.prefix));
            script.arg(untold.taken).arg(untold.furthest);
        }
        let ahead: Vec<u64> = self.link.invoke("turnstile", &script).await?;
        let (mut counts, now) = (self.counts(), Instant::now());
        for ((subject, _), ahead) in subjects.iter().zip(ahead) {
            counts.learn(subject, ahead, now);
        }
        Ok(())
    }
}

/// Tells the others, round after round, for as long as the turnstile is there.
async fn settle(turnstile: Weak<Shared>) {
    let mut rounds = tokio::time::interval(ROUND);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut away = false;
    loop {
        rounds.tick().await;
        let Some(shared) = turnstile.upgrade() else { return };
        let untold: Vec<_> = std::mem::take(&mut shared.counts().untold).into_iter().collect();
        for subjects in untold.chunks(AT_ONCE) {
            let told = shared.tell(subjects).await;
            if let Err(error) = &told
                && !away
            {
                tracing::warn!(turnstile = %shared.prefix, %error, "each process limits by itself");
            }
            if told.is_ok() && away {
                tracing::info!(turnstile = %shared.prefix, "Redis tells what others let through again");
            }
            away = told.is_err();
            if away {
                // What was not told is lost to the others; here it still counts.
                rounds.reset_after(REST);
                break;
            }
        }
    }
}

impl fmt::Debug for Turnstile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turnstile").field("name", &self.0.prefix).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const QUOTA: Quota = Quota { per_period: 1, period: Duration::from_secs(60), burst: 2 };

    fn counts(most: usize) -> (Counts, Instant) {
        let began = Instant::now();
        (Counts { most, ..Counts::new(began) }, began)
    }

    #[test]
    fn however_many_come_no_more_is_kept_and_all_are_limited() {
        let (mut counts, began) = counts(3);
        let mut passed =
            |who: &str, secs| counts.take(QUOTA, who, 1, began + Duration::from_secs(secs)).allowed;
        for who in ["a", "b", "c"] {
            assert!(passed(who, 1) && passed(who, 1) && !passed(who, 1), "{who}");
        }
        // There is no place for these: they share one bucket.
        assert!(passed("d", 2) && passed("e", 2) && !passed("f", 2));
        // When the others' buckets are full again their places are free.
        assert!(passed("g", 200) && passed("g", 200) && !passed("g", 200));
        assert!(counts.due.len() <= 3 + 1 && !counts.untold.contains_key(THE_REST));
    }

    #[test]
    fn what_is_given_back_can_be_had_again_and_is_not_told_as_taken() {
        let (mut counts, now) = counts(MOST);
        assert!(counts.take(QUOTA, "a", 1, now).allowed && counts.take(QUOTA, "a", 1, now).allowed);
        counts.give_back(QUOTA, "a", 1);
        assert_eq!(counts.untold["a"].taken, 60_000_000);
        assert!(
            counts.take(QUOTA, "a", 1, now).allowed && !counts.take(QUOTA, "a", 1, now).allowed
        );
        counts.give_back(QUOTA, "nobody", 1);
        assert!(!counts.due.contains_key("nobody") && !counts.untold.contains_key("nobody"));
    }

    #[test]
    fn a_debt_that_others_made_is_waited_for() {
        let (mut counts, now) = counts(MOST);
        assert!(counts.take(QUOTA, "a", 1, now).allowed);
        // Two processes took two bursts together, that is four minutes' worth.
        counts.untold.clear();
        counts.learn("a", 240_000_000, now);
        for (secs, allowed) in [(0, false), (179, false), (180, true), (181, false), (240, true)] {
            let verdict = counts.take(QUOTA, "a", 1, now + Duration::from_secs(secs));
            assert_eq!(verdict.allowed, allowed, "{secs}");
        }
    }

    /// Processes that take by turns, and what all of them told.
    fn together(processes: usize, quota: Quota, asked: &[(usize, u64, bool)]) -> (u64, u64) {
        let began = Instant::now();
        let mut all: Vec<Counts> = (0..processes).map(|_| Counts::new(began)).collect();
        let (mut now, mut due, mut passed) = (0_u64, 0_u64, 0);
        for (process, pause, settles) in asked {
            now += pause;
            let (counts, at) = (&mut all[process % processes], began + Duration::from_micros(now));
            passed += u64::from(counts.take(quota, "a", 1, at).allowed) * quota.cost(1);
            // As the script adds it up.
            if let (true, Some(untold)) = (settles, counts.untold.remove("a")) {
                due = due.max(now).saturating_add_signed(untold.taken);
                due = due.clamp(now, now + untold.furthest);
                counts.learn("a", due - now, at);
            }
        }
        (passed, now)
    }

    proptest! {
        #[test]
        fn no_more_passes_than_the_quota_and_a_burst_for_each_process(
            processes in 1usize..5,
            asked in prop::collection::vec((0usize..5, 0u64..2_000_000, any::<bool>()), 1..400),
        ) {
            let quota = Quota { per_period: 2, period: Duration::from_secs(1), burst: 3 };
            let (passed, span) = together(processes, quota, &asked);
            let bursts = quota.room() * u64::try_from(processes).unwrap();
            prop_assert!(passed <= bursts + span * u64::try_from(processes).unwrap());
            // With one process nothing needs to be told at all.
            let (alone, span) = together(1, quota, &asked);
            prop_assert!(alone <= quota.room() + span);
        }

        #[test]
        fn processes_that_tell_each_other_pass_no_more_in_the_long_run_than_one(
            asked in prop::collection::vec((0usize..4, 0u64..400_000), 50..400),
        ) {
            let quota = Quota { per_period: 2, period: Duration::from_secs(1), burst: 3 };
            let asked: Vec<_> = asked.into_iter().map(|(who, pause)| (who, pause, true)).collect();
            let (passed, span) = together(4, quota, &asked);
            prop_assert!(passed <= 4 * quota.room() + span, "{passed} in {span}");
        }
    }
}
