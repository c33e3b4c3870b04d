//! When an engine that has not decided is asked again.

use std::time::Duration;

use domain::{Payment, PaymentId, Timestamp};

use super::{NoDecision, Outcome};

/// So many tries a payment has.
const MAX_TRIES: u32 = 3;

/// The shortest and the longest time between two tries, in milliseconds.
const SHORTEST_MS: u64 = 4_000;
const LONGEST_MS: u64 = 10_000;

/// While nobody may ask, an old payment is looked at more seldom than a new one, and at least so often:
/// the engine may be away for an hour, with thousands waiting for it.
const SELDOM: Duration = Duration::from_secs(60);

/// What follows when an engine has not decided about a payment, after `tries` that failed before.
pub(super) fn after(why: NoDecision, payment: &Payment, tries: u32, now: Timestamp) -> Outcome {
    // Nobody was asked, so that this was no try.
    let is_try = !matches!(why, NoDecision::BreakerOpen | NoDecision::Busy);
    let tries = tries.saturating_add(u32::from(is_try));
    if !why.may_pass() || tries >= MAX_TRIES {
        return Outcome::Undecided(why);
    }
    let usual = pause(payment.id, tries);
    let pause = match is_try {
        true => usual,
        false => usual.max(SELDOM.min(now.since(payment.created_at) / 8)),
    };
    Outcome::Again { at: now.plus(pause), tries, why }
}

/// Doubles with each try. Within its bounds it depends on the payment, so that those that failed
/// together do not come back together.
fn pause(payment: PaymentId, tries: u32) -> Duration {
    let least = SHORTEST_MS.saturating_mul(1_u64 << tries.saturating_sub(1).min(8));
    let least = least.min(LONGEST_MS.saturating_sub(SHORTEST_MS / 2));
    let most = least.saturating_mul(2).min(LONGEST_MS);
    let (_, low) = payment.uuid().as_u64_pair();
    let spread = low.rotate_left(tries.wrapping_mul(16)) % (most - least).max(1);
    Duration::from_millis(least.saturating_add(spread))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use runtime::new_uuid;

    use super::super::case_for_tests;
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_000_000);

    fn payment() -> Payment {
        let id = PaymentId::new(new_uuid());
        Payment { id, created_at: NOW, ..case_for_tests::payment() }
    }

    #[test]
    fn a_payment_has_three_tries_4_to_10_seconds_apart() {
        let mut pauses = BTreeSet::new();
        for _ in 0..500 {
            let payment = payment();
            for tries in [0, 1] {
                let outcome = after(NoDecision::Timeout, &payment, tries, NOW);
                let Outcome::Again { at, tries: next, .. } = outcome else { panic!("{outcome:?}") };
                assert_eq!(next, tries + 1);
                let pause = at.since(NOW).as_millis();
                assert!((4_000..=10_000).contains(&pause), "{pause}");
                pauses.insert(pause);
            }
            let last = after(NoDecision::Timeout, &payment, 2, NOW);
            assert_eq!(last, Outcome::Undecided(NoDecision::Timeout));
        }
        assert!(pauses.len() > 400, "they all come back at once: {pauses:?}");
    }

    #[test]
    fn what_was_no_try_takes_none_away() {
        let payment = payment();
        for why in [NoDecision::BreakerOpen, NoDecision::Busy] {
            for tries in 0..3 {
                let outcome = after(why, &payment, tries, NOW);
                assert!(matches!(outcome, Outcome::Again { tries: next, .. } if next == tries));
            }
        }
    }

    #[test]
    fn while_nobody_may_ask_what_has_waited_long_is_looked_at_seldom() {
        let wait = |secs| {
            let created_at = NOW.minus(Duration::from_secs(secs));
            let payment = Payment { created_at, ..payment() };
            match after(NoDecision::BreakerOpen, &payment, 0, NOW) {
                Outcome::Again { at, .. } => at.since(NOW).as_secs(),
                other => panic!("{other:?}"),
            }
        };
        assert!(wait(0) <= 10);
        assert_eq!((wait(160), wait(480), wait(4_000)), (20, 60, 60));
    }

    #[test]
    fn what_asking_again_cannot_change_is_told_at_once() {
        let payment = payment();
        for why in [NoDecision::Status(404), NoDecision::NoSession, NoDecision::NoTraceContext] {
            assert_eq!(after(why, &payment, 0, NOW), Outcome::Undecided(why));
        }
    }
}
