//! Slow and hostile clients, and stopping.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::server::{Server, read_answer};

const SOON: Duration = Duration::from_secs(10);

fn router() -> Router {
    Router::new().route("/fine/{id}", get(|| async { "fine" }))
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
