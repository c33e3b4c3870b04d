use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE};
use proptest::prelude::*;
use serde_json::json;

use super::*;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE: &str = "6f1c0e1a-8d3b-4d35-9f6e-2b1a7c9d0e11";

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The state that is read of this `ts`.
fn state_of(ts: &str) -> Result<String, Malformed> {
    parse(&format!("w3c.v1;tp={PARENT};ts={ts}")).map(|request| request.state.unwrap())
}

#[test]
fn a_trace_context_is_read_as_it_came() {
    let read = parse(&format!("w3c.v1;tp={PARENT}"));
    assert_eq!(read, Ok(RequestTrace { parent: PARENT.to_owned(), state: None }));
    let read = parse(&format!("w3c.v1;ts=a%3Db;tp={PARENT}"));
    assert_eq!(read, Ok(RequestTrace { parent: PARENT.to_owned(), state: Some("a=b".to_owned()) }));
    // Flags that nobody knows yet are the next one's business.
    let flagged = PARENT.replacen("-01", "-fb", 1);
    assert_eq!(parse(&format!("w3c.v1;tp={flagged}")).unwrap().parent, flagged);
}

#[test]
fn what_is_no_trace_context_is_refused() {
    let no_parent = Malformed::Value("its tp is not a traceparent of version 00");
    let (id, span) = ("4b".repeat(16), "0f".repeat(8));
    for (tp, why) in [
        (format!("00-{}-{span}-01", id.to_uppercase()), no_parent),
        (format!("00-{id}-{}-01", span.to_uppercase()), no_parent),
        (format!("00-{}-{span}-01", "0".repeat(32)), no_parent),
        (format!("00-{id}-{}-01", "0".repeat(16)), no_parent),
        (format!("01-{id}-{span}-01"), no_parent),
        (format!("ff-{id}-{span}-01"), no_parent),
        (format!("00-{id}-{span}-01-more"), no_parent),
        (format!("00-{id}-{span}-1"), no_parent),
        (format!("00-{id}-{span}"), no_parent),
        (format!("00{id}{span}01"), no_parent),
        (format!("00-{id}-{span}-0g"), no_parent),
        ("00".to_owned(), no_parent),
        (format!("{PARENT};tp={PARENT}"), Malformed::RepeatedKey),
        (format!("{PARENT};id=1"), Malformed::UnknownKey),
    ] {
        assert_eq!(parse(&format!("w3c.v1;tp={tp}")), Err(why), "{tp}");
    }
    assert_eq!(parse("w3c.v1;ts=a"), Err(Malformed::Missing("tp")));
    assert_eq!(parse(PARENT), Err(Malformed::Version));
}

#[test]
fn a_state_is_url_encoded_text() {
    for (ts, state) in [
        ("a%3Db", "a=b"),
        ("a=b", "a=b"),
        ("a+b%2Bc%2bd", "a+b+c+d"),
        ("a%3bts%3Db", "a;ts=b"),
        ("%2525", "%25"),
        ("Zo%C3%AB", "Zoë"),
        ("%20", " "),
    ] {
        assert_eq!(state_of(ts), Ok(state.to_owned()), "{ts}");
    }
    let undecodable = Malformed::Value("its ts is not url-encoded text without control characters");
    for ts in [
        "%",
        "a%",
        "%4",
        "%4g",
        "%%20",
        "%+4",
        "%00",
        "a%0Ab",
        "%1b",
        "%7F",
        "%C2%85",
        "%ff",
        "%C3",
        "%C0%80",
        "%ED%A0%80",
    ] {
        assert_eq!(state_of(ts), Err(undecodable), "{ts}");
    }
}

#[test]
fn a_trace_is_found_in_a_state_that_names_one() {
    for told in [
        json!({"tid": TRACE}),
        json!({"tid": TRACE.to_uppercase()}),
        json!({"sid": 1, "tid": TRACE, "more": [{}]}),
        json!({"tid": TRACE, "note": "???>>>"}),
    ] {
        for engine in [BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE] {
            let state = engine.encode(told.to_string());
            assert_eq!(trace_in(&state), Some(TRACE.parse().unwrap()), "{told}");
        }
    }
}

#[test]
fn any_other_state_names_no_trace() {
    for told in [
        json!({}),
        json!({"tid": null}),
        json!({"tid": [TRACE]}),
        json!({"tid": TRACE.replace('-', "")}),
        json!({"tid": format!("urn:uuid:{TRACE}")}),
        json!({"tid": "it"}),
        json!({"in": {"tid": TRACE}}),
        json!([TRACE]),
        json!(json!({"tid": TRACE}).to_string()),
    ] {
        assert_eq!(trace_in(&BASE64_STANDARD.encode(told.to_string())), None, "{told}");
    }
    let deep = BASE64_STANDARD.encode("[".repeat(3_000));
    for state in ["", "rojo=00f067aa0ba902b7", TRACE, "e30", "====", "Zoë", "\u{0}", &deep] {
        assert_eq!(trace_in(state), None, "{state:?}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        parent in "00-[0-9a-f]{31}[1-9a-f]-[0-9a-f]{15}[1-9a-f]-[0-9a-f]{2}",
        state in proptest::option::of("\\PC{1,60}"),
    ) {
        let ts = state.as_deref().map_or_else(String::new, |it| format!(";ts={}", encoded(it)));
        let read = parse(&format!("w3c.v1;tp={parent}{ts}"));
        prop_assert_eq!(read, Ok(RequestTrace { parent, state }));
    }

    #[test]
    fn whatever_is_accepted_reads_the_same_once_it_is_written_anew(
        text in "w3c\\.v1(;(tp=00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}|ts=([ -~]|%[0-9a-fA-F]{2}){0,20}|.{0,9})){0,3}",
    ) {
        if let Ok(read) = parse(&text) {
            let ts = read.state.as_deref().map_or_else(String::new, |it| format!(";ts={}", encoded(it)));
            prop_assert_eq!(parse(&format!("w3c.v1;tp={}{ts}", read.parent)), Ok(read));
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC*", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        parse(&text).ok();
        parse(&format!("w3c.v1;tp={PARENT};ts={text}")).ok();
        trace_in(&text);
        trace_in(&BASE64_STANDARD.encode(bytes));
    }
}
