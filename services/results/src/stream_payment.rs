//! `GET /v1/payments/{id}/stream`

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use domain::{Payment, PaymentId, PaymentResource};
use futures::{StreamExt, stream};
use runtime::problem::document::{Absent, Crowded, Keyed, Positioned, Queried, Refused, Stored};
use store::TimelineEntry;
use tokio::time::Instant;
use watchtower::Ended;

use crate::payment_answer::shown;
use crate::query::Query;
use crate::refusal::Refusal;
use crate::sse::Streamed;
use crate::viewer::Viewer;
use crate::waiters::{Place, Waits};
use crate::{App, example, sse};

/// Every change of a payment, from the one after the client's last (`Last-Event-ID`, or
/// `since_version`) to its end, as they happen. The id of an event is the version it made.
#[utoipa::path(
    get,
    path = "/v1/payments/{id}/stream",
    tag = "Payments",
    summary = "Follow a payment",
    description = "Every change of a payment as it happens, as server-sent events, each with the \
        payment as it stood then, until it is over. `id` is the version, `event` the event's \
        type. A comment every 15 seconds shows that the stream lives.",
    params(
        ("id" = PaymentId, Path, description = "The payment."),
        ("since_version" = Option<u32>, Query,
            description = "The version that the client has: begin behind it."),
        ("Last-Event-ID" = Option<u32>, Header,
            description = "The last version that was streamed; it counts before the query."),
    ),
    responses(
        (status = 200, body = Streamed, content_type = "text/event-stream",
            description = "The changes; the data of each is a payment.",
            example = example::change_streamed),
        (status = 204, description = "The payment is over, and the client has its last version."),
        Refused<(Keyed, Absent, (Queried, Positioned), Stored, Crowded)>,
    ),
    security(("api_key" = ["payments:read"]), ("poll_token" = [])),
)]
pub(crate) async fn stream_payment(
    State(app): State<App>,
    Path(payment): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (viewer, payment) = Viewer::of(&app, &headers, &payment).await?;
    let mut query = Query::read(query.as_deref())?;
    let since: Option<u32> = query.take("since_version", "a version")?;
    query.finish()?;
    let known = sse::last_event_id(&headers)?.or(since).unwrap_or_default();
    open(app, viewer, payment, known).await
}

/// The stream behind this version; 204, which tells a client to stay away, where nothing can come.
pub(crate) async fn open(
    app: App,
    viewer: Viewer,
    id: PaymentId,
    known: u32,
) -> Result<Response, Refusal> {
    let payment = viewer.load(&app, id).await?;
    if payment.state.is_terminal() && payment.version <= known {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let key = viewer.waits_as(&payment);
    let place = app.waiters().enter(key, Waits::Stream).ok_or_else(sse::no_room)?;
    let closes = sse::closing_time();
    let following = Following { app, viewer, id, known, is_over: false, closes, _place: place };
    Ok(sse::answer(stream::unfold(following, Following::next).flat_map(stream::iter)))
}

/// A client on its way through the versions of a payment.
struct Following {
    app: App,
    viewer: Viewer,
    id: PaymentId,
    /// The version that it was told of last.
    known: u32,
    /// Whether that is the last.
    is_over: bool,
    closes: Instant,
    _place: Place,
}

impl Following {
    /// The changes that it does not know, once there are any. Ends with the payment, when the stream
    /// has to be closed, and where the ledger fails: the client comes again and loses nothing.
    async fn next(mut self) -> Option<(Vec<Event>, Self)> {
        while !self.is_over {
            let lookout = self.app.watchtower().look_out(self.id);
            let payment = self.viewer.load(&self.app, self.id).await.ok()?;
            if payment.version > self.known {
                let details = self.app.desk().details(&payment).await.ok()?;
                let events = news(&payment, &details.timeline, self.known, self.viewer);
                (self.known, self.is_over) = (payment.version, payment.state.is_terminal());
                return Some((events, self));
            }
            let ended = self.app.watchtower().wait(lookout, self.known, self.closes).await;
            if ended != Ended::Changed {
                break;
            }
        }
        None
    }
}

/// What happened after a version, each with the payment as it stood then.
fn news(payment: &Payment, timeline: &[TimelineEntry], known: u32, viewer: Viewer) -> Vec<Event> {
    let unknown = timeline.iter().filter(|entry| entry.version > known);
    let event = |entry: &TimelineEntry| {
        let standing = entry.standing().ok()?;
        let seen = shown(PaymentResource::at(payment, standing), viewer);
        Some(sse::event(entry.version, &entry.r#type, &seen))
    };
    unknown.filter_map(event).collect()
}
