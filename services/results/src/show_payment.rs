//! `GET /v1/payments/{id}`

use std::time::Duration;

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use domain::{Payment, PaymentId};
use runtime::http::SlowByDesign;
use runtime::problem::document::{Absent, Crowded, Keyed, Positioned, Queried, Refused, Stored};
use tokio::time::Instant;
use watchtower::Ended;

use crate::etag::IfNoneMatch;
use crate::payment_answer::{Body, PaymentAnswer, not_modified};
use crate::query::Query;
use crate::refusal::Refusal;
use crate::sse::Streamed;
use crate::viewer::Viewer;
use crate::waiters::Waits;
use crate::{App, example, prefer, sse, stream_payment};

const POLLS: &str = "long_polls_total";

/// How a wait ends that found no place.
const SHED: &str = "shed";

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// A payment as it stands, at once; or, where the client waits and has this version already, as
/// soon as there is another one.
///
/// The question is always "is there anything newer than what I have", never "tell me of the next
/// change", so nothing is missed between two polls.
#[utoipa::path(
    get,
    path = "/v1/payments/{id}",
    tag = "Payments",
    summary = "See a payment, or wait for its next change",
    description = "The payment as it stands, at once; or, where `wait` is said and the client has \
        this version already (`If-None-Match`, `since_version`), as soon as there is another one. \
        Nothing between two polls is missed. A payment that is over is answered at once.\n\n\
        With a poll token `reference` and `metadata` are null, and `request_id` and `webhooks` \
        are not there.",
    params(
        ("id" = PaymentId, Path, description = "The payment."),
        ("wait" = Option<u64>, Query,
            description = "Seconds to wait for news, where there is none yet; at most 30 unless \
                the operator allows more."),
        ("since_version" = Option<u32>, Query,
            description = "The version that the client has: wait beyond it."),
        ("Prefer" = Option<String>, Header, example = json!("wait=20"),
            description = "`wait=20` is the same as `?wait=20`."),
        ("If-None-Match" = Option<String>, Header, example = json!("\"v3\""),
            description = "The version that the client has: 304 when there is none newer."),
        ("Accept" = Option<String>, Header,
            description = "`text/event-stream` for every change as it happens, as from `/stream`."),
        ("Last-Event-ID" = Option<u32>, Header,
            description = "With `Accept: text/event-stream`, the last version that was streamed."),
    ),
    responses(
        (status = 200, description = "The payment; or its changes, when a stream is accepted.",
            content(
                (Body<'_> = "application/json", example = example::payment),
                (Streamed = "text/event-stream", example = example::change_streamed),
            ),
            headers(
                ("ETag" = String, description = "The payment's version."),
                ("Retry-After" = u32, description = "When to ask again, in seconds."),
                ("Preference-Applied" = String, description = "The wait, when `Prefer` asked."),
            )),
        (status = 204, description = "A stream is accepted, and nothing can follow."),
        (status = 304, description = "The client has this version.",
            headers(
                ("ETag" = String, description = "The payment's version."),
                ("Retry-After" = u32, description = "When to ask again, in seconds."),
            )),
        Refused<(Keyed, Absent, (Queried, Positioned), Stored, Crowded)>,
    ),
    security(("api_key" = ["payments:read"]), ("poll_token" = [])),
)]
pub(crate) async fn show_payment(
    State(app): State<App>,
    Path(payment): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    // Boxed like what follows the wait, since room for it would otherwise be kept for as long as the client waits.
    let (viewer, payment) = Box::pin(Viewer::of(&app, &headers, &payment)).await?;
    let asked = Asked::read(&app, query.as_deref(), &headers)?;
    if sse::is_wanted(&headers) {
        let known = sse::last_event_id(&headers)?.or(asked.since_version);
        let known = known.unwrap_or_default();
        return Box::pin(stream_payment::open(app, viewer, payment, known)).await;
    }
    // They hold on to the buffer that the request was read into.
    drop((headers, query));
    let (payment, heard) = asked.newest(&app, viewer, payment).await?;
    let mut response = if asked.has(payment.version) {
        not_modified(&payment, app.settings())
    } else {
        let answer = Box::pin(PaymentAnswer::gather(app.desk(), *payment)).await?;
        answer.into_response(viewer, app.settings())
    };
    asked.mark(&mut response, heard);
    Ok(response)
}

