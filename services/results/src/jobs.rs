//! `GET /v1/jobs/{id}`: work that goes on behind an answer.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use domain::{EndpointId, JobId, Scope, Timestamp};
use runtime::ProblemCode;
use serde::Serialize;
use store::Recovery;

use crate::App;
use crate::refusal::{Refusal, id};

/// A job as its owner sees it. All of them are recoveries of webhook endpoints.
#[derive(Serialize)]
pub(crate) struct JobResource {
    id: JobId,
    object: &'static str,
    r#type: &'static str,
    status: &'static str,
    endpoint_id: EndpointId,
    since: Timestamp,
    until: Timestamp,
    /// Deliveries that are on their way because of it, or were.
    recovered: u64,
    created_at: Timestamp,
    finished_at: Option<Timestamp>,
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
