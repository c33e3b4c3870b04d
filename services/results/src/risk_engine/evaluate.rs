//! `POST /risk/evaluate`

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use domain::risk_engine::{NamedTrace, NotAssessed, RiskInquiry, RiskTrace, assess};
use domain::schema::constant_of;
use domain::{AccountId, Address, Scope};
use runtime::problem::document::{Bodied, Keyed, Malformed, Refused, Stored};
use runtime::{FieldError, Problem, ProblemCode, json};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};
use uuid::Uuid;

use super::{Elsewhere, address, local, named};
use crate::refusal::Refusal;
use crate::{App, example};

/// Where the payer stands in a payment's payload: by itself, or inside of the whole payload.
const PAYER: [&str; 2] = ["/authorization/from", "/payload/authorization/from"];

#[derive(Deserialize, ToSchema)]
#[schema(as = RiskQuestion, description = "A payment to decide on.")]
struct Question {
    /// The agent's session.
    #[schema(format = "uuid")]
    sid: String,
    /// The trace of this payment.
    #[serde(default)]
    #[schema(format = "uuid")]
    tid: Option<String>,
    #[serde(rename = "trace_context")]
    _trace_context: TraceContext,
    payment: Described,
    /// What the agent was told to do, by reference. It is not fetched.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    mandate: Option<Map<String, Value>>,
}

/// Where the request stands among others.
#[derive(Deserialize, ToSchema)]
#[schema(as = RiskTraceContext)]
struct TraceContext {
    /// `traceparent`.
    #[serde(rename = "tp")]
    _tp: String,
    /// `tracestate`.
    #[serde(default, rename = "ts")]
    _ts: Option<String>,
}

/// A payment as engines are told of it.
#[derive(Deserialize, ToSchema)]
#[schema(as = RiskPayment)]
struct Described {
    /// The protocol and the scheme, such as `x402:exact`.
    #[serde(rename = "protocol")]
    _protocol: String,
    /// The payload, whose `authorization.from` is who pays.
    #[schema(value_type = Object)]
    payload: Value,
    /// The version of the protocol.
    #[serde(default, rename = "version")]
    #[schema(value_type = Value)]
    _version: Option<Value>,
    /// The network.
    #[serde(default, rename = "network")]
    _network: Option<String>,
    /// Headers that came with it.
    #[serde(default, rename = "headers")]
    #[schema(value_type = Option<Object>)]
    _headers: Option<Map<String, Value>>,
    /// What else is known of it.
    #[serde(default, rename = "extra")]
    #[schema(value_type = Option<Object>)]
    _extra: Option<Map<String, Value>>,
}

/// What the engine decides.
#[derive(Serialize, ToSchema)]
#[schema(as = RiskAnswer)]
struct Answer {
    #[schema(schema_with = decisions)]
    decision: &'static str,
    /// The decision's name.
    #[schema(format = "uuid")]
    decision_id: String,
    /// What was found, most serious first.
    reasons: Vec<&'static str>,
    /// How long the decision holds.
    ttl_seconds: u64,
    /// Always false: mandates are not fetched.
    used_mandate: bool,
    /// What was not looked at.
    warnings: Vec<&'static str>,
    #[schema(schema_with = levels)]
    risk_level: &'static str,
    #[schema(value_type = Object)]
    extra: Map<String, Value>,
}

fn decisions() -> RefOr<Schema> {
    constant_of(["allow", "review", "deny"])
}

fn levels() -> RefOr<Schema> {
    constant_of(["low", "medium", "high"])
}

/// Decides on a payment.
#[utoipa::path(
    post,
    path = "/risk/evaluate",
    tag = "Risk",
    summary = "Ask for a decision",
    description = "What the local risk engine thinks of a payment: whether the session's wallet \
        pays it, and what the trace gives away. Nothing is settled, held or refused by it.",
    request_body(content = Question, example = example::risk_question),
    responses(
        (status = 200, body = Answer, description = "The decision.",
            example = example::risk_answer),
        Refused<(Keyed, Bodied, Malformed, Elsewhere, Stored)>,
    ),
    security(("api_key" = ["payments:write"])),
)]
pub(crate) async fn evaluate(
    State(app): State<App>,
    request: Request,
) -> Result<Response, Refusal> {
    let caller = app.caller(request.headers(), Scope::PaymentsWrite).await?;
    let models = &local(&app)?.models;
    let question: Question = json::parse(&json::read_body(request).await?)?;
    let payer = payer(&question.payment.payload)?;
    let now = app.now();
    let sid = named(&question.sid).ok_or(NotAssessed::UnknownSession)?;
    let session = app.store().find_risk_session(caller.account, sid, now).await?;
    let session = session.map(|row| row.session).ok_or(NotAssessed::UnknownSession)?;
    let found = match question.tid.as_deref() {
        Some(tid) => find_trace(&app, caller.account, tid).await?,
        None => None,
    };
    let trace = match (&question.tid, &found) {
        (None, _) => NamedTrace::None,
        (Some(_), None) => NamedTrace::Unknown,
        (Some(_), Some(trace)) => NamedTrace::Found(trace),
    };
    let inquiry = RiskInquiry { payer, session: Some(&session), trace, models, now };
    let assessment = assess(&inquiry)?;
    let answer = Answer {
        decision: assessment.decision.as_str(),
        decision_id: Uuid::new_v4().to_string(),
        reasons: assessment.reasons.iter().map(|finding| finding.as_str()).collect(),
        ttl_seconds: assessment.valid_secs,
        used_mandate: false,
        warnings: question.mandate.iter().map(|_| "mandate_not_fetched").collect(),
        risk_level: assessment.decision.level().as_str(),
        extra: Map::new(),
    };
    Ok(Json(answer).into_response())
}

async fn find_trace(
    app: &App,
    account: AccountId,
    tid: &str,
) -> Result<Option<RiskTrace>, Refusal> {
    let Some(tid) = named(tid) else { return Ok(None) };
    let row = app.store().find_risk_trace(account, tid, app.now()).await?;
    Ok(row.map(|row| row.to_trace()))
}

fn payer(payload: &Value) -> Result<Address, Problem> {
    let told = PAYER.iter().find_map(|pointer| payload.pointer(pointer)).and_then(Value::as_str);
    told.and_then(address).ok_or_else(|| {
        let detail = "must be who pays: 0x and 40 hexadecimal digits";
        Problem::new(ProblemCode::MalformedField)
            .detail("The payment does not say who pays")
            .field(FieldError::new("/payment/payload/authorization/from", "malformed", detail))
    })
}
