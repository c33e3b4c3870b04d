//! `GET /v1/jobs/{id}`: work that goes on behind an answer.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use domain::schema::constant;
use domain::{EndpointId, JobId, Scope, Timestamp};
use runtime::ProblemCode;
use runtime::problem::document::{Absent, Keyed, Refused, Stored};
use serde::Serialize;
use store::Recovery;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use crate::refusal::{Refusal, id};
use crate::{App, example};

/// A job as its owner sees it. All of them are recoveries of webhook endpoints.
#[derive(Serialize, ToSchema)]
#[schema(as = Job)]
pub(crate) struct JobResource {
    id: JobId,
    #[schema(schema_with = job_object)]
    object: &'static str,
    /// `webhook_recovery`.
    r#type: &'static str,
    /// `running`, `done`, or `canceled`: its endpoint was deleted.
    status: &'static str,
    endpoint_id: EndpointId,
    since: Timestamp,
    until: Timestamp,
    /// Deliveries that are on their way because of it, or were.
    recovered: u64,
    created_at: Timestamp,
    #[schema(required = true)]
    finished_at: Option<Timestamp>,
}

fn job_object() -> RefOr<Schema> {
    constant("job")
}

impl JobResource {
    pub(crate) fn new(recovery: &Recovery) -> Self {
        Self {
            id: recovery.id,
            object: "job",
            r#type: "webhook_recovery",
            status: recovery.state.as_str(),
            endpoint_id: recovery.spec.endpoint,
            since: recovery.spec.since,
            until: recovery.spec.until,
            recovered: recovery.recovered,
            created_at: recovery.created_at,
            finished_at: recovery.finished_at,
        }
    }
}

/// How far a job is.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}",
    tag = "Webhook endpoints",
    summary = "See how far a job is",
    description = "A recovery of a webhook endpoint, which goes on by itself.",
    params(("id" = JobId, Path, description = "The job.")),
    responses(
        (status = 200, body = JobResource, description = "The job.", example = example::job),
        Refused<(Keyed, Absent, Stored)>,
    ),
    security(("api_key" = ["webhooks"])),
)]
pub(crate) async fn show_job(
    State(app): State<App>,
    Path(job): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = app.caller(&headers, Scope::Webhooks).await?;
    let recovery = app.store().find_recovery(caller.account, id(&job)?).await?;
    let recovery = recovery.ok_or(ProblemCode::NotFound)?;
    Ok(Json(JobResource::new(&recovery)).into_response())
}
