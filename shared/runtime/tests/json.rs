//! What senders of unfit bodies are told.
#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the test")]

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;
use futures::StreamExt;
use runtime::{JsonBody, Problem, ProblemCode};
use serde::Deserialize;
use serde_json::Value;
use tower::ServiceExt;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "only its shape matters")]
struct Settle {
    x402_version: u32,
    payment_payload: Payload,
    #[serde(default)]
    tags: Vec<u8>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its shape matters")]
struct Payload {
    payload: Exact,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its shape matters")]
struct Exact {
    signature: String,
    #[serde(rename = "a/b~c", default)]
    odd: u8,
}

fn problem(body: &str) -> Problem {
    runtime::json::parse::<Settle>(body.as_bytes()).unwrap_err()
}

/// Code, pointer and detail of the one field error.
fn field(body: &str) -> (String, String, String) {
    let problem = problem(body);
    assert_eq!(problem.code(), ProblemCode::InvalidRequest);
    let [field] = problem.errors() else { panic!("{problem:?}") };
    (field.code.to_string(), field.pointer.clone(), field.detail.to_string())
}

fn with_payload(payload: &str) -> String {
    format!(r#"{{"x402Version": 2, "paymentPayload": {{"payload": {payload}}}}}"#)
}

#[test]
fn a_missing_field_is_pointed_at() {
    let (code, pointer, _) = field(&with_payload("{}"));
    assert_eq!((code.as_str(), pointer.as_str()), ("missing", "/paymentPayload/payload/signature"));
}

#[test]
fn an_unknown_field_is_pointed_at() {
    let (code, pointer, _) = field(&with_payload(r#"{"signature": "", "signatur": ""}"#));
    assert_eq!(
        (code.as_str(), pointer.as_str()),
        ("unknown_field", "/paymentPayload/payload/signatur")
    );
}

#[test]
fn a_field_that_is_given_twice_is_pointed_at() {
    let (code, pointer, _) = field(&with_payload(r#"{"signature": "a", "signature": "b"}"#));
    assert_eq!(
        (code.as_str(), pointer.as_str()),
        ("duplicate_field", "/paymentPayload/payload/signature")
    );
}

#[test]
fn a_wrong_type_is_pointed_at_and_its_value_is_not_repeated() {
    let (code, pointer, detail) = field(r#"{"x402Version": "0xsecret"}"#);
    assert_eq!((code.as_str(), pointer.as_str()), ("wrong_type", "/x402Version"));
    assert_eq!(detail, "must be u32, not string");
}

#[test]
fn a_wrong_element_is_pointed_at_by_its_index() {
    let body = r#"{"x402Version": 2, "tags": [1, 2, -3]}"#;
    assert_eq!(field(body).1, "/tags/2");
}

#[test]
fn odd_keys_are_escaped_in_pointers() {
    let (_, pointer, _) = field(&with_payload(r#"{"signature": "", "a/b~c": "x"}"#));
    assert_eq!(pointer, "/paymentPayload/payload/a~1b~0c");
}

#[test]
fn a_body_of_the_wrong_type_is_the_empty_pointer() {
    assert_eq!(field("[]").1, "");
    assert_eq!(field("7").1, "");
}

#[test]
fn json_that_breaks_off_is_told_with_its_place() {
    let problem = problem("{\n  \"x402Version\": ");
    assert_eq!(problem.code(), ProblemCode::MalformedJson);
    let shown = format!("{problem:?}");
    assert!(shown.contains("line 2, column 17"), "{shown}");
}

#[test]
fn nothing_may_follow_the_value() {
    let body = with_payload(r#"{"signature": ""}"#) + "{}";
    assert_eq!(problem(&body).code(), ProblemCode::MalformedJson);
}

#[test]
fn a_list_of_an_objects_fields_is_not_the_object() {
    let (code, pointer, _) = field(r#" [2, {"payload": {"signature": ""}}, []]"#);
    assert_eq!((code.as_str(), pointer.as_str()), ("wrong_type", ""));
}

#[test]
fn json_that_is_nested_without_end_is_malformed() {
    let deep = "[".repeat(100_000);
    let error = runtime::json::parse::<Value>(deep.as_bytes()).unwrap_err();
    assert_eq!(error.code(), ProblemCode::MalformedJson);
}

const LIMIT: usize = 64;

async fn status_of(request: Request) -> StatusCode {
    let router = Router::new()
        .route("/", post(|JsonBody(_): JsonBody<Value>| async { StatusCode::ACCEPTED }))
        .layer(DefaultBodyLimit::max(LIMIT));
    router.oneshot(request).await.unwrap().status()
}

fn request(content_type: &str, body: impl Into<Body>) -> Request {
    Request::post("/").header(CONTENT_TYPE, content_type).body(body.into()).unwrap()
}

#[tokio::test]
async fn json_is_read_whatever_its_parameters() {
    for content_type in
        ["application/json", "Application/JSON; charset=utf-8", "application/x402+json"]
    {
        assert_eq!(
            status_of(request(content_type, "{}")).await,
            StatusCode::ACCEPTED,
            "{content_type}"
        );
    }
}

#[tokio::test]
async fn a_body_that_is_not_declared_as_json_is_not_read() {
    for content_type in ["text/plain", "application/jsonx", ""] {
        let status = status_of(request(content_type, "{}")).await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{content_type}");
    }
    let undeclared = Request::post("/").body(Body::from("{}")).unwrap();
    assert_eq!(status_of(undeclared).await, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn a_body_of_the_limits_length_is_read_and_one_byte_more_is_not() {
    let fits = format!("\"{}\"", "x".repeat(LIMIT - 2));
    assert_eq!(status_of(request("application/json", fits.clone())).await, StatusCode::ACCEPTED);
    let status = status_of(request("application/json", fits + " ")).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_body_of_unknown_length_is_cut_off_at_the_limit() {
    let endless = futures::stream::repeat(Ok::<_, std::convert::Infallible>("xxxxxxxx"));
    let body = Body::from_stream(endless);
    assert_eq!(status_of(request("application/json", body)).await, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up() {
    let begins = futures::stream::iter([Ok::<_, std::io::Error>("{")]);
    let body = Body::from_stream(begins.chain(futures::stream::pending()));
    assert_eq!(status_of(request("application/json", body)).await, StatusCode::REQUEST_TIMEOUT);
}
