//! `GET /v1/events`, `GET /v1/events/{id}` and `GET /v1/events/stream`: what happened to an account's payments.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use domain::{EventId, Scope, WebhookBody};
use futures::{StreamExt, stream};
use runtime::http::SlowByDesign;
use runtime::problem::document::{Absent, Crowded, Keyed, Positioned, Queried, Refused, Stored};
use runtime::{Problem, ProblemCode};
use serde::Serialize;
use store::FeedPosition;
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::feed::{Cursor, Kinds, Reader, told};
use crate::query::Query;
use crate::refusal::{Refusal, id};
use crate::sse::Streamed;
use crate::waiters::{Place, Waits};
use crate::{App, example, page, sse};

/// The cursor of who wants only what happens from now on.
const NOW: &str = "now";

/// Events, oldest first, and where to read on.
#[derive(Serialize, ToSchema)]
#[schema(as = EventPage)]
struct Body<'a> {
    data: Vec<WebhookBody<'a>>,
    /// Whether there are more already.
    has_more: bool,
    /// Behind what was read: what happens next is found there.
    next_cursor: String,
}

/// `GET /v1/events`: oldest first, from a cursor on. The next one is given always, so that who has
/// read all comes back with it for what happened since; with `wait`, as soon as that did.
#[utoipa::path(
    get,
    path = "/v1/events",
    tag = "Events",
    summary = "Read events",
    description = "What happened to the account's payments, oldest first, in an order that never \
        changes. `next_cursor` is there always: who has read everything keeps it, and finds behind \
        it whatever happens next. Nothing is ever put before a cursor that was given out.",
    params(
        ("cursor" = Option<String>, Query, min_length = 1,
            description = "Where to read on; `now` is the end. The first event, unless it is said."),
        ("types" = Option<String>, Query, example = json!("payment.settled,payment.failed"),
            description = "Only events of these types, with commas between."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100,
            description = "How many at most; 50 unless it is said."),
        ("wait" = Option<u64>, Query,
            description = "Seconds to wait for news, where there is none yet; at most 30 unless \
                the operator allows more."),
    ),
    responses(
        (status = 200, body = Body<'_>, description = "The next events; there may be none.",
            example = example::events),
        Refused<(Keyed, (Queried, Positioned), Stored)>,
    ),
    security(("api_key" = ["payments:read"])),
)]
pub(crate) async fn list_events(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = app.caller(&headers, Scope::PaymentsRead).await?;
    let mut query = Query::read(query.as_deref())?;
    let kinds = kinds(&mut query)?;
    let limit = page::limit(&mut query)?.unwrap_or(page::USUAL_LIMIT);
    let wait = query.take("wait", "a number of seconds")?.map(Duration::from_secs);
    let cursor: Option<String> = query.take("cursor", "a cursor")?;
    query.finish()?;
    let position = match cursor {
        Some(cursor) => position(&app, &cursor).await?,
        None => FeedPosition::default(),
    };
    let mut reader = Reader::new(app.clone(), caller.account, kinds, position);
    let place = wait.and_then(|wait| {
        let wait = wait.min(app.settings().max_wait);
        Some((app.waiters().enter(caller.key, Waits::Poll)?, Instant::now() + wait))
    });
    let events = match place {
        Some((_place, deadline)) => reader.next(limit, deadline).await?,
        None => reader.read(limit).await?,
    };
    let data = events.told().map(|(_, body)| body).collect();
    let body = Body { data, has_more: events.more, next_cursor: reader.cursor().to_string() };
    let mut response = Json(body).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if wait.is_some() {
        response.extensions_mut().insert(SlowByDesign);
    }
    Ok(response)
}

