//! Deliveries whose bell was rung a moment ago.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use domain::DeliveryId;

/// How long a delivery is not rung for again, while it stays due and nobody attempts it.
const QUIET: Duration = Duration::from_secs(5);

/// How many are remembered; more are not rung for until some are forgotten.
const CAPACITY: usize = 10_000;

/// What was rung for lately, oldest first. Looking for due deliveries does not put them off, so
/// without this each of them would be rung for in every round until somebody claims it.
#[derive(Debug, Default)]
pub(crate) struct Rung {
    deliveries: VecDeque<(Instant, DeliveryId)>,
}

impl Rung {
    /// Forgets what was rung for too long ago.
    pub(crate) fn forget_old(&mut self, now: Instant) {
        let old = |at: Instant| now.saturating_duration_since(at) >= QUIET;
        while self.deliveries.front().is_some_and(|(at, _)| old(*at)) {
            self.deliveries.pop_front();
        }
    }

    /// For how many more there is room.
    pub(crate) fn room(&self) -> usize {
        CAPACITY.saturating_sub(self.deliveries.len())
    }

    /// Remembers these.
    pub(crate) fn remember(&mut self, deliveries: &[DeliveryId], now: Instant) {
        self.deliveries.extend(deliveries.iter().map(|id| (now, *id)));
    }

    /// All that are remembered.
    pub(crate) fn deliveries(&self) -> Vec<DeliveryId> {
        self.deliveries.iter().map(|(_, id)| *id).collect()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_was_rung_for_is_remembered_for_a_while() {
        let (mut rung, begun) = (Rung::default(), Instant::now());
        let [early, late] = [1, 2].map(|bits| DeliveryId::new(Uuid::from_u128(bits)));
        rung.remember(&[early], begun);
        rung.remember(&[late], begun + QUIET / 2);
        rung.forget_old(begun + QUIET);
        assert_eq!(rung.deliveries(), [late]);
        assert_eq!(rung.room(), CAPACITY - 1);
    }
}
