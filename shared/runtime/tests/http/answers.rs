//! Request ids, problems, and what handlers are told.

use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Extension, Router};
use runtime::{Problem, ProblemCode, RequestId, TraceContext};

use crate::server::Server;

fn router() -> Router {
    Router::new()
        .route("/fine/{id}", get(|| async { "fine" }))
        .route(
            "/refused",
            post(|| async { Problem::new(ProblemCode::AmountMismatch).detail("2, not 3") }),
        )
        .route("/panic", get(|| async { panic!("at the disco") as StatusCode }))
        .route(
            "/plain",
            get(|| async { (StatusCode::BAD_REQUEST, "in plain words").into_response() }),
        )
        .route(
            "/id",
            get(|Extension(id): Extension<RequestId>| async move { id.as_str().to_owned() }),
        )
        .route(
            "/peer",
            get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() }),
        )
        .route(
            "/trace",
            get(|Extension(trace): Extension<TraceContext>| async move { trace.trace_id() }),
        )
}

#[tokio::test]
async fn every_answer_has_a_request_id() {
    let server = Server::start(router()).await;
    for line in [
        "GET /fine/1",
        "POST /refused",
        "GET /panic",
        "GET /nowhere",
        "DELETE /refused",
        "GET /plain",
    ] {
        let answer = server.ask(line, "").await;
        let id = answer.header("x-request-id").unwrap_or_default();
        assert!(id.starts_with("req_") && id.len() == 36, "{line}: {}", answer.head);
    }
}

#[tokio::test]
async fn the_handler_sees_the_id_that_the_client_gets() {
    let answer = Server::start(router()).await.ask("GET /id", "").await;
    assert_eq!(answer.header("x-request-id"), Some(answer.body.as_str()));
}

#[tokio::test]
async fn the_clients_own_id_is_not_taken_over() {
    let answer = Server::start(router()).await.ask("GET /id", "x-request-id: mine\r\n").await;
    assert!(answer.body.starts_with("req_"), "{}", answer.body);
}

#[tokio::test]
async fn a_problem_tells_path_and_request_id_and_its_length() {
    let answer =
        Server::start(router()).await.ask("POST /refused?secret=1", "content-length: 0\r\n").await;
    let problem = answer.json();
    assert_eq!(answer.status, 422);
    assert_eq!(problem["instance"], "/refused");
    assert_eq!(problem["request_id"].as_str(), answer.header("x-request-id"));
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
}

#[tokio::test]
async fn a_panic_is_a_problem_of_ours_and_the_server_lives_on() {
    let server = Server::start(router()).await;
    let answer = server.ask("GET /panic", "").await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (500, Some("internal_error")));
    assert!(!answer.body.contains("disco"), "{}", answer.body);
    assert_eq!(server.ask("GET /fine/1", "").await.status, 200);
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let server = Server::start(router()).await;
    let nowhere = server.ask("GET /nowhere", "").await;
    assert_eq!((nowhere.status, nowhere.json()["code"].as_str()), (404, Some("not_found")));
    let wrong = server.ask("DELETE /refused", "").await;
    assert_eq!((wrong.status, wrong.json()["code"].as_str()), (405, Some("method_not_allowed")));
    assert_eq!(wrong.header("allow"), Some("POST"));
}

#[tokio::test]
async fn a_failure_in_plain_words_becomes_a_problem() {
    let answer = Server::start(router()).await.ask("GET /plain", "").await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (400, Some("invalid_request")));
}

#[tokio::test]
async fn a_handler_knows_its_peer_and_its_trace() {
    let server = Server::start(router()).await;
    assert_eq!(server.ask("GET /peer", "").await.body, "127.0.0.1");
    let header = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";
    assert_eq!(server.ask("GET /trace", header).await.body, "4bf92f3577b34da6a3ce929d0e0e4736");
}

#[tokio::test]
async fn every_answer_carries_the_headers_that_protect_browsers() {
    let answer = Server::start(router()).await.ask("GET /fine/1", "").await;
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("x-frame-options"), Some("DENY"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    let policy = answer.header("content-security-policy");
    assert_eq!(policy, Some("default-src 'self'; frame-ancestors 'none'"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("strict-transport-security"), None);
}

#[tokio::test]
async fn a_handler_may_have_a_content_policy_of_its_own() {
    let page = get(|| async { ([("content-security-policy", "default-src 'none'")], "page") });
    let answer = Server::start(Router::new().route("/", page)).await.ask("GET /", "").await;
    assert_eq!(answer.header("content-security-policy"), Some("default-src 'none'"));
}
