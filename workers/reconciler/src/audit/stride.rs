//! How many blocks are asked for at once.

/// The most at once; what many providers allow.
const MOST: u64 = 1_000;

/// So many good answers in a row, and more is asked for again.
const GOOD_ANSWERS: u32 = 4;

/// An answer with more logs than this was large enough; what is held in memory rests on it.
const MANY_LOGS: usize = 10_000;

/// Halved when a node refuses, doubled when it answers well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stride {
    blocks: u64,
    good: u32,
}

impl Stride {
    pub(super) const fn new() -> Self {
        Self { blocks: MOST, good: 0 }
    }

    /// The last block of a stretch that begins at `from` and does not go beyond `last`.
    pub(super) fn end(self, from: u64, last: u64) -> u64 {
        from.saturating_add(self.blocks.saturating_sub(1)).min(last)
    }

    /// The node refused so many blocks; false when it refused a single one.
    pub(super) fn halve(&mut self, refused: u64) -> bool {
        self.good = 0;
        self.blocks = (refused / 2).max(1);
        refused > 1
    }

    /// The node answered with so many logs.
    pub(super) fn answered(&mut self, logs: usize) {
        if logs > MANY_LOGS {
            self.halve(self.blocks);
            return;
        }
        self.good = self.good.saturating_add(1);
        if self.good >= GOOD_ANSWERS {
            self.good = 0;
            self.blocks = self.blocks.saturating_mul(2).min(MOST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_ends_where_it_must() {
        for (from, last, end) in
            [(0, 10, 10), (0, 5_000, 999), (7, 7, 7), (u64::MAX, u64::MAX, u64::MAX)]
        {
            assert_eq!(Stride::new().end(from, last), end, "{from} {last}");
        }
    }

    #[test]
    fn what_is_refused_is_halved_down_to_one_block() {
        let mut stride = Stride::new();
        let (mut refused, mut refusals) = (MOST, 0);
        while stride.halve(refused) {
            refused = stride.end(0, MOST) + 1;
            refusals += 1;
        }
        assert_eq!((stride.end(5, 100), refusals), (5, 9));
    }

    #[test]
    fn after_some_good_answers_more_is_asked_for_again_and_never_too_much() {
        let mut stride = Stride::new();
        stride.halve(100);
        for expected in [50, 50, 50, 100, 100, 100, 100, 200] {
            stride.answered(10);
            assert_eq!(stride.blocks, expected);
        }
        (0..100).for_each(|_| stride.answered(0));
        assert_eq!(stride.blocks, MOST);
    }

    #[test]
    fn an_answer_that_is_large_is_not_asked_for_again() {
        let mut stride = Stride::new();
        stride.answered(MANY_LOGS + 1);
        assert_eq!(stride.blocks, MOST / 2);
    }
}
