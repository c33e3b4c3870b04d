//! What is logged and measured of a request.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use runtime::http::SlowByDesign;
use runtime::telemetry::JsonLayer;
use runtime::{Clock, Problem, ProblemCode};
use serde_json::Value;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt;

use crate::server::{Answer, Server};

/// The log of the thread that a test runs on.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn capture() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let layer = JsonLayer::new("test", Clock::fixed(0), move || writer.clone());
        let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
        (log, guard)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn access_lines(&self) -> Vec<Value> {
        let text = self.text();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["metadata"]["target"] == "access").collect()
    }
}

fn router() -> Router {
    Router::new()
        .route("/v1/payments/{id}", get(|| async { "fine" }))
        .route("/v1/payments", post(|| async { Problem::new(ProblemCode::InvalidSignature) }))
        .route("/panic", get(|| async { panic!("at the disco") as StatusCode }))
        .route("/slow", get(slowly))
        .route(
            "/poll",
            get(|| async { (axum::Extension(SlowByDesign), slowly().await).into_response() }),
        )
}

/// Takes longer than a request should; by the clock that the log looks at.
async fn slowly() -> &'static str {
    tokio::task::spawn_blocking(|| {
        let (_keep, never) = std::sync::mpsc::channel::<()>();
        never.recv_timeout(std::time::Duration::from_millis(1_050)).unwrap_err();
    })
    .await
    .unwrap();
    "at last"
}

/// Asks and gives the answer with its one access line.
async fn observe(line: &str, headers: &str) -> (Answer, Value, String) {
    let (log, _guard) = Log::capture();
    let answer = Server::start(router()).await.ask(line, headers).await;
    let mut lines = log.access_lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    (answer, lines.remove(0), log.text())
}

#[tokio::test]
async fn a_request_leaves_one_line_with_its_route_and_no_query() {
    let (answer, line, log) = observe("GET /v1/payments/pay_1?token=hunter2", "").await;
    let metadata = &line["metadata"];
    assert_eq!(metadata["route"], "/v1/payments/{id}");
    assert_eq!(
        (metadata["method"].as_str(), metadata["status"].as_u64()),
        (Some("GET"), Some(200))
    );
    assert!(metadata["duration_ms"].is_u64(), "{line}");
    assert_eq!(metadata["request_id"].as_str(), answer.header("x-request-id"));
    assert!(!log.contains("hunter2"), "{log}");
}

#[tokio::test]
async fn headers_and_bodies_are_not_logged() {
    let headers = "authorization: Bearer hunter2\r\nx-payment: hunter3\r\ncontent-length: 0\r\n";
    let (_, _, log) = observe("POST /v1/payments", headers).await;
    assert!(!log.contains("hunter"), "{log}");
}

