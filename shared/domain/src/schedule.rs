//! When things are looked at again. Every timer is a due time in the ledger.

use std::time::Duration;

use crate::{PaymentState, Timestamp};

/// The longest time a payment that needs attention goes without it.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How long after its last change, or its last bell, a payment is due: when nothing happened by
/// then, its bell is rung again. `rings` counts the bells since the last change.
///
/// `None` for a terminal state: nothing is ever due.
pub fn due_at(state: &PaymentState, rings: u32, now: Timestamp) -> Option<Timestamp> {
    let first = match state {
        PaymentState::Accepted => Duration::from_secs(3),
        PaymentState::Approved { .. } => Duration::from_secs(5),
        PaymentState::Submitted(_) | PaymentState::Confirmed { .. } => Duration::from_secs(15),
        PaymentState::Held { .. } => Duration::from_secs(3),
        PaymentState::Settled { .. }
        | PaymentState::Rejected(_)
        | PaymentState::Canceled
        | PaymentState::Expired
        | PaymentState::Failed(_) => return None,
    };
    let factor = 1u32.checked_shl(rings).unwrap_or(u32::MAX);
    let next = now.plus(first.saturating_mul(factor).min(LONGEST_WAIT));
    match state {
        // Nothing but an operator ends a hold before its time.
        PaymentState::Held { until } => Some(next.max(*until)),
        PaymentState::Accepted
        | PaymentState::Approved { .. }
        | PaymentState::Submitted(_)
        | PaymentState::Confirmed { .. }
        | PaymentState::Settled { .. }
        | PaymentState::Rejected(_)
        | PaymentState::Canceled
        | PaymentState::Expired
        | PaymentState::Failed(_) => Some(next),
    }
}

/// Delays before each delivery attempt after the first, counted from the failure before it.
///
/// The example of the Standard Webhooks specification with a denser first quarter of an hour,
/// because an agent that has paid is waiting. Twelve attempts in about 76 hours.
pub const DELIVERY_DELAYS: [Duration; 11] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(5 * 3600),
    Duration::from_secs(10 * 3600),
    Duration::from_secs(14 * 3600),
    Duration::from_secs(20 * 3600),
    Duration::from_secs(24 * 3600),
];

/// How long to wait after `failures` failed attempts, or `None` when the attempts are used up.
///
/// `jitter` is drawn evenly from all of `u16` and moves the delay by up to a fifth either way, so
/// that the deliveries of one outage do not come back as one burst.
pub fn delivery_delay(failures: u32, jitter: u16) -> Option<Duration> {
    let index = usize::try_from(failures).ok()?.checked_sub(1)?;
    let base = u64::try_from(DELIVERY_DELAYS.get(index)?.as_millis()).ok()?;
    // 80 % plus an even share of 40 %, in parts of 65,535 fifths.
    let parts = 4u64.saturating_mul(u64::from(u16::MAX));
    let share = parts.saturating_add(u64::from(jitter).saturating_mul(2));
    let whole = 5u64.saturating_mul(u64::from(u16::MAX));
    base.saturating_mul(share).checked_div(whole).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_secs(1_000);

    #[test]
    fn an_unanswered_bell_is_rung_again_ever_later_up_to_a_minute() {
        let waits: Vec<i64> = (0..8)
            .filter_map(|rings| due_at(&PaymentState::Accepted, rings, NOW))
            .map(|due| due.unix_secs() - NOW.unix_secs())
            .collect();
        assert_eq!(waits, [3, 6, 12, 24, 48, 60, 60, 60]);
    }

    #[test]
    fn a_terminal_payment_is_never_due() {
        assert_eq!(due_at(&PaymentState::Canceled, 0, NOW), None);
    }

    #[test]
    fn deliveries_are_tried_twelve_times() {
        assert!(delivery_delay(0, 0).is_none());
        assert!((1..=11).all(|failures| delivery_delay(failures, 0).is_some()));
        assert!(delivery_delay(12, 0).is_none());
    }

    proptest! {
        #[test]
        fn jitter_moves_a_delay_by_at_most_a_fifth(failures in 1u32..=11, jitter: u16) {
            let base = DELIVERY_DELAYS[failures as usize - 1];
            let delay = delivery_delay(failures, jitter).unwrap();
            prop_assert!(delay >= base * 4 / 5 && delay <= base * 6 / 5);
        }

        #[test]
        fn any_number_of_bells_has_a_next_one(rings: u32) {
            prop_assert!(due_at(&PaymentState::Accepted, rings, NOW).is_some());
        }
    }
}