/// Whether the client's wish to wait was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    /// It was: there is news, or the wait is over.
    Yes,
    /// Too many wait already: the client has the present state, and when to come again.
    Shed,
}

/// What the client asked for.
#[derive(Debug)]
struct Asked {
    /// How long it waits for something newer than it has.
    wait: Option<Duration>,
    /// Whether it said so by `Prefer`, and is to be told that it was heard.
    preferred: bool,
    if_none_match: Option<IfNoneMatch>,
    since_version: Option<u32>,
}

impl Asked {
    fn read(app: &App, query: Option<&str>, headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut query = Query::read(query)?;
        let wait = query.take("wait", "a number of seconds")?.map(Duration::from_secs);
        let since_version = query.take("since_version", "a version")?;
        query.finish()?;
        let preferred = if wait.is_some() { None } else { prefer::wait(headers) };
        Ok(Self {
            wait: wait.or(preferred).map(|wait| wait.min(app.settings().max_wait)),
            preferred: preferred.is_some(),
            if_none_match: IfNoneMatch::read(headers),
            since_version,
        })
    }

    /// The payment, read when there is something newer than the client has, or the wait is over.
    async fn newest(
        &self,
        app: &App,
        viewer: Viewer,
        id: PaymentId,
    ) -> Result<(Box<Payment>, Heard), Refusal> {
        let lookout = self.wait.map(|wait| (app.watchtower().look_out(id), Instant::now() + wait));
        let payment = Box::pin(viewer.load(app, id)).await.map(Box::new)?;
        let Some((lookout, deadline)) = lookout else {
            return Ok((payment, Heard::Yes));
        };
        let Some(known) = self.waits_beyond(&payment) else {
            return Ok((payment, Heard::Yes));
        };
        let Some(place) = app.waiters().enter(viewer.waits_as(&payment), Waits::Poll) else {
            count_poll(SHED);
            return Ok((payment, Heard::Shed));
        };
        let ended = app.watchtower().wait(lookout, known, deadline).await;
        drop(place);
        count_poll(ended.as_str());
        match ended {
            Ended::Changed => Ok((Box::pin(viewer.load(app, id)).await.map(Box::new)?, Heard::Yes)),
            Ended::TimeUp | Ended::Stopping => Ok((payment, Heard::Yes)),
        }
    }

    /// Above which version there is news; none when the answer is due at once.
    fn waits_beyond(&self, payment: &Payment) -> Option<u32> {
        let current = payment.version;
        // Nothing comes after the end.
        if payment.state.is_terminal() {
            return None;
        }
        match (&self.if_none_match, self.since_version) {
            (Some(tags), _) => tags.has(current).then_some(current),
            (None, Some(since)) => (current <= since).then_some(since),
            (None, None) => Some(current),
        }
    }

    /// Whether the client has this version, by a header that allows a 304.
    fn has(&self, version: u32) -> bool {
        self.if_none_match.as_ref().is_some_and(|tags| tags.has(version))
    }

    fn mark(&self, response: &mut Response, heard: Heard) {
        let Some(wait) = self.wait else { return };
        response.extensions_mut().insert(SlowByDesign);
        if self.preferred && heard == Heard::Yes {
            let applied = format!("wait={}", wait.as_secs());
            let applied = HeaderValue::try_from(applied).expect("letters and digits are ASCII");
            response.headers_mut().insert(PREFERENCE_APPLIED, applied);
        }
    }
}

/// Shows every way in which waiting can end, before anybody has waited.
pub(crate) fn begin_metrics() {
    let ended = [Ended::Changed, Ended::TimeUp, Ended::Stopping].map(Ended::as_str);
    for outcome in ended.into_iter().chain([SHED]) {
        metrics::counter!(POLLS, "outcome" => outcome).increment(0);
    }
}

fn count_poll(outcome: &'static str) {
    metrics::counter!(POLLS, "outcome" => outcome).increment(1);
}
