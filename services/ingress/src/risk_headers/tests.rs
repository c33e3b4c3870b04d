use axum::http::{HeaderName, HeaderValue};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use domain::{Mandate, RequestTrace};
use proptest::prelude::*;
use serde_json::json;

use super::*;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const SESSION: &str = "0d7a9c52-0c3e-4a1f-8a5b-3f1f0a2b4c6d";
const TRACE: &str = "6f1c0e1a-8d3b-11ee-9f6e-2b1a7c9d0e11";
const OTHER_TRACE: &str = "9b2d6a40-5f1e-4c77-b0c3-8e4d2f6a1b35";
const HASH: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";

fn headers(values: &[(&str, &[u8])]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in values {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_bytes(value).unwrap());
    }
    headers
}

fn read_of(values: &[(&str, &str)]) -> Result<RiskContext, Problem> {
    let values: Vec<_> = values.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    read(&headers(&values))
}

/// The code of the field error with which this is refused, and where it is.
fn refused(name: &str, values: &[&[u8]]) -> Option<(String, String)> {
    let values: Vec<_> = values.iter().map(|value| (name, *value)).collect();
    let problem = read(&headers(&values)).err()?;
    assert_eq!(problem.code(), ProblemCode::InvalidRiskHeader);
    let [field] = problem.errors() else { panic!("one field is wrong: {problem:?}") };
    Some((field.pointer.clone(), field.code.to_string()))
}

fn state_naming(trace: &str) -> String {
    BASE64_STANDARD.encode(json!({"tid": trace}).to_string()).replace('=', "%3D")
}

#[test]
fn without_the_headers_nothing_is_handed_over() {
    assert_eq!(read_of(&[]), Ok(RiskContext::default()));
    assert_eq!(
        read_of(&[("x-payment", "e30="), ("traceparent", PARENT)]),
        Ok(RiskContext::default())
    );
}

#[test]
fn all_that_is_handed_over_is_read() {
    let secure = format!("w3c.v1;tp={PARENT};ts=a%3Db");
    let evidence = format!("evd.v1;mr=m/1;ms={HASH};mt=application/json;sz=42");
    let read = read_of(&[
        ("x-payment-secure", &secure),
        ("x-risk-session", SESSION),
        ("x-risk-trace", TRACE),
        ("x-ap2-evidence", &evidence),
    ]);
    let expected = RiskContext {
        session: Some(SESSION.parse().unwrap()),
        trace: Some(TRACE.parse().unwrap()),
        request: Some(RequestTrace { parent: PARENT.to_owned(), state: Some("a=b".to_owned()) }),
        mandate: Some(Mandate {
            reference: "m/1".to_owned(),
            sha256_b64url: HASH.to_owned(),
            mime: "application/json".to_owned(),
            size: 42,
        }),
    };
    assert_eq!(read, Ok(expected));
}

#[test]
fn the_trace_is_the_headers_and_otherwise_the_tracestates() {
    let secure = |state: &str| format!("w3c.v1;tp={PARENT};ts={state}");
    let trace = |values: &[(&str, &str)]| read_of(values).unwrap().trace;
    let naming = secure(&state_naming(TRACE));
    let [trace_named, other] = [TRACE, OTHER_TRACE].map(|id| Some(id.parse().unwrap()));
    assert_eq!(trace(&[("x-payment-secure", &naming)]), trace_named);
    assert_eq!(trace(&[("x-payment-secure", &naming), ("x-risk-trace", OTHER_TRACE)]), other);
    assert_eq!(trace(&[("x-payment-secure", &secure("rojo%3D1"))]), None);
}

#[test]
fn a_header_that_is_not_well_formed_is_named() {
    let twice = [SESSION.as_bytes(), OTHER_TRACE.as_bytes()];
    let padded = format!("{SESSION} ");
    let later = SESSION.replacen("-4a1f", "-7a1f", 1);
    let foreign = SESSION.replacen("-8a5b", "-ca5b", 1);
    let simple = SESSION.replace('-', "");
    let braced = format!("{{{SESSION}}}");
    for (name, code) in
        [("X-RISK-SESSION", "risk_session_invalid"), ("X-RISK-TRACE", "risk_trace_invalid")]
    {
        for values in [
            &twice[..],
            &[&b""[..]],
            &[&b"session"[..]],
            &[padded.as_bytes()],
            &[later.as_bytes()],
            &[foreign.as_bytes()],
            &[simple.as_bytes()],
            &[braced.as_bytes()],
            &[&b"00000000-0000-0000-0000-000000000000"[..]],
            &["é".repeat(18).as_bytes()],
            &[[0xff; 36].as_slice()],
            &["0".repeat(60_000).as_bytes()],
        ] {
            let expected = (format!("/headers/{name}"), code.to_owned());
            assert_eq!(refused(name, values), Some(expected), "{name}: {values:?}");
        }
        assert_eq!(refused(name, &[SESSION.as_bytes(); 2]), None);
        assert_eq!(refused(name, &[SESSION.to_uppercase().as_bytes()]), None);
    }
}

#[test]
fn a_header_may_be_as_long_as_it_may() {
    let secure = |total: usize| {
        let head = format!("w3c.v1;tp={PARENT};ts=");
        format!("{head}{}", "s".repeat(total - head.len()))
    };
    let evidence = |total: usize| {
        let tail = format!(";ms={HASH};mt=a/b;sz=1");
        format!("evd.v1;mr={}{tail}", "r".repeat(total - "evd.v1;mr=".len() - tail.len()))
    };
    for (name, code, fits, too_long) in [
        ("X-PAYMENT-SECURE", "trace_header_invalid", secure(4_096), secure(4_097)),
        ("X-AP2-EVIDENCE", "evidence_header_invalid", evidence(2_048), evidence(2_049)),
    ] {
        assert_eq!(refused(name, &[fits.as_bytes()]), None, "{name}");
        let expected = (format!("/headers/{name}"), code.to_owned());
        assert_eq!(refused(name, &[too_long.as_bytes()]), Some(expected), "{name}");
    }
}

#[test]
fn no_refusal_repeats_what_was_sent() {
    for name in ["x-payment-secure", "x-risk-session", "x-risk-trace", "x-ap2-evidence"] {
        let problem = read_of(&[(name, "w3c.v1;tp=hunter2")]).unwrap_err();
        assert!(!format!("{problem:?}").contains("hunter2"), "{problem:?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_and_what_is_taken_can_be_stored(
        name in prop_oneof![
            Just("x-payment-secure"), Just("x-risk-session"), Just("x-risk-trace"),
            Just("x-ap2-evidence"),
        ],
        bytes in proptest::collection::vec(prop_oneof![Just(b'\t'), 32_u8..=126, 128_u8..], 0..200),
        tail in "(;ts=(%[0-9a-fA-F]{2}){0,40})?",
    ) {
        let secure = format!("w3c.v1;tp={PARENT}{tail}");
        read(&headers(&[(name, &bytes)])).ok();
        if let Ok(context) = read(&headers(&[("x-payment-secure", secure.as_bytes())])) {
            let state = context.request.unwrap().state.unwrap_or_default();
            prop_assert!(!state.contains('\0') && state.chars().count() <= 4_096);
        }
    }
}
