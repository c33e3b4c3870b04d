//! HTTP/2 with prior knowledge: many requests at once over one connection, as proxies bring them.

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::connection::{HEAD_TIMEOUT, MAX_HEAD_BYTES};
use super::opening::Opened;

/// The most requests at once over one connection.
const MAX_STREAMS: u32 = 1_000;

/// The most requests at once over all connections of a server: as many as it serves by HTTP/1, where each has one of
/// its own.
const MAX_STREAMS_IN_ALL: usize = super::MAX_CONNECTIONS;

/// How much of a request's body may be sent before a handler reads it, in bytes.
const STREAM_WINDOW: u32 = 64 * 1024;

/// The same for all requests of a connection together.
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// How much of an answer is kept ready while the client does not take it, in bytes.
const SEND_BUFFER: usize = 32 * 1024;

/// How often a client is asked whether it is still there, when it sends nothing.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// How long it may take to say so.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a client whose requests are all answered may take to say that it has heard that we leave.
const FAREWELL: Duration = Duration::from_secs(3);

/// So many requests that were taken back before we looked at them end the connection (CVE-2023-44487).
const MAX_UNSEEN_RESETS: usize = 200;

/// So many requests that broke the protocol end the connection.
const MAX_BROKEN_STREAMS: usize = 1_024;

/// The places for requests that come over HTTP/2, of one server. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    places: Arc<Semaphore>,
}

impl Streams {
    pub(super) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(MAX_STREAMS_IN_ALL)) }
    }

    /// A place for a request over the connection that counts them so; none when all are taken.
    fn open(&self, connection: &Arc<watch::Sender<usize>>) -> Option<Stream> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        connection.send_modify(|open| *open += 1);
        Some(Stream { connection: Arc::clone(connection), _place: place })
    }
}

/// A request under way, until its answer is sent or nobody wants it any more.
#[derive(Debug)]
struct Stream {
    connection: Arc<watch::Sender<usize>>,
    _place: OwnedSemaphorePermit,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.connection.send_modify(|open| *open = open.saturating_sub(1));
    }
}

/// Serves the requests of one connection, until the client leaves, is silent for too long, or `shutdown` is cancelled
/// and the last of them is answered.
pub(super) async fn serve(
    opened: Opened,
    peer: SocketAddr,
    router: Router,
    streams: Streams,
    shutdown: CancellationToken,
) -> hyper::Result<()> {
    let (counter, open) = watch::channel(0);
    let counter = Arc::new(counter);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let begun = streams.open(&counter).map(|stream| (stream, router.clone().call(request)));
        async move {
            let Some((stream, answer)) = begun else {
                ::metrics::counter!("http_streams_refused_total").increment(1);
                // Tells the client that nothing was done, so that it may send the same elsewhere.
                return Err(h2::Error::from(h2::Reason::REFUSED_STREAM));
            };
            let Ok(response) = answer.await;
            Ok(response.map(|body| Streamed { body, _stream: stream }))
        }
    });
    let mut connection = pin!(builder().serve_connection(TokioIo::new(opened), service));
    tokio::select! {
        served = connection.as_mut() => return served,
        () = shutdown.cancelled() => {}
        () = idled(open.clone(), HEAD_TIMEOUT) => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        served = connection.as_mut() => served,
        () = idled(open, FAREWELL) => Ok(()),
    }
}

fn builder() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .adaptive_window(false)
        .max_header_list_size(MAX_HEAD_BYTES)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_pending_accept_reset_streams(MAX_UNSEEN_RESETS)
        .max_local_error_reset_streams(MAX_BROKEN_STREAMS);
    builder
}

/// Comes back when a connection had no request for so long.
async fn idled(mut open: watch::Receiver<usize>, longest: Duration) {
    loop {
        let is_idle = *open.borrow_and_update() == 0;
        let changed = open.changed();
        if !is_idle {
            let _counted_as_long_as_it_is_served = changed.await;
        } else if tokio::time::timeout(longest, changed).await.is_err() {
            return;
        }
    }
}

/// The body of an answer, which holds on to its request's place until all of it is sent.
struct Streamed {
    body: Body,
    _stream: Stream,
}

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use futures::stream;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// A client of a server that has so many places.
    async fn client_of(places: usize) -> h2::client::SendRequest<Bytes> {
        let endless =
            || async { Body::from_stream(stream::pending::<Result<Bytes, axum::Error>>()) };
        let router = Router::new().route("/endless", get(endless)).route("/", get(|| async {}));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let (served, peer) = listener.accept().await.unwrap();
        let (_, opened) = Opened::read(served).await.unwrap();
        let streams = Streams { places: Arc::new(Semaphore::new(places)) };
        tokio::spawn(serve(opened, peer, router, streams, CancellationToken::new()));
        client.ready().await.unwrap()
    }

    fn get_of(path: &str) -> Request<()> {
        Request::get(format!("http://test{path}")).body(()).unwrap()
    }

    #[tokio::test]
    async fn a_request_too_many_is_refused_untouched_until_an_answer_is_sent_to_its_end() {
        let mut client = client_of(1).await;
        let (endless, _) = client.send_request(get_of("/endless"), true).unwrap();
        let answering = endless.await.unwrap();

        let (refused, _) = client.send_request(get_of("/"), true).unwrap();
        assert_eq!(refused.await.unwrap_err().reason(), Some(h2::Reason::REFUSED_STREAM));

        drop(answering);
        let answered = async {
            loop {
                let (answer, _) = client.send_request(get_of("/"), true).unwrap();
                if let Ok(answer) = answer.await {
                    return answer.status();
                }
            }
        };
        assert_eq!(answered.await, 200);
    }
}
