//! Serving HTTP: bounded connections, graceful shutdown, and what every answer has in common.

mod client;
mod connection;
mod frontage;
mod http2;
mod meters;
mod observe;
mod opening;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use self::client::ClientAddress;
pub use self::frontage::Frontage;
use self::http2::Streams;
pub use self::observe::{RequestId, SlowByDesign, instrument, instrument_behind, note_user};

/// The most connections served at once; further ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 20_000;

/// How long to wait after an accept failed for want of file descriptors or memory.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Opens a listener.
///
/// # Errors
/// When the address cannot be bound; the message names it.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    })
}

/// Serves `router` over HTTP/1.1, and over HTTP/2 to whom begins with it (prior knowledge, h2c).
///
/// When `shutdown` is cancelled, it finishes the requests under way and returns. Dropping the future cuts them off.
///
/// Handlers can extract `axum::extract::ConnectInfo<SocketAddr>`. TLS belongs to the proxy in front.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let streams = Streams::new();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            // Ended connections are collected as they end, so that the set holds only living ones.
            Some(_) = connections.join_next() => {}
            (stream, peer, slot) = next_connection(&listener, &slots) => {
                let (router, streams) = (router.clone(), streams.clone());
                let serving = connection::serve(stream, peer, router, streams, shutdown.clone());
                connections.spawn(async move {
                    serving.await;
                    drop(slot);
                });
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn next_connection(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let slot = Arc::clone(slots).acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, slot),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "cannot accept connections"
                );
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

/// True when the failure says something of one client and nothing of this process.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}
