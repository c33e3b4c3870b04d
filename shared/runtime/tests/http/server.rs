//! A server to ask, and its answers as they come over the wire.

use std::net::SocketAddr;

use axum::Router;
use runtime::Shutdown;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A running server and its way to stop.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: Shutdown,
}

/// A raw HTTP answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1);
        let mut pairs = lines.filter_map(|line| line.split_once(": "));
        pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Server {
    pub(crate) async fn start(router: Router) -> Self {
        Self::serve(runtime::http::instrument(router)).await
    }

    /// Serves this router as it is.
    pub(crate) async fn serve(router: Router) -> Self {
        let listener = runtime::http::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = Shutdown::new();
        shutdown.spawn_essential("http", runtime::http::serve(listener, router, shutdown.token()));
        Self { address, shutdown }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub(crate) async fn ask(&self, request_line: &str, headers: &str) -> Answer {
        self.ask_as("test", request_line, headers).await
    }

    /// Asks it by this name.
    pub(crate) async fn ask_as(&self, host: &str, request_line: &str, headers: &str) -> Answer {
        let mut stream = self.connect().await;
        let request = format!(
            "{request_line} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        read_answer(&mut stream).await
    }
}

pub(crate) async fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}
