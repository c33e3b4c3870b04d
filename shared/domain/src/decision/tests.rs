use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{B256, Per, TokenLimit, TransferMethod, Velocity};

const NOW: Timestamp = Timestamp::from_unix_secs(1_772_366_400);

fn authorization(payer: u8, amount: u64) -> Authorization {
    Authorization {
        method: TransferMethod::Eip3009,
        chain: ChainId::new(1).unwrap(),
        asset: Address::repeat_byte(7),
        payer: Address::repeat_byte(payer),
        pay_to: Address::repeat_byte(9),
        amount: Amount::from(amount),
        valid_after: 0,
        valid_before: 1_000,
        nonce: B256::repeat_byte(4),
    }
}

fn bounded(daily: u64, per: Per) -> Policy {
    let limit = TokenLimit {
        network: ChainId::new(1).unwrap(),
        asset: Address::repeat_byte(7),
        per,
        max_per_payment: None,
        daily: Some(Amount::from(daily)),
        monthly: None,
        approve_above: None,
    };
    Policy { limits: vec![limit], ..Policy::default() }
}

fn case<'a>(authorization: &'a Authorization, policy: &'a Policy, balance: u64) -> Case<'a> {
    Case {
        account: AccountId::new(Uuid::nil()),
        authorization,
        control: Control::Free,
        host: None,
        balance: Amount::from(balance),
        policy,
        reserved: false,
        approved_by_hand: false,
        engine: EngineWord::NotAsked,
        decide_by: NOW.plus(Duration::from_secs(900)),
    }
}

fn is_allowed(decision: &Decision) -> bool {
    matches!(decision, Decision::Allow(_))
}

#[test]
fn two_payments_that_do_not_fit_together_are_not_both_allowed() {
    let (policy, authorization) = (Policy::default(), authorization(1, 60));
    let cases = [case(&authorization, &policy, 100); 2];
    let decisions = decide(&cases, &mut Taken::default(), NOW);
    assert!(is_allowed(&decisions[0]));
    assert_eq!(decisions[1], Decision::Wait(WaitingFor::Purse));
}

#[test]
fn a_budget_is_exhausted_by_payments_and_not_by_those_that_are_denied() {
    let policy = bounded(100, Per::Account);
    let amounts = [60, 50, 40, 1];
    let signed: Vec<_> = amounts.iter().map(|amount| authorization(1, *amount)).collect();
    let cases: Vec<_> = signed.iter().map(|signed| case(signed, &policy, 1_000)).collect();
    let decisions = decide(&cases, &mut Taken::default(), NOW);
    let allowed: Vec<bool> = decisions.iter().map(is_allowed).collect();
    assert_eq!(allowed, [true, false, true, false]);
    assert_eq!(decisions[1], Decision::Deny(PolicyReason::DailyBudgetExceeded));
}

#[test]
fn operators_come_before_everybody() {
    let policy = bounded(0, Per::Account);
    let signed = authorization(1, 60);
    let decided = |control| {
        let case = Case { control, approved_by_hand: true, ..case(&signed, &policy, 0) };
        decide(&[case], &mut Taken::default(), NOW).remove(0)
    };
    let denied = Control::Denied(PolicyReason::PayerBlocked);
    assert_eq!(decided(denied), Decision::Deny(PolicyReason::PayerBlocked));
    assert_eq!(decided(Control::Paused), Decision::Wait(WaitingFor::Operator));
}

#[test]
fn budgets_of_payers_are_counted_apart() {
    let policy = bounded(100, Per::Payer);
    let signed = [authorization(1, 100), authorization(2, 100), authorization(1, 1)];
    let cases = signed.each_ref().map(|signed| case(signed, &policy, 1_000));
    let decisions = decide(&cases, &mut Taken::default(), NOW);
    assert_eq!(decisions.iter().map(is_allowed).collect::<Vec<_>>(), [true, true, false]);
}

#[test]
fn who_pays_too_often_is_denied_until_the_next_window() {
    let velocity = vec![Velocity { payments: 1, window_seconds: 60 }];
    let policy = Policy { velocity, ..Policy::default() };
    let signed = authorization(1, 1);
    let cases = [case(&signed, &policy, 1_000); 2];
    let mut taken = Taken::default();
    let decisions = decide(&cases, &mut taken, NOW);
    assert_eq!(decisions[1], Decision::Deny(PolicyReason::VelocityExceeded));
    let later = NOW.plus(Duration::from_secs(60));
    assert!(is_allowed(&decide(&cases[..1], &mut taken, later)[0]));
}

#[test]
fn what_somebody_has_decided_on_takes_its_budget_up_and_is_not_asked_again() {
    let mut policy = bounded(100, Per::Account);
    policy.limits[0].approve_above = Some(Amount::from(10));
    let signed = authorization(1, 60);
    let case = case(&signed, &policy, 1_000);
    let mut taken = Taken::default();
    let held = decide(&[case], &mut taken, NOW).remove(0);
    assert!(matches!(held, Decision::Review(PolicyReason::ApprovalRequired, _)));
    let by_hand = Case { approved_by_hand: true, ..case };
    let decisions = decide(&[by_hand, by_hand], &mut taken, NOW);
    assert!(is_allowed(&decisions[0]));
    assert_eq!(decisions[1], Decision::Deny(PolicyReason::DailyBudgetExceeded));
}