#[tokio::test]
async fn the_clients_id_and_trace_are_logged_beside_ours() {
    let headers = "x-request-id: mine\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";
    let (_, line, _) = observe("GET /v1/payments/pay_1", headers).await;
    assert_eq!(line["metadata"]["client_request_id"], "mine");
    assert_eq!(line["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_ne!(line["spanId"], "00f067aa0ba902b7");
}

#[tokio::test]
async fn an_overlong_id_of_a_client_is_not_logged() {
    let headers = format!("x-request-id: {}\r\n", "x".repeat(129));
    let (_, line, _) = observe("GET /v1/payments/pay_1", &headers).await;
    assert_eq!(line["metadata"].get("client_request_id"), None);
}

#[tokio::test]
async fn an_unknown_path_is_logged_without_the_path() {
    let (_, line, log) = observe("GET /hunter2", "").await;
    assert_eq!(
        (&line["metadata"]["route"], &line["metadata"]["status"]),
        (&"unmatched".into(), &404.into())
    );
    assert!(!log.contains("hunter2"), "{log}");
}

#[tokio::test]
async fn a_panic_is_logged_as_an_error() {
    let (_, line, _) = observe("GET /panic", "").await;
    assert_eq!(
        (line["level"].as_str(), line["metadata"]["status"].as_u64()),
        (Some("error"), Some(500))
    );
}

#[tokio::test]
async fn a_slow_request_is_warned_of() {
    let (_, line, _) = observe("GET /slow", "").await;
    assert_eq!(
        (line["level"].as_str(), line["message"].as_str()),
        (Some("warn"), Some("slow request"))
    );
}

#[tokio::test]
async fn a_long_poll_is_not_warned_of() {
    let (_, line, _) = observe("GET /poll", "").await;
    assert_eq!(line["level"], "info");
}

#[tokio::test]
async fn a_request_is_measured_by_route_method_and_status() {
    let metrics = runtime::metrics::install().unwrap();
    let server = Server::start(router()).await;
    server.ask("GET /v1/payments/pay_1", "").await;
    server.ask("BREW /v1/payments/pay_1", "").await;
    let text = metrics.render();
    let counted = r#"http_request_duration_seconds_count{route="/v1/payments/{id}",method="GET",status="200"}"#;
    assert!(text.contains(counted), "{text}");
    let odd = r#"http_request_duration_seconds_count{route="/v1/payments/{id}",method="OTHER",status="405"}"#;
    assert!(text.contains(odd), "{text}");
}

#[tokio::test]
async fn what_a_client_does_wrong_is_a_result_and_what_we_do_wrong_a_failure() {
    let metrics = runtime::metrics::install().unwrap();
    let server = Server::start(router()).await;
    server.ask("POST /v1/payments", "").await;
    server.ask("GET /panic", "").await;
    let text = metrics.render();
    let failed = |route: &str, method: &str| {
        let series = format!(r#"http_requests_failed_total{{route="{route}",method="{method}"}} "#);
        let line = text.lines().find_map(|line| line.strip_prefix(&series));
        line.unwrap_or_else(|| panic!("no {series} in {text}")).parse::<u64>().unwrap()
    };
    assert_eq!(failed("/v1/payments", "POST"), 0);
    assert!(failed("/panic", "GET") >= 1, "{text}");
    let refused = r#"http_requests_total{route="/v1/payments",method="POST",status="422"} "#;
    assert!(text.contains(refused), "{text}");
}

#[tokio::test]
async fn a_request_that_waits_on_purpose_is_no_slow_one() {
    let metrics = runtime::metrics::install().unwrap();
    let server = Server::start(router()).await;
    server.ask("GET /poll", "").await;
    let text = metrics.render();
    let labels = r#"{route="/poll",method="GET",status="200"}"#;
    assert!(text.contains(&format!("http_wait_duration_seconds_count{labels}")), "{text}");
    assert!(!text.contains(&format!("http_request_duration_seconds_count{labels}")), "{text}");
}

#[tokio::test]
async fn a_denial_is_a_security_event_of_its_kind() {
    let metrics = runtime::metrics::install().unwrap();
    let deny = || async { Problem::new(ProblemCode::KeyRevoked) };
    let server = Server::start(Router::new().route("/mine", get(deny))).await;
    server.ask("GET /mine", "").await;
    let text = metrics.render();
    for series in [
        r#"security_events_total{kind="key_revoked"} "#,
        r#"auth_failures_total{reason="key_revoked"} "#,
    ] {
        let count = text.lines().find_map(|line| line.strip_prefix(series)).unwrap();
        assert_eq!(count, "1", "{series}");
    }
    assert!(text.contains(r#"security_events_total{kind="pay_to_not_yours"} 0"#), "{text}");
}

#[tokio::test]
async fn a_request_names_the_wallet_that_it_is_about() {
    let (log, _guard) = Log::capture();
    let note = || async { runtime::http::note_user(&"0x857b") };
    let server = Server::start(Router::new().route("/mine", get(note))).await;
    server.ask("GET /mine", "").await;
    assert_eq!(log.access_lines()[0]["userId"], "0x857b");
}
