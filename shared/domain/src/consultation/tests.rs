use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_unix_secs(1_000);
const LATER: Timestamp = Timestamp::from_unix_secs(1_001);
const TRUSTLINE: Consulting = Consulting { engine: EngineKind::Trustline, session_required: false };

fn occasion() -> Occasion {
    Occasion { session_demanded: false, patience: LATER, now: NOW }
}

fn asked(progress: Progress) -> Consultation {
    Consultation { has_session: true, progress }
}

fn answered(decision: RiskDecision, valid_until: Timestamp) -> Consultation {
    let answer = EngineAnswer {
        decision,
        decision_id: "d-1".to_owned(),
        level: decision.level(),
        reasons: Vec::new(),
        valid_until,
    };
    asked(Progress::Answered(answer))
}

#[test]
fn what_an_engine_says_on_one_page() {
    use RiskDecision::{Allow, Deny, Review};
    let open = |ask_at| asked(Progress::Open { tries: 1, ask_at });
    let late = Occasion { patience: NOW, ..occasion() };
    for (consultation, occasion, word) in [
        (asked(Progress::Unasked), occasion(), EngineWord::AskNow),
        (asked(Progress::Unasked), late, EngineWord::Silent),
        (open(NOW), occasion(), EngineWord::AskNow),
        (open(LATER), occasion(), EngineWord::AskLater),
        (open(LATER), late, EngineWord::Silent),
        (asked(Progress::Undecided), occasion(), EngineWord::Silent),
        (answered(Allow, LATER), occasion(), EngineWord::Said(Allow)),
        (answered(Allow, LATER), late, EngineWord::Said(Allow)),
        (answered(Allow, NOW), occasion(), EngineWord::AskNow),
        (answered(Allow, NOW), late, EngineWord::Silent),
        (answered(Deny, LATER), occasion(), EngineWord::Said(Deny)),
        (answered(Deny, NOW), occasion(), EngineWord::Said(Deny)),
        (answered(Deny, NOW), late, EngineWord::Said(Deny)),
        (answered(Review, LATER), occasion(), EngineWord::Said(Review)),
        (answered(Review, NOW), occasion(), EngineWord::Said(Review)),
        (answered(Review, NOW), late, EngineWord::Said(Review)),
    ] {
        assert_eq!(consultation.word(&TRUSTLINE, occasion), word, "{consultation:?} {occasion:?}");
    }
}

#[test]
fn a_payment_without_a_session_is_asked_about_only_where_that_can_be_done() {
    let without = Consultation::default();
    let demanding = Occasion { session_demanded: true, ..occasion() };
    for (engine, session_required, occasion, word) in [
        (EngineKind::Local, false, occasion(), EngineWord::NotAsked),
        (EngineKind::Trustline, false, occasion(), EngineWord::NotAsked),
        (EngineKind::Score, false, occasion(), EngineWord::AskNow),
        (EngineKind::Trustline, true, occasion(), EngineWord::SessionMissing),
        (EngineKind::Score, true, occasion(), EngineWord::SessionMissing),
        (EngineKind::Local, false, demanding, EngineWord::SessionMissing),
        (EngineKind::Score, false, demanding, EngineWord::SessionMissing),
    ] {
        let consulting = Consulting { engine, session_required };
        assert_eq!(without.word(&consulting, occasion), word, "{consulting:?}");
    }
}

#[test]
fn an_engine_is_waited_for_until_thirty_seconds_before_it_is_too_late_or_half_the_time() {
    let at = Timestamp::from_unix_secs;
    assert_eq!(patience(at(0), at(300)), at(270));
    assert_eq!(patience(at(0), at(60)), at(30));
    assert_eq!(patience(at(0), at(20)), at(10));
    assert_eq!(patience(at(20), at(0)), at(0));
}

proptest! {
    #[test]
    fn nothing_but_an_allowance_that_holds_is_one(
        tries in 0u32..9,
        ask_at in 990i64..1_010,
        valid_until in 990i64..1_010,
        kind in 0usize..6,
        patience in 990i64..1_010,
    ) {
        let valid_until = Timestamp::from_unix_secs(valid_until);
        let consultation = match kind {
            0 => asked(Progress::Unasked),
            1 => asked(Progress::Open { tries, ask_at: Timestamp::from_unix_secs(ask_at) }),
            2 => asked(Progress::Undecided),
            3 => answered(RiskDecision::Allow, valid_until),
            4 => answered(RiskDecision::Deny, valid_until),
            _ => answered(RiskDecision::Review, valid_until),
        };
        let occasion = Occasion {
            patience: Timestamp::from_unix_secs(patience),
            ..occasion()
        };
        let allowed = consultation.word(&TRUSTLINE, occasion) == EngineWord::Said(RiskDecision::Allow);
        prop_assert_eq!(allowed, kind == 3 && NOW < valid_until);
    }
}
