//! One connection from accept to close.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::http2::{self, Streams};
use super::opening::{Opened, Protocol};

/// How long a client may stay silent between requests, or take to send a request's head; one timer covers both.
/// Longer than the 60 s after which common proxies drop idle connections, so that they never meet a closed one.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(75);

/// How long a client may leave what we sent unread before the connection is cut.
const UNREAD_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest request head, in bytes.
pub(super) const MAX_HEAD_BYTES: u32 = 64 * 1024;

/// Serves one connection by the protocol that its client speaks.
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    streams: Streams,
    shutdown: CancellationToken,
) {
    prepare(&stream);
    let opened = tokio::select! {
        // What has come already is answered, even where the server stops at this moment.
        biased;
        opened = tokio::time::timeout(HEAD_TIMEOUT, Opened::read(stream)) => opened,
        () = shutdown.cancelled() => return,
    };
    let served = match opened {
        Ok(Ok((Protocol::Http1, opened))) => http1(opened, peer, router, shutdown).await,
        // Boxed, since it is much larger, and connections of HTTP/1 are many more.
        Ok(Ok((Protocol::Http2, opened))) => {
            Box::pin(http2::serve(opened, peer, router, streams, shutdown)).await
        }
        // Nobody is there, or says anything.
        Ok(Err(_)) | Err(_) => return,
    };
    if let Err(error) = served {
        tracing::debug!(error = &error as &dyn std::error::Error, "a connection broke");
    }
}

async fn http1(
    opened: Opened,
    peer: SocketAddr,
    router: Router,
    shutdown: CancellationToken,
) -> hyper::Result<()> {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().call(request)
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_header_size(MAX_HEAD_BYTES as usize)
            .max_buf_size(MAX_HEAD_BYTES as usize)
            .serve_connection(TokioIo::new(opened), service)
    );
    tokio::select! {
        served = connection.as_mut() => served,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}

fn prepare(stream: &TcpStream) {
    // Both only improve matters; a connection without them is served all the same.
    let _best_effort = stream.set_nodelay(true);
    let _best_effort = SockRef::from(stream).set_tcp_user_timeout(Some(UNREAD_TIMEOUT));
}