/// `GET /v1/events/{id}`: one event, as endpoints are told of it. It never changes.
#[utoipa::path(
    get,
    path = "/v1/events/{id}",
    tag = "Events",
    summary = "See an event",
    description = "One event, as webhook endpoints are told of it. It never changes.",
    params(("id" = EventId, Path, description = "The event, which is also the `webhook-id`.")),
    responses(
        (status = 200, body = WebhookBody<'_>, description = "The event.", example = example::event),
        Refused<(Keyed, Absent, Stored)>,
    ),
    security(("api_key" = ["payments:read"])),
)]
pub(crate) async fn show_event(
    State(app): State<App>,
    Path(event): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = app.caller(&headers, Scope::PaymentsRead).await?;
    let found = app.store().find_event(caller.account, id(&event)?).await?;
    let event = found.ok_or(ProblemCode::NotFound)?;
    let payment = app.desk().payment(caller.account, event.payment).await?;
    let payment = payment.ok_or(ProblemCode::NotFound)?;
    let mut response = Json(told(&event, &payment)).into_response();
    let for_an_hour = HeaderValue::from_static("private, max-age=3600, immutable");
    response.headers_mut().insert(CACHE_CONTROL, for_an_hour);
    Ok(response)
}

/// `GET /v1/events/stream`: the same as they happen, from the client's last one on (`Last-Event-ID`,
/// or a cursor), else from now on. The id of an event is the cursor behind it.
#[utoipa::path(
    get,
    path = "/v1/events/stream",
    tag = "Events",
    summary = "Follow events",
    description = "The account's events as they happen, as server-sent events. The `id` of each is \
        the cursor behind it. After about a quarter of an hour the stream is closed: clients come \
        again with `Last-Event-ID` and miss nothing.",
    params(
        ("cursor" = Option<String>, Query, min_length = 1,
            description = "Where to begin; from now on, unless it is said."),
        ("types" = Option<String>, Query, example = json!("payment.settled,payment.failed"),
            description = "Only events of these types, with commas between."),
        ("Last-Event-ID" = Option<String>, Header,
            description = "The last event's `id`; it counts before the query."),
    ),
    responses(
        (status = 200, body = Streamed, content_type = "text/event-stream",
            description = "The events; the data of each is what `/v1/events/{id}` answers.",
            example = example::event_streamed),
        Refused<(Keyed, (Queried, Positioned), Stored, Crowded)>,
    ),
    security(("api_key" = ["payments:read"])),
)]
pub(crate) async fn stream_events(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = app.caller(&headers, Scope::PaymentsRead).await?;
    let mut query = Query::read(query.as_deref())?;
    let kinds = kinds(&mut query)?;
    let cursor: Option<String> = query.take("cursor", "a cursor")?;
    query.finish()?;
    let place = app.waiters().enter(caller.key, Waits::Stream).ok_or_else(sse::no_room)?;
    let position = match sse::last_event_id::<Cursor>(&headers)? {
        Some(Cursor(position)) => position,
        None => position(&app, cursor.as_deref().unwrap_or(NOW)).await?,
    };
    let reader = Reader::new(app, caller.account, kinds, position);
    let following = Following { reader, closes: sse::closing_time(), _place: place };
    Ok(sse::answer(stream::unfold(following, Following::next).flat_map(stream::iter)))
}

/// The types that are wanted.
fn kinds(query: &mut Query) -> Result<Kinds, Problem> {
    Ok(query.take("types", "names of event types with commas between")?.unwrap_or_default())
}

/// Where a cursor leads.
async fn position(app: &App, cursor: &str) -> Result<FeedPosition, Refusal> {
    if cursor == NOW {
        return Ok(app.store().feed_end().await?);
    }
    let Cursor(position) = cursor.parse().map_err(|_| Problem::new(ProblemCode::InvalidCursor))?;
    Ok(position)
}

/// A client that hears of whatever happens.
struct Following {
    reader: Reader,
    closes: Instant,
    _place: Place,
}

impl Following {
    /// What happened next. Ends when the stream has to be closed, and where the ledger fails: the
    /// client comes again and misses nothing.
    async fn next(mut self) -> Option<(Vec<Event>, Self)> {
        let events = self.reader.next(page::MAX_LIMIT, self.closes).await.ok()?;
        let told: Vec<Event> = events
            .told()
            .map(|(event, body)| sse::event(Cursor(event.position), event.kind.as_str(), &body))
            .collect();
        (!told.is_empty()).then_some((told, self))
    }
}
