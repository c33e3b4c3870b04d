//! Connections that stay open, and one request at a time over each.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
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
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), Failure> {
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

/// Why there is no answer.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
