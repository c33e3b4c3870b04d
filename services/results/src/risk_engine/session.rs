//! `POST /risk/session` and `GET /risk/session/{sid}`

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use domain::risk_engine::{NotAssessed, RiskSession};
use domain::schema::Address as AddressText;
use domain::{Address, Scope, Timestamp};
use runtime::problem::document::{Absent, Bodied, Crowded, Keyed, Malformed, Refused, Stored};
use runtime::{FieldError, Problem, ProblemCode, json};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use store::RiskSessionRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Elsewhere, address, local, named, text};
use crate::refusal::Refusal;
use crate::{App, example};

/// The longest that an agent says of itself, in bytes.
const MAX_NAME_BYTES: usize = 512;
const MAX_URL_BYTES: usize = 2_048;

#[derive(Deserialize, ToSchema)]
#[schema(as = RiskSessionWanted, description = "An agent that is going to pay.")]
struct Wanted {
    /// The agent's name for itself.
    agent_did: String,
    /// The only wallet that it will pay from.
    #[schema(value_type = AddressText)]
    wallet_address: String,
    /// Where it is reached.
    #[serde(default)]
    agent_endpoint: Option<String>,
    /// The app that it is part of.
    #[serde(default)]
    app_id: Option<String>,
    /// What it runs on.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    device: Option<Map<String, Value>>,
}

/// A session that has begun.
#[derive(Serialize, ToSchema)]
#[schema(as = BegunRiskSession)]
struct Begun {
    /// Its name.
    #[schema(format = "uuid")]
    sid: String,
    expires_at: Timestamp,
}

/// A session as its account sees it.
#[derive(Serialize, ToSchema)]
#[schema(as = RiskSession)]
struct Shown {
    #[schema(format = "uuid")]
    sid: String,
    agent_did: String,
    #[schema(value_type = AddressText)]
    wallet_address: Address,
    #[schema(required = true)]
    agent_endpoint: Option<String>,
    #[schema(required = true)]
    app_id: Option<String>,
    #[schema(required = true, value_type = Option<Object>)]
    device: Option<Value>,
    created_at: Timestamp,
    expires_at: Timestamp,
}

/// Begins a session.
#[utoipa::path(
    post,
    path = "/risk/session",
    tag = "Risk",
    summary = "Begin a session",
    description = "Tells the local risk engine of an agent that is going to pay from one wallet. \
        The session is the account's alone, and ends by itself.",
    request_body(content = Wanted, example = example::wanted_risk_session),
    responses(
        (status = 200, body = Begun, description = "It has begun.",
            example = example::begun_risk_session),
        Refused<(Keyed, Bodied, Malformed, Elsewhere, Crowded, Stored)>,
    ),
    security(("api_key" = ["payments:write"])),
)]
pub(crate) async fn begin_session(
    State(app): State<App>,
    request: Request,
) -> Result<Response, Refusal> {
    let caller = app.caller(request.headers(), Scope::PaymentsWrite).await?;
    let lasts = local(&app)?.session_ttl;
    let wanted: Wanted = json::parse(&json::read_body(request).await?)?;
    let optional = |pointer, told: Option<String>, most| {
        told.map(|told| text(pointer, told, most)).transpose()
    };
    let now = app.now();
    let session = RiskSession {
        // Random, since an agent shows it to others, who must not know when it was made.
        id: Uuid::new_v4(),
        wallet: wallet(&wanted.wallet_address)?,
        agent_did: text("/agent_did", wanted.agent_did, MAX_NAME_BYTES)?,
        expires_at: now.plus(lasts),
    };
    let row = RiskSessionRow {
        agent_endpoint: optional("/agent_endpoint", wanted.agent_endpoint, MAX_URL_BYTES)?,
        app_id: optional("/app_id", wanted.app_id, MAX_NAME_BYTES)?,
        device: wanted.device.map(|device| Value::Object(device).to_string()),
        created_at: now,
        session,
    };
    if !app.store().begin_risk_session(caller.account, &row).await? {
        return Err(ProblemCode::Overloaded.into());
    }
    let begun = Begun { sid: row.session.id.to_string(), expires_at: row.session.expires_at };
    Ok(Json(begun).into_response())
}

fn wallet(told: &str) -> Result<Address, Problem> {
    address(told).ok_or_else(|| {
        let detail = "must be 0x and 40 hexadecimal digits";
        Problem::new(ProblemCode::MalformedField)
            .detail("The wallet is not an address")
            .field(FieldError::new("/wallet_address", "malformed", detail))
    })
}

/// Shows a session.
#[utoipa::path(
    get,
    path = "/risk/session/{sid}",
    tag = "Risk",
    summary = "See a session",
    description = "A session that has not ended.",
    params(("sid" = String, Path, format = "uuid", description = "The session.")),
    responses(
        (status = 200, body = Shown, description = "The session.",
            example = example::risk_session),
        Refused<(Keyed, Absent, Stored)>,
    ),
    security(("api_key" = ["payments:read"])),
)]
pub(crate) async fn show_session(
    State(app): State<App>,
    Path(sid): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = app.caller(&headers, Scope::PaymentsRead).await?;
    local(&app)?;
    let id = named(&sid).ok_or(NotAssessed::UnknownSession)?;
    let found = app.store().find_risk_session(caller.account, id, app.now()).await?;
    let row = found.ok_or(NotAssessed::UnknownSession)?;
    let shown = Shown {
        sid: row.session.id.to_string(),
        agent_did: row.session.agent_did,
        wallet_address: row.session.wallet,
        agent_endpoint: row.agent_endpoint,
        app_id: row.app_id,
        device: row.device.and_then(|device| serde_json::from_str(&device).ok()),
        created_at: row.created_at,
        expires_at: row.session.expires_at,
    };
    Ok(Json(shown).into_response())
}
