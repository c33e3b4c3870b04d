//! Connections that stay open: with one request at a time over each, or with many.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::client::conn::http2;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// Connections to one server.
#[derive(Debug)]
pub(crate) struct Connections {
    server: SocketAddr,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
    room: Semaphore,
}

impl Connections {
    /// At most `most` at once.
    pub(crate) fn to(server: SocketAddr, most: usize) -> Self {
        Self { server, idle: Mutex::default(), room: Semaphore::new(most) }
    }

    /// Sends a request, over a new connection if none is idle, and reads the whole answer.
    ///
    /// # Errors
    /// What kept it from being answered.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let _room = self.room.acquire().await?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle.filter(SendRequest::is_ready) {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let answer = connection.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok((status, body))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let stream = TcpStream::connect(self.server).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends when the server closes it, or when nobody can send any more.
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// Connections to one server over which a proxy brings the requests of all its clients, by HTTP/2.
#[derive(Debug)]
pub(crate) struct Trunks {
    trunks: Vec<http2::SendRequest<Full<Bytes>>>,
    next: AtomicUsize,
}

impl Trunks {
    /// So many.
    ///
    /// # Errors
    /// When the server does not take them.
    pub(crate) async fn to(server: SocketAddr, count: usize) -> Result<Self, Failure> {
        let mut trunks = Vec::new();
        for _ in 0..count {
            let stream = TcpStream::connect(server).await?;
            stream.set_nodelay(true)?;
            let io = TokioIo::new(stream);
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
            // It ends as those of HTTP/1 do.
            tokio::spawn(connection);
            trunks.push(sender);
        }
        Ok(Self { trunks, next: AtomicUsize::new(0) })
    }

    /// Sends a request over one after the other, beside whatever is under way there, and reads the whole answer.
    ///
    /// # Errors
    /// What kept it from being answered.
    pub(crate) async fn send(&self, mut request: Request<Full<Bytes>>) -> Answer {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let mut trunk = self.trunks[turn % self.trunks.len()].clone();
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let uri = Uri::builder().scheme("http").authority("results").path_and_query(path);
        *request.uri_mut() = uri.build()?;
        trunk.ready().await?;
        let answer = trunk.send_request(request).await?;
        let status = answer.status();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }
}

/// What came of a request.
pub(crate) type Answer = Result<(StatusCode, Bytes), Failure>;

/// Why there is no answer.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
