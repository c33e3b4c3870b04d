//! What was told to an endpoint, and every attempt to tell it.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::{DeliveryId, EventId, PaymentId, Scope, Timestamp};
use runtime::{Problem, ProblemCode};
use serde::Serialize;
use store::{DeliveryFilter, DeliveryListing, LoggedAttempt, Redelivery};

use crate::App;
use crate::page::{List, Page};
use crate::query::Query;
use crate::refusal::{Refusal, id};
use crate::webhook_endpoints::find_endpoint;

/// A delivery as its seller sees it.
#[derive(Serialize)]
struct DeliveryResource {
    id: DeliveryId,
    object: &'static str,
    event_id: EventId,
    event_type: String,
    /// None where it tells of an endpoint.
    payment_id: Option<PaymentId>,
    kind: &'static str,
    status: String,
    attempts: u32,
    next_attempt_at: Option<Timestamp>,
    created_at: Timestamp,
    finished_at: Option<Timestamp>,
}

/// One attempt, as its seller sees it.
#[derive(Serialize)]
pub(crate) struct AttemptResource {
    number: u32,
    at: Timestamp,
    duration_ms: u32,
    outcome: String,
    http_status: Option<u16>,
    error: Option<String>,
    response: Option<String>,
}

#[derive(Serialize)]
struct Attempts {
    data: Vec<AttemptResource>,
}

impl From<DeliveryListing> for DeliveryResource {
    fn from(delivery: DeliveryListing) -> Self {
        Self {
            id: delivery.id,
            object: "webhook_delivery",
            event_id: delivery.event,
            event_type: delivery.event_type,
            payment_id: delivery.payment,
            kind: delivery.kind.as_str(),
            status: delivery.state,
            attempts: delivery.attempts,
            next_attempt_at: delivery.due_at,
            created_at: delivery.created_at,
            finished_at: delivery.finished_at,
        }
    }
}

impl From<LoggedAttempt> for AttemptResource {
    fn from(attempt: LoggedAttempt) -> Self {
        Self {
            number: attempt.number,
            at: attempt.at,
            duration_ms: attempt.duration_ms,
            outcome: attempt.outcome,
            http_status: attempt.status,
            error: attempt.error,
            response: attempt.response,
        }
    }
}

/// `GET /v1/webhook_endpoints/{id}/deliveries`: newest first, page by page.
pub(crate) async fn list_deliveries(
    State(app): State<App>,
    Path(endpoint): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = app.caller(&headers, Scope::Webhooks).await?;
    let endpoint = find_endpoint(&app, caller.account, id(&endpoint)?).await?.id;
    let list = List::new(format!("/v1/webhook_endpoints/{endpoint}/deliveries"));
    let page = Page::read(Query::read(query.as_deref())?, list)?;
    let before = page.before().map(DeliveryId::new);
    let filter = DeliveryFilter { account: caller.account, endpoint, before };
    let mut deliveries = app.store().list_deliveries(&filter, page.fetch()).await?;
    let more = page.cut(&mut deliveries);
    let last = deliveries.last().filter(|_| more).map(|delivery| delivery.id.uuid());
    let data: Vec<DeliveryResource> = deliveries.into_iter().map(Into::into).collect();
    Ok(page.into_response(data, last))
}

/// `GET /v1/webhook_deliveries/{id}/attempts`: oldest first; there are few enough for one answer.
pub(crate) async fn list_attempts(
    State(app): State<App>,
    Path(delivery): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = app.caller(&headers, Scope::Webhooks).await?;
    let found = app.store().list_attempts(caller.account, id(&delivery)?).await?;
    let attempts = found.ok_or(ProblemCode::NotFound)?;
    let data = attempts.into_iter().map(Into::into).collect();
    Ok(Json(Attempts { data }).into_response())
}

#[derive(Serialize)]
struct Redelivered {
    id: DeliveryId,
    object: &'static str,
    status: &'static str,
}

/// `POST /v1/webhook_deliveries/{id}/redeliver`: sends it now, also what was delivered or given up.
/// It takes the place of the attempt that was planned.
pub(crate) async fn redeliver(
    State(app): State<App>,
    Path(delivery): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = app.caller(&headers, Scope::Webhooks).await?;
    let delivery: DeliveryId = id(&delivery)?;
    match app.store().redeliver(caller.account, delivery, app.now()).await? {
        Redelivery::Due => {
            app.herald().announce([], &[delivery]);
            let body = Redelivered { id: delivery, object: "webhook_delivery", status: "pending" };
            Ok((StatusCode::ACCEPTED, Json(body)).into_response())
        }
        Redelivery::EndpointIsDown => Err(Problem::new(ProblemCode::Conflict)
            .detail("The endpoint is told nothing; enable it first")
            .into()),
        Redelivery::Unknown => Err(ProblemCode::NotFound.into()),
    }
}
