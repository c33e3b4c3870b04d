//! What was told to an endpoint, and every attempt to tell it.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::schema::constant;
use domain::{DeliveryId, EndpointId, EventId, EventType, PaymentId, Scope, Timestamp};
use runtime::problem::document::{Absent, Contested, Keyed, Positioned, Queried, Refused, Stored};
use runtime::{Problem, ProblemCode};
use serde::Serialize;
use store::{DeliveryFilter, DeliveryListing, LoggedAttempt, Redelivery};
use utoipa::ToSchema;
use utoipa::openapi::schema::AnyOfBuilder;
use utoipa::openapi::{Ref, RefOr, Schema};

use crate::page::{Body, List, Page};
use crate::query::Query;
use crate::refusal::{Refusal, id};
use crate::webhook_endpoints::find_endpoint;
use crate::{App, example};

/// A delivery as its seller sees it.
#[derive(Serialize, ToSchema)]
#[schema(as = Delivery)]
struct DeliveryResource {
    id: DeliveryId,
    #[schema(schema_with = delivery_object)]
    object: &'static str,
    /// The event, which is also the `webhook-id`.
    event_id: EventId,
    #[schema(schema_with = told_type)]
    event_type: String,
    /// The payment that it tells of; none where it tells of an endpoint.
    #[schema(required = true)]
    payment_id: Option<PaymentId>,
    /// `live`, `replay` (its endpoint's owner wants it again) or `test`.
    kind: &'static str,
    /// `pending`, `delivered`, `exhausted` (given up), `aborted` (the receiver did not want it),
    /// `held` (its endpoint is disabled) or `canceled` (its endpoint was deleted).
    status: String,
    /// How often it was tried.
    attempts: u32,
    #[schema(required = true)]
    next_attempt_at: Option<Timestamp>,
    created_at: Timestamp,
    #[schema(required = true)]
    finished_at: Option<Timestamp>,
}

/// A trial may tell of nothing at all.
fn told_type() -> RefOr<Schema> {
    AnyOfBuilder::new()
        .item(Ref::from_schema_name(EventType::name()))
        .item(constant("webhook_endpoint.test"))
        .into()
}

fn delivery_object() -> RefOr<Schema> {
    constant("webhook_delivery")
}

/// One attempt, as its seller sees it.
#[derive(Serialize, ToSchema)]
#[schema(as = DeliveryAttempt)]
pub(crate) struct AttemptResource {
    #[schema(minimum = 1)]
    number: u32,
    at: Timestamp,
    duration_ms: u32,
    /// What it came to, in a word; `delivered` is the good one.
    outcome: String,
    /// What the receiver answered, if it did.
    #[schema(required = true)]
    http_status: Option<u16>,
    /// Why there was no answer.
    #[schema(required = true)]
    error: Option<String>,
    /// How the answer's body begins.
    #[schema(required = true)]
    response: Option<String>,
}

/// Every attempt of one delivery, oldest first.
#[derive(Serialize, ToSchema)]
#[schema(as = DeliveryAttempts)]
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
#[utoipa::path(
    get,
    path = "/v1/webhook_endpoints/{id}/deliveries",
    tag = "Webhook endpoints",
    summary = "List an endpoint's deliveries",
    description = "What was told to an endpoint, or is to be, newest first, page by page.",
    params(
        ("id" = EndpointId, Path, description = "The endpoint."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100,
            description = "How many at most; 50 unless it is said."),
        ("cursor" = Option<String>, Query, min_length = 1,
            description = "The `next_cursor` of the page before, with the same filters."),
    ),
    responses(
        (status = 200, body = Body<DeliveryResource>, description = "A page.",
            headers(("Link" = String, description = "The next page's address, if there is one.")),
            example = example::deliveries),
        Refused<(Keyed, Absent, (Queried, Positioned), Stored)>,
    ),
    security(("api_key" = ["webhooks"])),
)]
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
#[utoipa::path(
    get,
    path = "/v1/webhook_deliveries/{id}/attempts",
    tag = "Webhook endpoints",
    summary = "List a delivery's attempts",
    description = "Every attempt of one delivery, oldest first.",
    params(("id" = DeliveryId, Path, description = "The delivery.")),
    responses(
        (status = 200, body = Attempts, description = "The attempts so far.",
            example = example::attempts),
        Refused<(Keyed, Absent, Stored)>,
    ),
    security(("api_key" = ["webhooks"])),
)]
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

/// A delivery that is made again.
#[derive(Serialize, ToSchema)]
struct Redelivered {
    id: DeliveryId,
    #[schema(schema_with = delivery_object)]
    object: &'static str,
    #[schema(schema_with = pending)]
    status: &'static str,
}

fn pending() -> RefOr<Schema> {
    constant("pending")
}

/// `POST /v1/webhook_deliveries/{id}/redeliver`: sends it now, also what was delivered or given up.
/// It takes the place of the attempt that was planned.
#[utoipa::path(
    post,
    path = "/v1/webhook_deliveries/{id}/redeliver",
    tag = "Webhook endpoints",
    summary = "Make a delivery again",
    description = "Sends it now, also what was delivered or given up. It takes the place of the \
        attempt that was planned.",
    params(("id" = DeliveryId, Path, description = "The delivery.")),
    responses(
        (status = 202, body = Redelivered, description = "It is due.",
            example = example::redelivered),
        Refused<(Keyed, Absent, Contested, Stored)>,
    ),
    security(("api_key" = ["webhooks"])),
)]
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
