//! `POST /v1/webhook_endpoints/{id}/recover`

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::schema::constant;
use domain::{AccountId, EndpointId, JobId, Scope, Timestamp};
use runtime::problem::document::{Absent, Bodied, Contested, Keyed, Malformed, Refused, Stored};
use runtime::{FieldError, Problem, ProblemCode, json};
use serde::{Deserialize, Serialize};
use store::{Begun, RecoveryCount, RecoverySpec};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use super::find_endpoint;
use crate::jobs::JobResource;
use crate::refusal::{Refusal, id};
use crate::{App, example};

/// What was given up is listed for so long, and can be recovered.
const FURTHEST_BACK: Duration = Duration::from_secs(30 * 24 * 3_600);

/// How far a dry run counts.
const MOST_COUNTED: u32 = 100_000;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RecoveryWanted, description = "What an endpoint is to be told again.")]
struct Wanted {
    /// What happened from then on, at most 30 days ago.
    #[schema(format = "date-time")]
    since: String,
    /// What happened before then; everything, unless it is said.
    #[serde(default)]
    #[schema(format = "date-time")]
    until: Option<String>,
    #[serde(default)]
    #[schema(required = false)]
    status: Which,
    /// Events are told as well of which the endpoint was never told.
    #[serde(default)]
    #[schema(required = false)]
    include_unattempted: bool,
    /// It is only counted.
    #[serde(default)]
    #[schema(required = false)]
    dry_run: bool,
}

/// Which deliveries are made again.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = RecoveredDeliveries)]
enum Which {
    /// Those that were given up.
    #[default]
    Failed,
    /// Those that arrived as well.
    All,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RecoveryCount)]
struct DryRun {
    #[schema(schema_with = recovery_object)]
    object: &'static str,
    dry_run: bool,
    /// Deliveries that would be made again.
    deliveries: u64,
    /// Events that would be told for the first time.
    unattempted: u64,
    /// Whether there are more than were counted.
    capped: bool,
}

fn recovery_object() -> RefOr<Schema> {
    constant("recovery")
}

/// Tells an endpoint again what it missed, as a job; a dry run says only how much that would be.
#[utoipa::path(
    post,
    path = "/v1/webhook_endpoints/{id}/recover",
    tag = "Webhook endpoints",
    summary = "Tell an endpoint again what it missed",
    description = "All deliveries that were given up are made again, as a job; a dry run only \
        counts them. They keep their `webhook-id`, and never come before what happens meanwhile. \
        An endpoint has one such job at a time.",
    params(("id" = EndpointId, Path, description = "The endpoint.")),
    request_body(content = Wanted, example = example::wanted_recovery),
    responses(
        (status = 200, body = DryRun, description = "How much it would be.",
            example = example::recovery_count),
        (status = 202, body = JobResource, description = "The job goes on by itself.",
            headers(("Location" = String, description = "The job's path.")),
            example = example::job),
        Refused<(Keyed, Absent, Bodied, Contested, Malformed, Stored)>,
    ),
    security(("api_key" = ["webhooks"])),
)]
pub(crate) async fn recover(
    State(app): State<App>,
    Path(endpoint): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let caller = app.caller(request.headers(), Scope::Webhooks).await?;
    let endpoint = find_endpoint(&app, caller.account, id(&endpoint)?).await?.id;
    let wanted: Wanted = json::parse(&json::read_body(request).await?)?;
    let now = app.now();
    let spec = RecoverySpec {
        account: caller.account,
        endpoint,
        since: recoverable("/since", &wanted.since, now)?,
        until: wanted.until.as_deref().map_or(Ok(now), |until| time("/until", until))?.min(now),
        delivered_too: wanted.status == Which::All,
        untold_too: wanted.include_unattempted,
    };
    if spec.since >= spec.until {
        return Err(
            refused("/since", "out_of_range", "must be before until, and in the past").into()
        );
    }
    if !wanted.dry_run {
        return begin(&app, spec, "Another recovery of this endpoint is not over").await;
    }
    let count = app.store().count_recovery(&spec, MOST_COUNTED.into()).await?;
    Ok(Json(DryRun::from(count)).into_response())
}

/// Begins a recovery of all that was missed since then, for an endpoint that is enabled again.
pub(super) async fn recover_since(
    app: &App,
    account: AccountId,
    endpoint: EndpointId,
    since: Timestamp,
) -> Result<(), Refusal> {
    let (until, delivered_too, untold_too) = (app.now(), false, true);
    let spec = RecoverySpec { account, endpoint, since, until, delivered_too, untold_too };
    begin(app, spec, "The endpoint is enabled; another recovery of it is not over").await.map(drop)
}

/// A moment that is not too long ago.
pub(super) fn recoverable(pointer: &str, text: &str, now: Timestamp) -> Result<Timestamp, Problem> {
    let since = time(pointer, text)?;
    if since >= now || now.since(since) > FURTHEST_BACK {
        let detail = "must be in the past, and not more than 30 days ago";
        return Err(refused(pointer, "out_of_range", detail));
    }
    Ok(since)
}

fn time(pointer: &str, text: &str) -> Result<Timestamp, Problem> {
    Timestamp::from_rfc3339(text)
        .ok_or_else(|| refused(pointer, "invalid", "must be a time of RFC 3339"))
}

fn refused(pointer: &str, code: &'static str, detail: &'static str) -> Problem {
    Problem::new(ProblemCode::MalformedField)
        .detail("There is no such time to recover from")
        .field(FieldError::new(pointer, code, detail))
}

async fn begin(app: &App, spec: RecoverySpec, busy: &'static str) -> Result<Response, Refusal> {
    let (job, now) = (JobId::new(runtime::new_uuid()), app.now());
    let conflict = |detail: &'static str| Problem::new(ProblemCode::Conflict).detail(detail);
    match app.store().begin_recovery(job, &spec, now).await? {
        Begun::Running => {}
        Begun::Busy => {
            return Err(conflict(busy).into());
        }
        Begun::EndpointIsDown => {
            return Err(conflict("The endpoint is told nothing; enable it first").into());
        }
        Begun::Unknown => return Err(ProblemCode::NotFound.into()),
    }
    let recovery = app.store().find_recovery(spec.account, job).await?;
    let recovery = recovery.ok_or(ProblemCode::NotFound)?;
    let mut response = (StatusCode::ACCEPTED, Json(JobResource::new(&recovery))).into_response();
    let path = HeaderValue::try_from(format!("/v1/jobs/{job}"));
    let path = path.expect("letters, digits and slashes are ASCII");
    response.headers_mut().insert(LOCATION, path);
    Ok(response)
}

impl From<RecoveryCount> for DryRun {
    fn from(count: RecoveryCount) -> Self {
        let most = u64::from(MOST_COUNTED);
        Self {
            object: "recovery",
            dry_run: true,
            deliveries: count.again,
            unattempted: count.untold,
            capped: count.again >= most || count.untold >= most,
        }
    }
}
