//! The operator's listener: health and metrics.

use std::convert::Infallible;

use runtime::{Health, Shutdown};

use crate::server::Server;

async fn fine() -> Result<(), Infallible> {
    Ok(())
}

async fn start(health: Health) -> Server {
    Server::start(runtime::health::router(health, runtime::metrics::install().unwrap())).await
}

#[tokio::test]
async fn a_process_is_alive_whatever_its_dependencies_are() {
    let server = start(Health::new().check("postgres", || async { Err("refused") })).await;
    assert_eq!(server.ask("GET /healthz", "").await.status, 200);
}

#[tokio::test]
async fn a_ready_process_tells_each_dependency_with_its_latency() {
    let server = start(Health::new().check("postgres", fine).check("redis", fine)).await;
    let answer = server.ask("GET /readyz", "").await;
    let body = answer.json();
    assert_eq!((answer.status, body["status"].as_str()), (200, Some("ok")));
    assert_eq!(
        (&body["checks"][0]["name"], &body["checks"][1]["name"]),
        (&"postgres".into(), &"redis".into())
    );
    assert!(body["checks"][0]["latency_ms"].is_u64(), "{body}");
}

#[tokio::test]
async fn an_unready_process_tells_what_fails() {
    let server =
        start(Health::new().check("postgres", fine).check("redis", || async { Err("refused") }))
            .await;
    let answer = server.ask("GET /readyz", "").await;
    let body = answer.json();
    assert_eq!((answer.status, body["checks"][1]["error"].as_str()), (503, Some("refused")));
}

#[tokio::test]
async fn a_stopping_process_is_not_ready() {
    let stopping = Shutdown::new();
    let server = start(Health::new().check("postgres", fine).until(stopping.token())).await;
    stopping.trigger();
    let answer = server.ask("GET /readyz", "").await;
    assert_eq!((answer.status, answer.json()["status"].as_str()), (503, Some("stopping")));
}

#[tokio::test]
async fn metrics_are_shown_as_text() {
    let server = start(Health::new()).await;
    server.ask("GET /healthz", "").await;
    let answer = server.ask("GET /metrics", "").await;
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(answer.body.contains("http_request_duration_seconds_bucket"), "{}", answer.body);
}
