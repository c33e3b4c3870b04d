//! When the next block is to be expected.

use std::time::{Duration, Instant};

use crate::policy::Policy;

/// The rhythm in which blocks come, as far as it is known.
///
/// Networks make blocks at even intervals. Whoever knows when the last one came looks once, a
/// moment after the next is due, instead of looking many times in vain; where blocks do not keep
/// to it, looks come at the usual interval.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rhythm {
    /// When the newest block came, as nearly as that is known.
    came: Option<Instant>,
    /// The last look that found nothing new.
    in_vain: Option<Instant>,
    /// Whether the newest block came when it was expected.
    is_kept: bool,
}

/// A block is looked for so long after it is due: nodes need a moment to take it up.
const SLACK: Duration = Duration::from_millis(15);

impl Rhythm {
    /// Notes a look that found a new block.
    pub(crate) fn note_block(&mut self, now: Instant, policy: &Policy) {
        let unseen = self.in_vain.map(|at| now.saturating_duration_since(at));
        // Found after a look in vain, it came between the two; found at once, a bit before.
        let ago = unseen.filter(|gap| *gap <= policy.poll_interval()).map_or(SLACK, |gap| gap / 2);
        let came = now.checked_sub(ago).unwrap_or(now);
        self.is_kept = self.came.is_some_and(|before| {
            let off = off_beat(came.saturating_duration_since(before), policy.block_time);
            off <= policy.poll_interval()
        });
        (self.came, self.in_vain) = (Some(came), None);
    }

    /// Notes a look that found nothing new.
    pub(crate) const fn note_nothing(&mut self, now: Instant) {
        self.in_vain = Some(now);
    }

    /// How long to wait before the next look.
    pub(crate) fn pause(&self, now: Instant, policy: &Policy) -> Duration {
        let usual = policy.poll_interval();
        let Some(came) = self.came.filter(|_| self.is_kept) else { return usual };
        let since = now.saturating_duration_since(came);
        let into = remainder(since, policy.block_time);
        let is_late = since >= policy.block_time && into <= usual;
        if is_late {
            // It is due: most likely it comes any moment.
            return (usual / 8).max(SLACK);
        }
        policy.block_time.saturating_sub(into).saturating_add(SLACK)
    }
}

/// How far a time is from a whole number of blocks.
fn off_beat(time: Duration, block_time: Duration) -> Duration {
    let into = remainder(time, block_time);
    into.min(block_time.saturating_sub(into))
}

fn remainder(time: Duration, block_time: Duration) -> Duration {
    let nanos = time.as_nanos().checked_rem(block_time.as_nanos()).unwrap_or_default();
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::policy;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A rhythm with blocks of a second that was learned by looking every fifth of one.
    fn learned(begin: Instant) -> Rhythm {
        let policy = policy(1);
        let mut rhythm = Rhythm::default();
        for at in [0, 1_000, 2_000] {
            rhythm.note_nothing(begin + ms(at + 900));
            rhythm.note_block(begin + ms(at + 1_000), &policy);
        }
        rhythm
    }

    #[test]
    fn nothing_is_expected_before_two_blocks_came_in_rhythm() {
        let (policy, begin) = (policy(1), Instant::now());
        let mut rhythm = Rhythm::default();
        assert_eq!(rhythm.pause(begin, &policy), policy.poll_interval());
        rhythm.note_block(begin, &policy);
        assert_eq!(rhythm.pause(begin, &policy), policy.poll_interval());
        rhythm.note_block(begin + ms(1_450), &policy);
        assert_eq!(rhythm.pause(begin + ms(1_450), &policy), policy.poll_interval());
    }

    #[test]
    fn the_next_look_comes_just_after_the_next_block_is_due() {
        let (policy, begin) = (policy(1), Instant::now());
        let rhythm = learned(begin);
        // The last block came between 2.9 and 3.0 seconds.
        assert_eq!(rhythm.pause(begin + ms(3_000), &policy), ms(950) + SLACK);
        // After a pause of some blocks, the beat is still known.
        assert_eq!(rhythm.pause(begin + ms(7_450), &policy), ms(500) + SLACK);
    }

    #[test]
    fn a_block_that_is_due_is_looked_for_often_and_one_that_stays_away_as_usual() {
        let (policy, begin) = (policy(1), Instant::now());
        let rhythm = learned(begin);
        assert_eq!(rhythm.pause(begin + ms(3_970), &policy), ms(25));
        assert_eq!(rhythm.pause(begin + ms(4_200), &policy), ms(750) + SLACK);
    }

    #[test]
    fn blocks_that_keep_no_rhythm_are_looked_for_as_usual() {
        let (policy, begin) = (policy(1), Instant::now());
        let mut rhythm = learned(begin);
        rhythm.note_nothing(begin + ms(3_300));
        rhythm.note_block(begin + ms(3_450), &policy);
        assert_eq!(rhythm.pause(begin + ms(3_450), &policy), policy.poll_interval());
    }
}
