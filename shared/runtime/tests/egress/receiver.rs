//! Receivers of webhooks that behave as a test tells them.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A listener whose connections are handled by a test's own function, one after another.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Receiver {
    pub(crate) async fn start<F, Fut>(handle: F) -> Self
    where
        F: Fn(TcpStream) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                handle(stream).await;
            }
        });
        Self { address, serving }
    }

    /// Reads the request and answers with these bytes.
    pub(crate) async fn answering(answer: &'static str) -> Self {
        Self::start(move |mut stream| async move {
            read_request(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
        })
        .await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Notes every connection that reaches it.
pub(crate) struct Canary {
    pub(crate) address: SocketAddr,
    connections: mpsc::UnboundedReceiver<SocketAddr>,
}

impl Canary {
    pub(crate) async fn start() -> Self {
        // Every address of this machine, IPv6 too where there is any.
        let listener = match TcpListener::bind("[::]:0").await {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind("0.0.0.0:0").await.unwrap(),
        };
        let address = listener.local_addr().unwrap();
        let (note, connections) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((_stream, peer)) = listener.accept().await {
                if note.send(peer).is_err() {
                    return;
                }
            }
        });
        Self { address, connections }
    }

    /// The number of connections so far. A connection of its own marks the end, so nothing has to be waited for.
    pub(crate) async fn connections(&mut self) -> usize {
        let marker = TcpStream::connect(("127.0.0.1", self.address.port())).await.unwrap();
        let last = marker.local_addr().unwrap().port();
        let mut count = 0;
        while self.connections.recv().await.unwrap().port() != last {
            count += 1;
        }
        count
    }
}

/// Reads one request with a `Content-Length`; gives its head and body.
pub(crate) async fn read_request<S: AsyncRead + Unpin>(stream: &mut S) -> (String, String) {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && body.len() >= content_length(head)
        {
            return (head.to_owned(), body.to_owned());
        }
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "the request ended early");
    }
}

fn content_length(head: &str) -> usize {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let mut lengths = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    lengths.next().map_or(0, |(_, value)| value.parse().unwrap())
}
