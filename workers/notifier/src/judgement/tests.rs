//! The table of outcomes.

use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_unix_secs(1_772_366_408);

/// In the middle: the schedule's own delays, to within a millisecond.
const NO_JITTER: u16 = u16::MAX / 2;

const HOUR: Duration = Duration::from_secs(3600);

fn answered(status: u16) -> Met {
    Met::Answer(Answer { status, wish: None, retry_after: None })
}

fn wishing(status: u16, wish: Wish) -> Met {
    Met::Answer(Answer { status, wish: Some(wish), retry_after: None })
}

fn asking(status: u16, pause: Duration) -> Met {
    Met::Answer(Answer { status, wish: None, retry_after: Some(pause) })
}

/// `outcome / what becomes of the delivery / whether the endpoint is disabled`.
fn row(met: Met, failures: u32) -> String {
    let Judgement { outcome, next, disable } = judge(met, failures, NOW, NO_JITTER);
    let next = match next {
        DeliveryNext::Delivered => "done".to_owned(),
        DeliveryNext::Aborted => "aborted".to_owned(),
        DeliveryNext::Exhausted => "exhausted".to_owned(),
        DeliveryNext::RetryAt(at) => {
            let ms = at.unix_ms() - NOW.unix_ms();
            format!("in {} s", (ms + 500).div_euclid(1000))
        }
    };
    let endpoint = if disable.is_some() { " / disabled" } else { "" };
    format!("{} / {next}{endpoint}", outcome.as_str())
}

#[test]
fn every_outcome_of_a_first_attempt_has_its_consequence() {
    for (met, expected) in [
        (answered(200), "delivered / done"),
        (answered(202), "delivered / done"),
        (answered(204), "delivered / done"),
        (answered(299), "delivered / done"),
        (answered(301), "redirected / in 5 s"),
        (answered(304), "redirected / in 5 s"),
        (answered(307), "redirected / in 5 s"),
        (answered(400), "refused / in 5 s"),
        (answered(401), "refused / in 5 s"),
        (answered(404), "refused / in 5 s"),
        (answered(500), "refused / in 5 s"),
        (answered(501), "refused / in 5 s"),
        (answered(199), "refused / in 5 s"),
        (answered(999), "refused / in 5 s"),
        (answered(410), "gone / in 5 s / disabled"),
        (wishing(500, Wish::Disable), "gone / in 5 s / disabled"),
        (wishing(302, Wish::Disable), "gone / in 5 s / disabled"),
        (wishing(200, Wish::Disable), "delivered / done / disabled"),
        (wishing(400, Wish::AbortMessage), "aborted / aborted"),
        (wishing(503, Wish::AbortMessage), "aborted / aborted"),
        (wishing(200, Wish::AbortMessage), "delivered / done"),
        (wishing(410, Wish::AbortMessage), "gone / in 5 s / disabled"),
        (answered(429), "overloaded / in 60 s"),
        (answered(502), "overloaded / in 60 s"),
        (answered(503), "overloaded / in 60 s"),
        (answered(504), "overloaded / in 60 s"),
        (Met::Timeout, "timeout / in 60 s"),
        (Met::NoAnswer, "unreachable / in 5 s"),
        (Met::BlockedAddress, "egress_blocked / in 5 s"),
    ] {
        assert_eq!(row(met, 1), expected, "{met:?}");
    }
}

#[test]
fn an_overloaded_receiver_is_left_alone_for_as_long_as_it_asks_within_limits() {
    for (met, failures, expected) in [
        (asking(429, HOUR), 1, "overloaded / in 3600 s"),
        (asking(503, 1000 * HOUR), 1, "overloaded / in 86400 s"),
        (asking(503, Duration::from_secs(1)), 1, "overloaded / in 60 s"),
        (asking(503, HOUR), 7, "overloaded / in 18000 s"),
        // Nothing else is told when to come back.
        (asking(500, HOUR), 1, "refused / in 5 s"),
        (asking(302, HOUR), 1, "redirected / in 5 s"),
    ] {
        assert_eq!(row(met, failures), expected, "{met:?}");
    }
}

#[test]
fn retries_follow_the_schedule_to_its_end() {
    let delays: Vec<String> = (1..=12).map(|failures| row(answered(500), failures)).collect();
    let seconds = [5, 30, 120, 600, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400];
    let mut expected: Vec<String> = seconds.iter().map(|s| format!("refused / in {s} s")).collect();
    expected.push("refused / exhausted".to_owned());
    assert_eq!(delays, expected);
}

#[test]
fn the_last_attempt_is_the_last_whatever_it_met() {
    for (met, expected) in [
        (Met::Timeout, "timeout / exhausted"),
        (asking(429, HOUR), "overloaded / exhausted"),
        (answered(410), "gone / exhausted / disabled"),
        (answered(200), "delivered / done"),
        (wishing(400, Wish::AbortMessage), "aborted / aborted"),
    ] {
        assert_eq!(row(met, 12), expected, "{met:?}");
    }
}

#[test]
fn only_known_wishes_are_heard() {
    assert_eq!(Wish::parse("disable"), Some(Wish::Disable));
    assert_eq!(Wish::parse(" Abort-Message "), Some(Wish::AbortMessage));
    for text in ["", "Disable me", "abort", "enable"] {
        assert_eq!(Wish::parse(text), None, "{text:?}");
    }
}

proptest! {
    #[test]
    fn no_attempt_is_followed_by_another_at_once(status: u16, failures: u32, jitter: u16) {
        if let DeliveryNext::RetryAt(at) = judge(answered(status), failures, NOW, jitter).next {
            prop_assert!(at >= NOW.plus(Duration::from_secs(4)));
            prop_assert!(failures < 12);
        }
    }
}
