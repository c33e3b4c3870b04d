//! `POST /v1/webhook_endpoints/{id}/test`

use std::time::Duration;

use access::Caller;
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::schema::constant;
use domain::{
    DeliveryId, EndpointId, EventId, EventType, Scope, Timestamp, WebhookBody, example_event,
};
use runtime::http::SlowByDesign;
use runtime::problem::document::{
    Absent, Bodied, Contested, Crowded, Keyed, Malformed, Refused, Stored,
};
use runtime::{FieldError, Problem, ProblemCode, json};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{LoggedAttempt, NewTrial, Trial};
use tokio::time::Instant;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use crate::refusal::{Refusal, id};
use crate::waiters::Waits;
use crate::webhook_deliveries::AttemptResource;
use crate::{App, example};

/// The type of a trial that asks for no other.
const KIND: &str = "webhook_endpoint.test";

/// How long the answer waits for the attempt: the longest one, and time for it to begin.
const LONGEST: Duration = Duration::from_secs(20);

/// How often it looks whether the attempt is over.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TestWanted, description = "What an endpoint is tried with.")]
struct Wanted {
    /// The type of the example; `webhook_endpoint.test`, unless it is said.
    r#type: Option<String>,
}

/// A trial, and what came of it.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookTest)]
struct TrialResource {
    #[schema(schema_with = test_object)]
    object: &'static str,
    delivery_id: DeliveryId,
    event_id: EventId,
    r#type: String,
    /// What came of it; null while it is under way.
    #[schema(required = true)]
    attempt: Option<AttemptResource>,
}

fn test_object() -> RefOr<Schema> {
    constant("webhook_test")
}

/// Sends an endpoint an example, the way every webhook goes, and tells what came of it. It is tried
/// once.
#[utoipa::path(
    post,
    path = "/v1/webhook_endpoints/{id}/test",
    tag = "Webhook endpoints",
    summary = "Try an endpoint",
    description = "Sends it an example the way every webhook goes, once, and tells what came of it. \
        The body says `\"test\": true`, and the payment in it is made up.",
    params(("id" = EndpointId, Path, description = "The endpoint.")),
    request_body(content = Option<Wanted>, description = "It may be left out, with its \
        `Content-Type`.", example = json!({"type": "payment.settled"})),
    responses(
        (status = 200, body = TrialResource, description = "What came of it.",
            headers(("Location" = String, description = "The log of the attempt.")),
            example = example::trial),
        (status = 202, body = TrialResource, description = "It takes longer than 20 seconds.",
            headers(("Location" = String, description = "The log of the attempt.")),
            example = example::trial_under_way),
        Refused<(Keyed, Absent, Bodied, (Contested, Malformed), Crowded, Stored)>,
    ),
    security(("api_key" = ["webhooks"])),
)]
pub(crate) async fn try_endpoint(
    State(app): State<App>,
    Path(endpoint): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let caller = app.caller(request.headers(), Scope::Webhooks).await?;
    let endpoint: EndpointId = id(&endpoint)?;
    let wanted: Wanted = json::optional_body(request).await?;
    let trial = trial(caller, endpoint, wanted.r#type.as_deref().unwrap_or(KIND), app.now())?;
    let place = app.waiters().enter(caller.key, Waits::Poll).ok_or(ProblemCode::Overloaded)?;
    match app.store().try_endpoint(&trial, app.now()).await? {
        Trial::Due => {}
        Trial::EndpointIsDown => {
            return Err(Problem::new(ProblemCode::Conflict)
                .detail("The endpoint is told nothing; enable it first")
                .into());
        }
        Trial::Unknown => return Err(ProblemCode::NotFound.into()),
    }
    app.herald().announce([], &[trial.delivery]);
    let attempt = outcome(&app, &trial).await?;
    drop(place);
    Ok(answer(trial, attempt))
}

fn trial(
    caller: Caller,
    endpoint: EndpointId,
    kind: &str,
    now: Timestamp,
) -> Result<NewTrial, Problem> {
    let event = EventId::new(runtime::new_uuid());
    let mut body = match kind.parse::<EventType>() {
        Ok(kind) => example_event(kind, event, caller.account, now),
        Err(_) if kind == KIND => json!({
            "type": KIND, "timestamp": now, "id": event, "api_version": WebhookBody::API_VERSION,
            "account": caller.account, "data": {"object": "webhook_endpoint", "id": endpoint},
        }),
        Err(_) => {
            return Err(Problem::new(ProblemCode::MalformedField)
                .detail("There is no such event")
                .field(FieldError::new("/type", "unknown", "is not a type")));
        }
    };
    // Nobody takes the example for a payment.
    body["test"] = Value::Bool(true);
    Ok(NewTrial {
        delivery: DeliveryId::new(runtime::new_uuid()),
        event,
        account: caller.account,
        endpoint,
        event_type: kind.to_owned(),
        body: body.to_string().into_bytes(),
    })
}

/// What came of the attempt, as soon as that is known.
async fn outcome(app: &App, trial: &NewTrial) -> Result<Option<LoggedAttempt>, Refusal> {
    let deadline = Instant::now() + LONGEST;
    loop {
        let attempts = app.store().list_attempts(trial.account, trial.delivery).await?;
        let first = attempts.and_then(|attempts| attempts.into_iter().next());
        if first.is_some() || Instant::now() >= deadline || app.is_stopping() {
            return Ok(first);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn answer(trial: NewTrial, attempt: Option<LoggedAttempt>) -> Response {
    let status = if attempt.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let body = TrialResource {
        object: "webhook_test",
        delivery_id: trial.delivery,
        event_id: trial.event,
        r#type: trial.event_type,
        attempt: attempt.map(Into::into),
    };
    let mut response = (status, Json(body)).into_response();
    let attempts = format!("/v1/webhook_deliveries/{}/attempts", trial.delivery);
    let attempts = HeaderValue::try_from(attempts).expect("letters, digits and slashes are ASCII");
    response.headers_mut().insert(LOCATION, attempts);
    response.extensions_mut().insert(SlowByDesign);
    response
}
