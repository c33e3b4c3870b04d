//! `/ops/v1/holds`: payments on which somebody has to decide.

use axum::Json;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::{
    AccountId, Amount, ChainId, Payment, PaymentId, PaymentState, Scope, Timestamp, schema,
};
use queue::{Job, Stream};
use runtime::problem::document::{
    Absent, Bodied, Contested, Keyed, Malformed, Queried, Refused, Stored,
};
use runtime::{FieldError, Problem, ProblemCode, json};
use serde::{Deserialize, Serialize};
use store::{Evaluation, HeldPayment, HoldDecision, HoldOutcome};
use utoipa::ToSchema;

use crate::query::Query;
use crate::refusal::{Refusal, id};
use crate::{App, example};

/// The most holds in one answer.
const MOST: i64 = 100;

/// The longest reason, in characters.
const LONGEST_REASON: usize = 500;

/// A payment that waits for somebody, as operators see it.
#[derive(Serialize, ToSchema)]
#[schema(as = Hold)]
struct HoldResource {
    payment_id: PaymentId,
    account: AccountId,
    network: ChainId,
    #[schema(value_type = schema::Address)]
    asset: domain::Address,
    amount: Amount,
    #[schema(value_type = schema::Address)]
    payer: domain::Address,
    #[schema(value_type = schema::Address)]
    pay_to: domain::Address,
    /// When it ends by itself, and the payment is rejected.
    held_until: Timestamp,
    created_at: Timestamp,
    /// What somebody has decided, which is carried out in a moment: `approve` or `deny`.
    #[schema(required = true)]
    decided: Option<&'static str>,
    /// Why it is held, and what the engine had said by then.
    #[schema(required = true)]
    risk: Option<Evaluation>,
}

/// Payments that wait for somebody.
#[derive(Serialize, ToSchema)]
#[schema(as = HoldList)]
struct Holds {
    /// Oldest first, at most 100.
    data: Vec<HoldResource>,
    /// Whether there are more behind the last one: ask with `after`.
    has_more: bool,
}

impl HoldResource {
    fn new(held: HeldPayment, risk: Option<Evaluation>) -> Option<Self> {
        let Payment { id, account, authorization, created_at, state, .. } = held.payment;
        let PaymentState::Held { until } = state else { return None };
        Some(Self {
            payment_id: id,
            account,
            network: authorization.chain,
            asset: authorization.asset,
            amount: authorization.amount,
            payer: authorization.payer,
            pay_to: authorization.pay_to,
            held_until: until,
            created_at,
            decided: held.decided.map(word),
            risk,
        })
    }
}

const fn word(approved: bool) -> &'static str {
    if approved { "approve" } else { "deny" }
}

