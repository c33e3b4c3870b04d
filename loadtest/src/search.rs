//! Looking for the highest rate that holds.

/// Doubles until a rate does not hold, then halves the gap.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search {
    next: u64,
    held: Option<u64>,
    failed: Option<u64>,
}

impl Search {
    /// Begins with this rate.
    pub(crate) const fn from(rate: u64) -> Self {
        Self { next: rate, held: None, failed: None }
    }

    /// The rate to try now; `None` when the highest that holds is known within a tenth.
    pub(crate) fn next(&self) -> Option<u64> {
        match (self.held, self.failed) {
            (Some(held), Some(failed)) if failed.saturating_sub(held) <= held.max(10) / 10 => None,
            // So little that nothing holds.
            (None, Some(failed)) if failed <= 1 => None,
            _ => Some(self.next),
        }
    }

    /// Notes what became of the rate that was tried.
    pub(crate) fn note(&mut self, holds: bool) {
        match holds {
            true => self.held = Some(self.next),
            false => self.failed = Some(self.next),
        }
        self.next = match (self.held, self.failed) {
            (Some(held), Some(failed)) => held.midpoint(failed),
            (Some(held), None) => held.saturating_mul(2),
            (None, _) => self.next / 2,
        };
    }

    /// The highest rate that held, if any did.
    pub(crate) const fn held(&self) -> Option<u64> {
        self.held
    }

    /// Gives up a rate that did not hold for longer, for one a tenth below it.
    pub(crate) fn lower(rate: u64) -> u64 {
        rate - rate / 10
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(from: u64, limit: u64) -> (Option<u64>, usize) {
        let (mut search, mut tries) = (Search::from(from), 0);
        while let Some(rate) = search.next() {
            search.note(rate <= limit);
            tries += 1;
        }
        (search.held(), tries)
    }

    #[test]
    fn the_highest_rate_that_holds_is_found_within_a_tenth() {
        for (from, limit) in
            [(1_000, 8_300), (1_000, 999), (1_000, 1_000), (500, 1_620), (1_000, 3)]
        {
            let (held, tries) = search(from, limit);
            let held = held.unwrap();
            assert!(held <= limit && limit - held <= limit / 9, "{held} of {limit}");
            assert!(tries < 16, "{tries} tries for {limit}");
        }
    }

    #[test]
    fn where_nothing_holds_nothing_is_found() {
        assert_eq!(search(1_000, 0).0, None);
    }
}
