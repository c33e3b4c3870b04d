//! What every answer has in common, over real sockets.
#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the test")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Extension, Router};
use runtime::{Problem, ProblemCode, RequestId, Shutdown, TraceContext};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

const SOON: Duration = Duration::from_secs(10);

/// A running server and its way to stop.
struct Server {
    address: SocketAddr,
    shutdown: Shutdown,
}

/// A raw HTTP answer.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1);
        let mut pairs = lines.filter_map(|line| line.split_once(": "));
        pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Server {
    async fn start(router: Router) -> Self {
        let listener = runtime::http::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = Shutdown::new();
        let router = runtime::http::instrument(router);
        shutdown.spawn_essential("http", runtime::http::serve(listener, router, shutdown.token()));
        Self { address, shutdown }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn ask(&self, request_line: &str, headers: &str) -> Answer {
        let mut stream = self.connect().await;
        let request =
            format!("{request_line} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        read_answer(&mut stream).await
    }
}

async fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

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
async fn a_request_under_way_is_finished_before_the_server_stops() {
    let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&entered), Arc::clone(&leave));
    let slow = get(move || {
        let (tell, wait) = (Arc::clone(&tell), Arc::clone(&wait));
        async move {
            tell.notify_one();
            wait.notified().await;
            "finished"
        }
    });
    let server = Server::start(Router::new().route("/slow", slow)).await;
    let asking = async {
        let mut stream = server.connect().await;
        // The connection is kept alive: the server must close it by itself.
        stream.write_all(b"GET /slow HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
        read_answer(&mut stream).await
    };
    let stopping = async {
        entered.notified().await;
        server.shutdown.trigger();
        leave.notify_one();
        server.shutdown.drain(SOON).await
    };
    let (answer, drained) = tokio::join!(asking, stopping);
    assert_eq!(answer.body, "finished");
    assert!(drained.is_clean(), "{drained:?}");
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_stop() {
    let server = Server::start(router()).await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET /fine/1 HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
    idle.readable().await.unwrap();
    server.shutdown.trigger();
    assert!(server.shutdown.drain(SOON).await.is_clean());
}

#[tokio::test]
async fn a_stopped_server_accepts_nothing() {
    let server = Server::start(router()).await;
    server.shutdown.trigger();
    assert!(server.shutdown.drain(SOON).await.is_clean());
    assert!(TcpStream::connect(server.address).await.is_err());
}

/// The clock is paused: it jumps ahead as soon as everything waits.
#[tokio::test(start_paused = true)]
async fn a_client_that_never_ends_its_head_is_cut_off() {
    let server = Server::start(router()).await;
    for begun in ["", "GET /fine/1 HTTP/1.1\r\nhost: te"] {
        let mut stream = server.connect().await;
        stream.write_all(begun.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let text = String::from_utf8(answer).unwrap();
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 408"), "{text}");
    }
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let server = Server::start(router()).await;
    let mut stream = server.connect().await;
    let head = format!(
        "GET /fine/1 HTTP/1.1\r\nhost: test\r\nconnection: close\r\nx-long: {}\r\n\r\n",
        "x".repeat(100_000)
    );
    // The server may answer and close before all of it is written.
    let _written = stream.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    let _closed = stream.read_to_end(&mut answer).await;
    let text = String::from_utf8(answer).unwrap();
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 431"), "{text}");
}
