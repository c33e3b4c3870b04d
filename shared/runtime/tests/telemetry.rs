//! Every log line, whatever is logged, is one JSON object of the agreed shape.
#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the test")]

use std::error::Error;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use runtime::Clock;
use runtime::telemetry::JsonLayer;
use serde_json::{Value, json};
use tracing_subscriber::layer::SubscriberExt;

/// 2026-03-01T12:00:07.412Z.
const NOW_MS: i64 = 1_772_366_407_412;

/// What every line must be like.
const SHAPE: &str = include_str!("../../../docs/log-line.schema.json");

/// Collects what is written; each write must be one whole line.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<String>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().push(String::from_utf8(bytes.to_vec()).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs `log` and gives its lines, each checked to be one line and valid.
fn lines(log: impl FnOnce()) -> Vec<Value> {
    let captured = Captured::default();
    let writer = captured.clone();
    let layer = JsonLayer::new("ingress", Clock::fixed(NOW_MS), move || writer.clone());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
    let written = captured.0.lock().unwrap().clone();
    written.iter().map(|line| checked(line)).collect()
}

fn line(log: impl FnOnce()) -> Value {
    let mut all = lines(log);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn checked(line: &str) -> Value {
    assert_eq!(line.find('\n'), Some(line.len() - 1), "one line: {line:?}");
    let value: Value = serde_json::from_str(line).unwrap();
    let shape: Value = serde_json::from_str(SHAPE).unwrap();
    let shape = jsonschema::draft202012::options().should_validate_formats(true).build(&shape);
    if let Err(error) = shape.unwrap().validate(&value) {
        panic!("{error}: {line}");
    }
    value
}

#[test]
fn a_line_has_the_agreed_shape() {
    let line = line(|| {
        let span = tracing::info_span!(
            "request",
            trace_id = "4bf92f3577b34da6a3ce929d0e0e4736",
            span_id = "00f067aa0ba902b7",
            request_id = "req_0af7651916cd43dd8448eb211c80319c",
        );
        let _entered = span.enter();
        tracing::info!(target: "access", user_id = "0x857b", duration_ms = 3_u64, "request");
    });
    assert_eq!(
        line,
        json!({
            "timestamp": "2026-03-01T12:00:07.412Z",
            "level": "info",
            "message": "request",
            "service": "ingress",
            "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
            "spanId": "00f067aa0ba902b7",
            "userId": "0x857b",
            "metadata": {
                "target": "access", "request_id": "req_0af7651916cd43dd8448eb211c80319c", "duration_ms": 3
            },
        })
    );
}

#[test]
fn each_level_has_one_of_four_names() {
    let lines = lines(|| {
        tracing::trace!("t");
        tracing::debug!("d");
        tracing::info!("i");
        tracing::warn!("w");
        tracing::error!("e");
    });
    let levels: Vec<_> = lines.iter().map(|line| line["level"].as_str().unwrap()).collect();
    assert_eq!(levels, ["debug", "debug", "info", "warn", "error"]);
}

#[test]
fn an_inner_field_wins_over_an_outer_one() {
    let line = line(|| {
        let outer = tracing::info_span!("outer", depth = 1, outer_only = true);
        let _outer = outer.enter();
        let inner = tracing::info_span!("inner", depth = 2);
        let _inner = inner.enter();
        tracing::info!(depth = 3, "here");
    });
    assert_eq!(
        (&line["metadata"]["depth"], &line["metadata"]["outer_only"]),
        (&json!(3), &json!(true))
    );
}

#[test]
fn a_field_that_is_filled_in_later_is_logged() {
    let line = line(|| {
        let span = tracing::info_span!("request", user_id = tracing::field::Empty);
        span.record("user_id", "0x857b");
        let _entered = span.enter();
        tracing::info!("here");
    });
    assert_eq!(line["userId"], "0x857b");
}

#[derive(Debug, thiserror::Error)]
enum Sample {
    #[error("the outer failure")]
    Outer { secret: &'static str, source: io::Error },
}

#[test]
fn an_error_is_told_by_name_message_and_causes_but_not_by_its_fields() {
    let line = line(|| {
        let error = Sample::Outer { secret: "hunter2", source: io::Error::other("the cause") };
        tracing::error!(error = &error as &dyn Error, "failed");
    });
    assert_eq!(
        line["error"],
        json!({"name": "Outer", "message": "the outer failure", "stack": "caused by: the cause"})
    );
    assert!(!line.to_string().contains("hunter2"));
}

#[test]
fn an_error_in_words_is_told_as_message() {
    let line = line(|| tracing::warn!(error = %"refused", "failed"));
    assert_eq!(line["error"], json!({"name": "Error", "message": "refused"}));
}

#[test]
fn numbers_that_json_cannot_hold_are_written_as_text() {
    let line =
        line(|| tracing::info!(nan = f64::NAN, big = u128::MAX, infinite = f64::INFINITY, "odd"));
    let metadata = &line["metadata"];
    assert_eq!(metadata["nan"], "NaN");
    assert_eq!(metadata["infinite"], "inf");
    assert_eq!(metadata["big"], u128::MAX.to_string());
}

#[test]
fn a_huge_field_is_cut() {
    let line = line(|| tracing::info!(huge = "é".repeat(1_000_000), "big"));
    let kept = line["metadata"]["huge"].as_str().unwrap();
    assert!(kept.ends_with("…(cut)") && kept.len() < 9_000, "{}", kept.len());
}

#[test]
fn many_huge_fields_cost_the_metadata_and_not_the_line() {
    let big = "x".repeat(8_000);
    let line = line(|| {
        let big = big.as_str();
        let outer = tracing::info_span!("outer", a = big, b = big, c = big, d = big, e = big);
        let _outer = outer.enter();
        tracing::info!(f = big, g = big, h = big, i = big, "big");
    });
    assert_eq!(line["metadata"], json!({"target": "telemetry", "metadata_cut": true}));
}

#[test]
fn a_value_that_panics_nothing_and_hides_a_line_break_stays_on_one_line() {
    let line =
        line(|| tracing::info!(hostile = "a\n{\"level\":\"error\"}\r\u{0}\u{1b}[31m", "x\ny"));
    assert_eq!(line["message"], "x\ny");
    assert_eq!(line["metadata"]["hostile"], "a\n{\"level\":\"error\"}\r\u{0}\u{1b}[31m");
}

#[test]
fn a_panic_is_logged_with_its_place() {
    std::panic::set_hook(Box::new(runtime::telemetry::log_panic));
    let line = line(|| {
        std::panic::catch_unwind(|| panic!("at the {}", "disco")).unwrap_err();
    });
    assert_eq!(
        (line["error"]["name"].as_str(), line["error"]["message"].as_str()),
        (Some("panic"), Some("at the disco"))
    );
    assert!(line["error"]["stack"].as_str().unwrap().contains("telemetry.rs:"), "{line}");
}

#[test]
fn a_malformed_level_is_refused() {
    let refusal = runtime::telemetry::init("test", "quittance=loud").unwrap_err();
    assert!(refusal.to_string().starts_with("log.level: "), "{refusal}");
}

proptest! {
    #[test]
    fn any_text_makes_a_valid_line_and_comes_back_unchanged(message in "\\PC{0,200}|[\\x00-\\x7f]{0,200}", field: String) {
        let line = line(|| tracing::info!(field = field.as_str(), debug = ?field, "{message}"));
        prop_assert_eq!(line["message"].as_str(), Some(message.as_str()));
        prop_assert_eq!(line["metadata"]["field"].as_str(), Some(field.as_str()));
    }
}