#[test]
fn a_payment_that_is_decided_on_again_takes_nothing_up_again() {
    let policy = bounded(100, Per::Account);
    let signed = authorization(1, 60);
    let again = Case { reserved: true, ..case(&signed, &policy, 1_000) };
    let mut taken = Taken::default();
    let budget = case(&signed, &policy, 1_000).budgets(NOW)[0].0;
    taken.budgets.insert(budget, Amount::from(60));
    assert_eq!(decide(&[again], &mut taken, NOW), [Decision::Allow(Vec::new())]);
}

#[test]
fn an_engine_is_asked_only_about_what_nothing_else_speaks_against() {
    let policy = bounded(50, Per::Account);
    let (fits, much) = (authorization(1, 50), authorization(1, 51));
    let asked =
        |signed, balance| Case { engine: EngineWord::AskNow, ..case(signed, &policy, balance) };
    let decided = |case| decide(&[case], &mut Taken::default(), NOW).remove(0);
    assert_eq!(decided(asked(&fits, 50)), Decision::Ask);
    assert_eq!(decided(asked(&fits, 49)), Decision::Wait(WaitingFor::Purse));
    let denied = Decision::Deny(PolicyReason::DailyBudgetExceeded);
    assert_eq!(decided(asked(&much, 51)), denied);
}

#[test]
fn what_an_engine_says_is_carried_out() {
    use EngineWord::{AskLater, NotAsked, Said, SessionMissing, Silent};
    use RiskDecision::{Allow, Deny, Review};
    let lenient = Policy::default();
    let strict = Policy { on_engine_failure: OnEngineFailure::Reject, ..Policy::default() };
    let until = NOW.plus(Duration::from_secs(900));
    let denied = |reason| Decision::Deny(reason);
    let held = |reason| Decision::Review(reason, until);
    let allowed = || Decision::Allow(Vec::new());
    let wait = || Decision::Wait(WaitingFor::Engine);
    for (policy, engine, alone, by_hand) in [
        (&lenient, NotAsked, allowed(), allowed()),
        (&lenient, Said(Allow), allowed(), allowed()),
        (&lenient, Said(Review), held(PolicyReason::EngineReview), allowed()),
        (
            &lenient,
            Said(Deny),
            denied(PolicyReason::EngineDenied),
            denied(PolicyReason::EngineDenied),
        ),
        (&lenient, AskLater, wait(), wait()),
        (&lenient, Silent, held(PolicyReason::EngineSilent), allowed()),
        (&strict, Silent, denied(PolicyReason::EngineSilent), denied(PolicyReason::EngineSilent)),
        (
            &lenient,
            SessionMissing,
            denied(PolicyReason::SessionRequired),
            denied(PolicyReason::SessionRequired),
        ),
    ] {
        let signed = authorization(1, 1);
        let alone_case = Case { engine, ..case(&signed, policy, 1) };
        let by_hand_case = Case { approved_by_hand: true, ..alone_case };
        let decided = |case| decide(&[case], &mut Taken::default(), NOW).remove(0);
        assert_eq!(decided(alone_case), alone, "{engine:?}");
        assert_eq!(decided(by_hand_case), by_hand, "{engine:?}");
    }
}

#[test]
fn nobody_has_to_decide_before_the_engine_has_been_asked() {
    use EngineWord::{AskLater, AskNow, NotAsked, Said, Silent};
    use RiskDecision::{Allow, Deny, Review};
    let mut policy = bounded(100, Per::Account);
    policy.limits[0].approve_above = Some(Amount::from(10));
    let signed = authorization(1, 60);
    let held = || {
        let until = NOW.plus(Duration::from_secs(900));
        Decision::Review(PolicyReason::ApprovalRequired, until)
    };
    for (engine, expected) in [
        (NotAsked, held()),
        (AskNow, Decision::Ask),
        (AskLater, Decision::Wait(WaitingFor::Engine)),
        (Said(Allow), held()),
        (Said(Review), held()),
        (Said(Deny), Decision::Deny(PolicyReason::EngineDenied)),
        (Silent, held()),
    ] {
        let case = Case { engine, ..case(&signed, &policy, 60) };
        assert_eq!(decide(&[case], &mut Taken::default(), NOW), [expected], "{engine:?}");
    }
}

#[test]
fn somebody_has_no_longer_to_decide_than_the_payment_can_be_settled() {
    let mut policy = bounded(100, Per::Account);
    policy.limits[0].approve_above = Some(Amount::from(10));
    let signed = authorization(1, 60);
    let decide_by = NOW.plus(Duration::from_secs(45));
    let soon = Case { decide_by, ..case(&signed, &policy, 60) };
    let decided = decide(&[soon], &mut Taken::default(), NOW).remove(0);
    assert_eq!(decided, Decision::Review(PolicyReason::ApprovalRequired, decide_by));
}

proptest! {
    #[test]
    fn no_order_of_payments_takes_up_more_than_there_is(
        amounts in prop::collection::vec((1u8..4, 0u64..200), 1..40),
        balance in 0u64..1_000,
        daily in 0u64..1_000,
    ) {
        let policy = bounded(daily, Per::Account);
        let signed: Vec<_> =
            amounts.iter().map(|(payer, amount)| authorization(*payer, *amount)).collect();
        let cases: Vec<_> = signed.iter().map(|one| case(one, &policy, balance)).collect();
        let decisions = decide(&cases, &mut Taken::default(), NOW);
        let allowed = || decisions.iter().zip(&amounts).filter(|(it, _)| is_allowed(it));
        prop_assert!(allowed().map(|(_, (_, amount))| amount).sum::<u64>() <= daily);
        for payer in 1..4 {
            let own = allowed().filter(|(_, (who, _))| *who == payer);
            prop_assert!(own.map(|(_, (_, amount))| amount).sum::<u64>() <= balance);
        }
    }
}
