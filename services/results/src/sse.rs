//! Streams of server-sent events (WHATWG HTML, section 9.2): what all of them have in common.

use std::convert::Infallible;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use domain::EventType;
use futures::{Stream, StreamExt, stream};
use runtime::http::SlowByDesign;
use runtime::{Problem, ProblemCode};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

/// How often a silent stream shows that it lives, so that no proxy takes it for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How soon a client whose stream broke should come again.
const RETRY: Duration = Duration::from_secs(2);

/// How long a stream is open at most: who comes again shows its key again, and may meet another process.
const LIFETIME: Duration = Duration::from_secs(15 * 60);

/// Each stream is closed up to so much earlier than others, so that not all come again at once.
const SPREAD_MS: u64 = 120_000;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// One event of a stream, as the libraries of clients take it apart. Only the document needs it:
/// what is sent is text.
#[derive(ToSchema)]
#[schema(as = StreamedEvent, description = "One server-sent event, taken apart.")]
#[expect(dead_code, reason = "only its shape matters")]
pub(crate) struct Streamed {
    /// What to come again with, as `Last-Event-ID`.
    id: String,
    event: EventType,
    /// A document in JSON.
    #[schema(content_media_type = "application/json")]
    data: String,
}

/// Whether the client asks for a stream rather than for a document.
pub(crate) fn is_wanted(headers: &HeaderMap) -> bool {
    let accepted = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    accepted.is_some_and(|accepted| accepted.trim().starts_with("text/event-stream"))
}

/// The last event that a client has, which comes again.
///
/// # Errors
/// A problem when it is none that was ever sent.
pub(crate) fn last_event_id<T: FromStr>(headers: &HeaderMap) -> Result<Option<T>, Problem> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let id = value.to_str().ok().and_then(|id| id.parse().ok());
    let foreign = || {
        Problem::new(ProblemCode::InvalidCursor).detail("Last-Event-ID is none that was sent here")
    };
    id.map(Some).ok_or_else(foreign)
}

/// One event of a stream.
pub(crate) fn event(id: impl Display, kind: &str, data: &impl Serialize) -> Event {
    let data =
        serde_json::to_string(data).expect("an answer of strings and numbers is always JSON");
    Event::default().id(id.to_string()).event(kind).data(data)
}

/// When a stream that begins now is closed.
pub(crate) fn closing_time() -> Instant {
    let random = u64::from_be_bytes(runtime::random_bytes());
    Instant::now() + LIFETIME - Duration::from_millis(random % SPREAD_MS)
}

/// A stream of these events.
pub(crate) fn answer(events: impl Stream<Item = Event> + Send + 'static) -> Response {
    let first = stream::iter([Event::default().retry(RETRY)]);
    let events = first.chain(events).map(Ok::<_, Infallible>);
    let alive = KeepAlive::new().interval(HEARTBEAT).text("hb");
    let mut response = Sse::new(events).keep_alive(alive).into_response();
    response.headers_mut().insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response.extensions_mut().insert(SlowByDesign);
    response
}

/// The answer where too many streams are open already.
pub(crate) fn no_room() -> Problem {
    Problem::new(ProblemCode::Overloaded)
        .detail("As many requests wait for news as may; ask without waiting, or come again")
}
