//! `POST /risk/trace` and `GET /risk/trace/{tid}`

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use domain::B256;
use domain::Scope;
use domain::risk_engine::{NotAssessed, request_of};
use runtime::problem::document::{Absent, Bodied, Contested, Keyed, Malformed, Refused, Stored};
use runtime::{FieldError, Problem, ProblemCode, json};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use store::{NewRiskTrace, TraceTold};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Elsewhere, local, named, text};
use crate::refusal::Refusal;
use crate::{App, example};

/// The longest name of a request, in bytes.
const MAX_REQUEST_BYTES: usize = 256;

#[derive(Deserialize, ToSchema)]
#[schema(as = RiskTraceTold, description = "How an agent came to pay.")]
struct Told {
    /// The session that it is for.
    #[schema(format = "uuid")]
    sid: String,
    /// What is known of the agent's device; an object, or its JSON as text.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    fingerprint: Option<Value>,
    /// What was measured; an object, or its JSON as text.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    telemetry: Option<Value>,
    /// What the agent did: `task`, `events`, `model_config`, `session_context`.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    agent_trace: Option<Map<String, Value>>,
}

/// A trace that is kept.
#[derive(Serialize, ToSchema)]
#[schema(as = KeptRiskTrace)]
struct Kept {
    /// Its name.
    #[schema(format = "uuid")]
    tid: String,
    /// The same, under the name that some clients look for.
    #[schema(format = "uuid")]
    trace_id: String,
    /// The hash (SHA-256) of the body as it was sent.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    sha256: String,
}

/// A trace as its account sees it.
#[derive(Serialize, ToSchema)]
#[schema(as = RiskTrace)]
struct Shown {
    #[schema(format = "uuid")]
    sid: String,
    /// As it was told.
    #[schema(required = true, value_type = Value)]
    fingerprint: Option<Value>,
    /// As it was told.
    #[schema(required = true, value_type = Value)]
    telemetry: Option<Value>,
    /// As it was told.
    #[schema(required = true, value_type = Option<Object>)]
    agent_trace: Option<Map<String, Value>>,
    /// The hash (SHA-256) of the body as it was sent.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    sha256: String,
}

/// Keeps a trace.
#[utoipa::path(
    post,
    path = "/risk/trace",
    tag = "Risk",
    summary = "Tell of a trace",
    description = "Tells how an agent came to pay, in at most 256 KiB. The same body told again is \
        the same trace. A session has at most 100.",
    request_body(content = Told, example = example::told_risk_trace),
    responses(
        (status = 200, body = Kept, description = "It is kept.",
            example = example::kept_risk_trace),
        Refused<(Keyed, Bodied, Malformed, Elsewhere, Contested, Stored)>,
    ),
    security(("api_key" = ["payments:write"])),
)]
pub(crate) async fn tell_trace(
    State(app): State<App>,
    request: Request,
) -> Result<Response, Refusal> {
    let caller = app.caller(request.headers(), Scope::PaymentsWrite).await?;
    local(&app)?;
    let body = json::read_body(request).await?;
    let told: Told = json::parse(&body)?;
    object_or_text("/fingerprint", told.fingerprint.as_ref())?;
    object_or_text("/telemetry", told.telemetry.as_ref())?;
    let request_id = request_id(told.agent_trace)?;
    let sha256: [u8; 32] = Sha256::digest(&body).into();
    let new = NewRiskTrace {
        id: Uuid::new_v4(),
        session: named(&told.sid).ok_or(NotAssessed::UnknownSession)?,
        body: &body,
        sha256,
        request_id: request_id.as_deref(),
    };
    let tid = match app.store().tell_risk_trace(caller.account, &new, app.now()).await? {
        TraceTold::Kept(tid) => tid,
        TraceTold::NoSession => return Err(NotAssessed::UnknownSession.into()),
        TraceTold::Full => {
            let detail = "The session has as many traces as it may have";
            return Err(Problem::new(ProblemCode::Conflict).detail(detail).into());
        }
    };
    Ok(Json(Kept { tid: tid.to_string(), trace_id: tid.to_string(), sha256: digits(&sha256) })
        .into_response())
}

fn object_or_text(pointer: &'static str, told: Option<&Value>) -> Result<(), Problem> {
    if told.is_none_or(|told| told.is_object() || told.is_string()) {
        return Ok(());
    }
    let detail = "must be an object, or its JSON as text";
    Err(Problem::new(ProblemCode::InvalidRequest)
        .detail(format!("{pointer} {detail}"))
        .field(FieldError::new(pointer, "wrong_type", detail)))
}

/// The request that a trace is for: a name that the ledger can hold.
fn request_id(agent_trace: Option<Map<String, Value>>) -> Result<Option<String>, Problem> {
    let told = agent_trace.map(Value::Object);
    let id = told.as_ref().and_then(request_of).map(str::to_owned);
    let pointer = "/agent_trace/session_context/request_id";
    id.map(|id| text(pointer, id, MAX_REQUEST_BYTES)).transpose()
}

fn digits(hash: &[u8; 32]) -> String {
    format!("{:x}", B256::from(*hash))
}

/// Shows a trace.
#[utoipa::path(
    get,
    path = "/risk/trace/{tid}",
    tag = "Risk",
    summary = "See a trace",
    description = "A trace of a session that has not ended, as it was told.",
    params(("tid" = String, Path, format = "uuid", description = "The trace.")),
    responses(
        (status = 200, body = Shown, description = "The trace.", example = example::risk_trace),
        Refused<(Keyed, Absent, Stored)>,
    ),
    security(("api_key" = ["payments:read"])),
)]
pub(crate) async fn show_trace(
    State(app): State<App>,
    Path(tid): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = app.caller(&headers, Scope::PaymentsRead).await?;
    local(&app)?;
    let id = named(&tid).ok_or(NotAssessed::UnknownTrace)?;
    let found = app.store().find_risk_trace(caller.account, id, app.now()).await?;
    let row = found.ok_or(NotAssessed::UnknownTrace)?;
    let told: Told = json::parse(&row.body)?;
    let shown = Shown {
        sid: row.session.to_string(),
        fingerprint: told.fingerprint,
        telemetry: told.telemetry,
        agent_trace: told.agent_trace,
        sha256: digits(&row.sha256),
    };
    Ok(Json(shown).into_response())
}