/// Lists what waits for somebody, whoever's it is.
#[utoipa::path(
    get,
    path = "/ops/v1/holds",
    tag = "Operating",
    summary = "List payments that wait for a decision",
    description = "Payments of all tenants that somebody has to decide on, oldest first, and why.",
    params(("after" = Option<PaymentId>, Query, description = "Behind this payment.")),
    responses(
        (status = 200, body = Holds, description = "The payments.", example = example::holds),
        Refused<(Keyed, Queried, Stored)>,
    ),
    security(("api_key" = ["ops"])),
)]
pub(crate) async fn list_holds(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    app.caller(&headers, Scope::Ops).await?;
    let mut query = Query::read(query.as_deref())?;
    let after: Option<PaymentId> = query.take("after", "a payment's id")?;
    query.finish()?;
    let mut held = app.store().list_holds(after, MOST.saturating_add(1)).await?;
    let most = usize::try_from(MOST).unwrap_or(usize::MAX);
    let has_more = held.len() > most;
    held.truncate(most);
    let ids: Vec<PaymentId> = held.iter().map(|held| held.payment.id).collect();
    let mut why = app.store().newest_evaluations(&ids).await?;
    let resource = |held: HeldPayment| {
        let risk = why.remove(&held.payment.id);
        HoldResource::new(held, risk)
    };
    let data = held.into_iter().filter_map(resource).collect();
    Ok(Json(Holds { data, has_more }).into_response())
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = HoldReason, description = "Why somebody decides so.")]
struct Wanted {
    /// For whoever asks later.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// A decision that was taken down.
#[derive(Serialize, ToSchema)]
#[schema(as = HoldDecision)]
struct DecisionResource {
    payment_id: PaymentId,
    /// `approve` or `deny`.
    decided: &'static str,
}

/// Lets a held payment be settled, if its payer can pay it still.
#[utoipa::path(
    post,
    path = "/ops/v1/holds/{id}/approve",
    tag = "Operating",
    summary = "Approve a held payment",
    description = "It is judged once more, without being asked about again: what its payer has and \
        its tenant's budgets count as ever. The first decision stands.",
    params(("id" = PaymentId, Path, description = "The payment.")),
    request_body(content = Wanted, example = json!({"reason": "a customer of ten years"})),
    responses(
        (status = 202, body = DecisionResource, description = "It is carried out in a moment.",
            example = example::hold_decision),
        Refused<(Keyed, Absent, Bodied, Contested, Malformed, Stored)>,
    ),
    security(("api_key" = ["ops"])),
)]
pub(crate) async fn approve_hold(
    State(app): State<App>,
    Path(payment): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    decide(&app, &payment, request, true).await
}

/// Rejects a held payment.
#[utoipa::path(
    post,
    path = "/ops/v1/holds/{id}/deny",
    tag = "Operating",
    summary = "Deny a held payment",
    description = "It is rejected. The first decision stands.",
    params(("id" = PaymentId, Path, description = "The payment.")),
    request_body(content = Wanted, example = json!({"reason": "the goods are sold out"})),
    responses(
        (status = 202, body = DecisionResource, description = "It is carried out in a moment.",
            example = example::hold_decision),
        Refused<(Keyed, Absent, Bodied, Contested, Malformed, Stored)>,
    ),
    security(("api_key" = ["ops"])),
)]
pub(crate) async fn deny_hold(
    State(app): State<App>,
    Path(payment): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    decide(&app, &payment, request, false).await
}

async fn decide(
    app: &App,
    payment: &str,
    request: Request,
    approved: bool,
) -> Result<Response, Refusal> {
    let caller = app.caller(request.headers(), Scope::Ops).await?;
    let payment: PaymentId = id(payment)?;
    let Wanted { reason } = json::parse(&json::read_body(request).await?)?;
    let fits = (1..=LONGEST_REASON).contains(&reason.chars().count());
    if !fits || reason.trim().is_empty() || reason.contains('\0') {
        return Err(Problem::new(ProblemCode::MalformedField)
            .detail("A decision has a reason")
            .field(FieldError::new("/reason", "invalid", "must be 1 to 500 characters"))
            .into());
    }
    let decision = HoldDecision { payment, approved, reason, by: caller.key };
    match app.store().decide_hold(&decision, app.now()).await? {
        HoldOutcome::Recorded => {
            tracing::info!(%payment, decided = word(approved), by = %caller.key, "a hold was decided");
            app.bell().ring(&Stream::Risk, Job::new(payment.to_string()));
        }
        HoldOutcome::Decided(before) if before == approved => {}
        HoldOutcome::Decided(_) => return Err(conflict("Somebody has decided otherwise").into()),
        HoldOutcome::NotHeld => return Err(conflict("Nobody has to decide on the payment").into()),
        HoldOutcome::Unknown => return Err(ProblemCode::NotFound.into()),
    }
    let body = DecisionResource { payment_id: payment, decided: word(approved) };
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

fn conflict(detail: &'static str) -> Problem {
    Problem::new(ProblemCode::Conflict).detail(detail)
}
