//! What was told of the chain already: nothing older is evidence.

use std::time::{Duration, Instant};

use crate::{ChainError, Head};

/// How long nobody must have told of the newest head before an older one is believed although not
/// everybody was heard: far longer than a node takes to catch up by a block.
const PATIENCE: Duration = Duration::from_secs(30);

/// No network dates its blocks so many seconds ahead, nor does a process's clock lag so much.
const MOST_AHEAD: i64 = 3_600;

/// That a newest block can be of this time when it is `now`, both in Unix seconds. Were a later
/// one believed, every other node would look as if it lagged.
///
/// # Errors
/// [`ChainError::Unreadable`] when it cannot.
pub(crate) fn check_time(time: i64, now: i64) -> Result<(), ChainError> {
    match time > now.saturating_add(MOST_AHEAD) {
        true => Err(ChainError::Unreadable("a newest block of the future".to_owned())),
        false => Ok(()),
    }
}

/// The newest head that callers were given, and the newest time of any block.
///
/// Whoever decides from what a block says must not be given an older one in between. Both go back
/// only with the chain itself: the height when everybody says so, either when nobody has told of
/// the newest for long. One answer that is wrong must not keep everybody from deciding for ever.
#[derive(Debug, Default)]
pub(crate) struct Fence {
    number: u64,
    /// When somebody last told of a head that is not older.
    heard: Option<Instant>,
    time: i64,
    doubt: Option<Doubt>,
}

/// What is told of the time of the newest block while nobody tells of the newest time.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    since: Instant,
    newest: i64,
}

impl Fence {
    /// The height of the newest head that callers were given.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// The time, in Unix seconds, of the newest block that is believed in.
    pub(crate) const fn time(&self) -> i64 {
        self.time
    }

    /// Notes that somebody tells of this head.
    pub(crate) fn hear(&mut self, head: &Head, now: Instant) {
        self.hear_time(head.timestamp, now);
        if head.number >= self.number {
            self.heard = Some(now);
        }
    }

    /// Notes that somebody tells of a block of this time as the newest.
    pub(crate) fn hear_time(&mut self, time: i64, now: Instant) {
        if time >= self.time {
            (self.time, self.doubt) = (time, None);
            return;
        }
        let doubt = self.doubt.get_or_insert(Doubt { since: now, newest: time });
        doubt.newest = doubt.newest.max(time);
        if now.saturating_duration_since(doubt.since) >= PATIENCE {
            (self.time, self.doubt) = (doubt.newest, None);
        }
    }

    /// Notes that a caller is given this head.
    pub(crate) fn raise(&mut self, number: u64) {
        self.number = self.number.max(number);
    }

    /// Whether this head, the newest that was told of in a call that began when the fence stood
    /// at `from`, is believed although it is older: everybody was heard, or nobody has told of a
    /// newer one for long. Then the chain is shorter than it was.
    pub(crate) fn gives_way(
        &mut self,
        number: u64,
        from: u64,
        everybody: bool,
        now: Instant,
    ) -> bool {
        let long_ago =
            self.heard.is_none_or(|heard| now.saturating_duration_since(heard) >= PATIENCE);
        // Another caller was given a newer one meanwhile.
        let moved = self.number > from;
        let believed = !moved && (everybody || long_ago);
        if believed {
            self.number = number;
            self.heard = Some(now);
        }
        believed
    }
}

#[cfg(test)]
mod tests {
    use domain::B256;

    use super::*;

    fn head(number: u64) -> Head {
        let timestamp = i64::try_from(number).unwrap();
        Head { number, hash: B256::ZERO, parent: B256::ZERO, timestamp, base_fee: 0 }
    }

    #[test]
    fn an_older_head_is_believed_when_everybody_says_so_or_after_a_long_silence() {
        let start = Instant::now();
        for (everybody, second, believed) in
            [(false, 0, false), (false, 29, false), (false, 30, true), (true, 0, true)]
        {
            let mut fence = Fence::default();
            fence.hear(&head(10), start);
            fence.raise(10);
            let now = start + Duration::from_secs(second);
            fence.hear(&head(9), now);

            assert_eq!(fence.gives_way(9, 10, everybody, now), believed, "{everybody} {second}");
            assert_eq!(fence.number(), if believed { 9 } else { 10 });
        }
    }

    #[test]
    fn the_silence_ends_when_anybody_tells_of_it_again() {
        let start = Instant::now();
        let mut fence = Fence::default();
        fence.hear(&head(10), start);
        fence.raise(10);
        fence.hear(&head(11), start + Duration::from_secs(20));
        assert!(!fence.gives_way(9, 10, false, start + Duration::from_secs(40)));
    }

    #[test]
    fn an_answer_that_was_overtaken_takes_nothing_back() {
        let now = Instant::now();
        let mut fence = Fence::default();
        fence.raise(10);
        fence.raise(11);
        assert!(!fence.gives_way(9, 10, true, now));
        assert_eq!(fence.number(), 11);
    }

    #[test]
    fn a_block_may_be_dated_ahead_a_little() {
        for (time, fits) in [(0, true), (1_000, true), (4_600, true), (4_601, false)] {
            assert_eq!(check_time(time, 1_000).is_ok(), fits, "{time}");
        }
        assert!(check_time(i64::MAX, i64::MAX).is_ok());
    }

    #[test]
    fn time_goes_back_only_when_nobody_tells_of_the_newest_for_long() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        // Seconds, and the time that is told of then → the time that is believed in.
        for (told, believed) in [
            (&[(0, 10), (29, 9)][..], 10),
            (&[(0, 10), (100, 9)], 10),
            (&[(0, 10), (100, 9), (129, 9)], 10),
            (&[(0, 10), (100, 9), (130, 8)], 9),
            (&[(0, 10), (100, 9), (120, 10), (130, 9)], 10),
            (&[(0, 10), (100, 9), (130, 9), (131, 11)], 11),
        ] {
            let mut fence = Fence::default();
            for (second, time) in told {
                fence.hear_time(*time, at(*second));
            }
            assert_eq!(fence.time(), believed, "{told:?}");
        }
    }

    #[test]
    fn a_shorter_chain_is_believed_before_its_time_is() {
        let now = Instant::now();
        let mut fence = Fence::default();
        fence.hear(&head(10), now);
        fence.raise(10);
        fence.hear(&head(9), now);
        assert!(fence.gives_way(9, 10, true, now));
        assert_eq!(fence.time(), 10);
    }
}
