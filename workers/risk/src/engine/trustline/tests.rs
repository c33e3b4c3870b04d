use std::time::Duration;

use proptest::prelude::*;

use domain::RiskContext;

use super::super::case_for_tests::{TRACE, case, context, payment};
use super::*;

fn asked(case: &Case<'_>) -> Value {
    serde_json::from_slice(&question(case).unwrap()).unwrap()
}

fn told(answer: &Value) -> Result<Answer, NoDecision> {
    read(answer.to_string().as_bytes(), payment().id)
}

/// A good answer with this member in place of its own.
fn with(member: &str, value: Value) -> Value {
    let mut answer = json!({"decision": "allow", "decision_id": "d-1"});
    answer[member] = value;
    answer
}

#[test]
fn a_payment_is_described_as_the_protocol_says() {
    let payment = payment();
    assert_eq!(
        asked(&case(&payment, &context())),
        json!({
            "sid": "00000000-0000-0000-0000-000000000011",
            "trace_context": {"tp": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
            "payment": {
                "protocol": "x402:exact",
                "version": null,
                "network": "eip155:84532",
                "payload": {"authorization": {
                    "from": "0x0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f",
                    "to": "0x7070707070707070707070707070707070707070",
                    "value": "10000",
                    "validAfter": "5",
                    "validBefore": "6000",
                    "nonce": "0x0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c",
                }},
                "headers": null,
                "extra": {
                    "payment_id": "pay_00000000000000000000000001",
                    "asset": "0xa5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5",
                    "resource": null,
                },
            },
        })
    );
}

#[test]
fn what_came_with_the_payment_goes_along() {
    let payment = payment();
    let mandate = Mandate {
        reference: "m-1".to_owned(),
        sha256_b64url: "x".to_owned(),
        mime: "application/json".to_owned(),
        size: 7,
    };
    let request = RequestTrace { parent: "00-1-2-01".to_owned(), state: Some("a=b".to_owned()) };
    let context = RiskContext {
        trace: Some(TRACE),
        request: Some(request),
        mandate: Some(mandate),
        ..context()
    };
    let asked = asked(&Case { x402_version: Some(2), ..case(&payment, &context) });
    assert_eq!(asked["tid"], "00000000-0000-0000-0000-000000000012");
    assert_eq!(asked["trace_context"], json!({"tp": "00-1-2-01", "ts": "a=b"}));
    assert_eq!(asked["payment"]["version"], 2);
    let mandate =
        json!({"ref": "m-1", "sha256_b64url": "x", "mime": "application/json", "size": 7});
    assert_eq!(asked["mandate"], mandate);
}

#[test]
fn without_a_session_or_a_trace_context_nobody_is_asked() {
    let payment = payment();
    let sessionless = RiskContext { session: None, ..context() };
    assert_eq!(question(&case(&payment, &sessionless)), Err(NoDecision::NoSession));
    let contextless = RiskContext { request: None, ..context() };
    assert_eq!(question(&case(&payment, &contextless)), Err(NoDecision::NoTraceContext));
}

#[test]
fn an_answer_is_read_with_all_that_it_says() {
    let answer = json!({
        "decision": "deny", "decision_id": "d-9", "reasons": ["velocity", "wallet"],
        "ttl_seconds": 60, "used_mandate": true, "warnings": ["slow"], "risk_level": "high",
        "extra": {"model": 7}, "unheard_of": [],
    });
    let expected = Answer {
        decision: RiskDecision::Deny,
        decision_id: "d-9".to_owned(),
        level: RiskLevel::High,
        reasons: vec!["velocity".to_owned(), "wallet".to_owned()],
        valid_for: Duration::from_secs(60),
    };
    assert_eq!(told(&answer), Ok(expected));
}

#[test]
fn an_answer_that_says_little_has_the_usual_rest() {
    let answer = told(&json!({"decision": "allow", "decision_id": "d-1"})).unwrap();
    assert_eq!((answer.level, answer.valid_for), (RiskLevel::Low, Duration::from_secs(300)));
    let long = told(&with("ttl_seconds", json!(u64::MAX))).unwrap();
    assert_eq!(long.valid_for, Duration::from_secs(3_600));
}

#[test]
fn review_is_never_an_allowance_and_neither_is_a_word_that_nobody_knows() {
    use RiskDecision::{Allow, Deny, Review};
    for (word, expected) in [
        ("allow", Allow),
        ("ALLOW", Allow),
        ("approve", Allow),
        ("approved", Allow),
        ("accept", Allow),
        ("accepted", Allow),
        ("deny", Deny),
        ("reject", Deny),
        ("decline", Deny),
        ("block", Deny),
        ("review", Review),
        ("", Review),
        ("allowed?", Review),
        ("disallow", Review),
        ("аllow", Review),
    ] {
        assert_eq!(told(&with("decision", json!(word))).unwrap().decision, expected, "{word:?}");
    }
}

#[test]
fn a_malformed_answer_is_no_decision() {
    for answer in [
        with("decision", Value::Null),
        with("decision", json!(true)),
        with("decision", json!(["allow"])),
        with("decision_id", Value::Null),
        with("decision_id", json!(7)),
        with("decision_id", json!(" ")),
        with("decision_id", json!("x".repeat(257))),
        with("reasons", json!("none")),
        with("reasons", json!([1])),
        with("ttl_seconds", json!(-1)),
        with("ttl_seconds", json!(1.5)),
        with("ttl_seconds", json!("300")),
        with("ttl_seconds", json!(0)),
        with("used_mandate", json!("no")),
        with("warnings", json!({})),
        with("risk_level", json!("none")),
        with("extra", json!([])),
        json!({"decision": "allow"}),
        json!({"decision_id": "d-1"}),
        json!({}),
        json!(["allow", "d-1"]),
        json!("allow"),
        Value::Null,
    ] {
        assert_eq!(told(&answer), Err(NoDecision::Unreadable), "{answer}");
    }
    for body in [
        "",
        "allow",
        "{\"decision\":\"allow\",\"decision_id\":\"d\"",
        "{\"decision\":\"allow\",\"decision_id\":\"d\"} trailing",
        "{\"decision\":\"deny\",\"decision\":\"allow\",\"decision_id\":\"d\"}",
        "{\"decision\":\"allow\",\"decision_id\":\"d\",\"ttl_seconds\":NaN}",
        "\u{feff}{\"decision\":\"allow\",\"decision_id\":\"d\"}",
    ] {
        assert_eq!(read(body.as_bytes(), payment().id), Err(NoDecision::Unreadable), "{body}");
    }
}

#[test]
fn a_decision_on_another_payment_is_none_on_this_one() {
    let (this, other) = (payment().id.to_string(), "pay_00000000000000000000000002");
    assert!(told(&with("payment_id", json!(this))).is_ok());
    assert!(told(&with("extra", json!({"payment_id": this}))).is_ok());
    for answer in [
        with("payment_id", json!(other)),
        with("payment_id", json!(1)),
        with("extra", json!({"payment_id": other})),
    ] {
        assert_eq!(told(&answer), Err(NoDecision::OtherPayment), "{answer}");
    }
}

proptest! {
    #[test]
    fn no_bytes_at_all_are_an_allowance_that_does_not_say_so(
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let decision = read(&body, payment().id).map(|answer| answer.decision);
        prop_assert_ne!(decision, Ok(RiskDecision::Allow));
    }

    #[test]
    fn only_five_words_allow(word in "\\PC{0,12}") {
        let allowed = ["allow", "approve", "approved", "accept", "accepted"]
            .contains(&word.trim().to_ascii_lowercase().as_str());
        prop_assert_eq!(decision(&word) == RiskDecision::Allow, allowed);
    }
}
