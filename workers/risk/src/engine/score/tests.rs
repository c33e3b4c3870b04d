use domain::risk_engine::RiskDecision::{Allow, Deny, Review};
use proptest::prelude::*;
use serde_json::json;

use domain::RiskContext;

use super::super::case_for_tests::{TRACE, case, context, payment};
use super::*;

const BANDS: Bands = Bands { review: 0.8, deny: 0.9 };

fn scored(score: &str) -> Result<RiskDecision, NoDecision> {
    let body = format!(r#"{{"risk_score": {score}, "factors": [], "evidence_id": "e-1"}}"#);
    read(body.as_bytes(), payment().id, BANDS).map(|answer| answer.decision)
}

#[test]
fn a_payment_is_described_as_the_protocol_says() {
    let payment = payment();
    let asked =
        |case: &Case<'_>| -> Value { serde_json::from_slice(&question(case).unwrap()).unwrap() };
    let nothing = RiskContext::default();
    let little = case(&payment, &nothing);
    assert_eq!(
        asked(&little),
        json!({
            "session_id": null, "trace_id": null, "amount": "10000",
            "merchant": "0x7070707070707070707070707070707070707070",
        })
    );
    let context = RiskContext { trace: Some(TRACE), ..context() };
    let much = Case { resource: Some("https://a.example"), ..case(&payment, &context) };
    assert_eq!(
        asked(&much),
        json!({
            "session_id": "00000000-0000-0000-0000-000000000011",
            "trace_id": "00000000-0000-0000-0000-000000000012",
            "amount": "10000", "merchant": "https://a.example",
        })
    );
}

#[test]
fn scores_on_one_page() {
    for (score, decision) in [
        ("0", Some(Allow)),
        ("0.0", Some(Allow)),
        ("-0.0", Some(Allow)),
        ("0.79", Some(Allow)),
        ("0.7999999999", Some(Allow)),
        ("0.8", Some(Review)),
        ("0.89", Some(Review)),
        ("0.9", Some(Deny)),
        ("1", Some(Deny)),
        ("1.0000001", None),
        ("1.5", None),
        ("-1", None),
        ("-0.01", None),
        ("1e400", None),
        ("NaN", None),
        ("Infinity", None),
        ("null", None),
        ("\"0.1\"", None),
        ("[0.1]", None),
        ("true", None),
    ] {
        assert_eq!(scored(score), decision.ok_or(NoDecision::Unreadable), "{score}");
    }
}

#[test]
fn an_answer_without_a_score_a_factor_list_or_an_evidence_is_no_decision() {
    for answer in [
        json!({"factors": [], "evidence_id": "e-1"}),
        json!({"risk_score": 0.1, "evidence_id": "e-1"}),
        json!({"risk_score": 0.1, "factors": []}),
        json!({"risk_score": 0.1, "factors": {}, "evidence_id": "e-1"}),
        json!({"risk_score": 0.1, "factors": [], "evidence_id": ""}),
        json!([0.1, [], "e-1"]),
    ] {
        let read = read(answer.to_string().as_bytes(), payment().id, BANDS);
        assert_eq!(read, Err(NoDecision::Unreadable), "{answer}");
    }
}

#[test]
fn a_score_of_another_payment_is_none_of_this_one() {
    let answer = json!({
        "risk_score": 0.1, "factors": [], "evidence_id": "e-1",
        "payment_id": "pay_00000000000000000000000002",
    });
    let read = read(answer.to_string().as_bytes(), payment().id, BANDS);
    assert_eq!(read, Err(NoDecision::OtherPayment));
}

proptest! {
    #[test]
    fn a_higher_score_is_never_judged_more_kindly(one in 0.0..=1.0_f64, other in 0.0..=1.0_f64) {
        let rank = |score| match BANDS.judge(score) {
            Some((Allow, _)) => 0,
            Some((Review, _)) => 1,
            Some((Deny, _)) => 2,
            None => 3,
        };
        let (low, high) = if one < other { (one, other) } else { (other, one) };
        prop_assert!(rank(low) <= rank(high) && rank(high) < 3);
    }

    #[test]
    fn only_what_is_below_both_bounds_is_allowed(score in prop::num::f64::ANY) {
        let allowed = matches!(BANDS.judge(score), Some((Allow, _)));
        prop_assert_eq!(allowed, (0.0..0.8).contains(&score));
    }
}
