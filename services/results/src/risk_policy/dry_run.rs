//! `POST /v1/risk/policy/dry_run`

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use domain::schema::constant;
use domain::{
    Amount, Case, Control, Decision, EngineWord, Payment, PaymentId, Policy, PolicyReason, Scope,
    Taken, Timestamp, U256, decide,
};
use runtime::problem::document::{Bodied, Keyed, Malformed, Refused, Stored};
use runtime::{FieldError, Problem, ProblemCode, json};
use serde::{Deserialize, Serialize};
use store::PaymentFilter;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use super::sensible;
use crate::refusal::Refusal;
use crate::{App, example};

/// The most payments that are looked at, and how many unless it is said.
const MOST_PAYMENTS: u32 = 1_000;
const USUAL_PAYMENTS: u32 = 100;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PolicyTrial, description = "Rules, and how many payments they are tried on.")]
struct Wanted {
    /// The rules.
    #[schema(value_type = Object)]
    policy: Policy,
    /// The newest payments, this many.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1000)]
    payments: Option<u32>,
}

/// What rules would have done.
#[derive(Serialize, ToSchema)]
#[schema(as = PolicyTrialResult)]
struct Tried {
    #[schema(schema_with = trial_object)]
    object: &'static str,
    /// Payments that were looked at.
    payments: u64,
    /// Those that would have been allowed.
    allow: u64,
    /// How many would have been denied or held, by reason.
    reasons: BTreeMap<&'static str, u64>,
    /// Those that would not have been allowed, oldest first.
    data: Vec<Stopped>,
}

/// A payment that rules would have stopped.
#[derive(Serialize, ToSchema)]
#[schema(as = PolicyTrialPayment)]
struct Stopped {
    payment_id: PaymentId,
    /// `deny` or `review`.
    decision: &'static str,
    #[schema(value_type = String)]
    reason: PolicyReason,
}

fn trial_object() -> RefOr<Schema> {
    constant("risk_policy_dry_run")
}

/// Tries rules on the tenant's newest payments, each as of the time when it was accepted. What payers
/// had then is not looked at, and nothing is changed.
#[utoipa::path(
    post,
    path = "/v1/risk/policy/dry_run",
    tag = "Risk",
    summary = "Try rules on past payments",
    description = "What rules would have done to the newest payments, each as of the time when it \
        was accepted. Nothing is changed.",
    request_body(content = Wanted, example = example::policy_trial),
    responses(
        (status = 200, body = Tried, description = "What they would have done.",
            example = example::policy_tried),
        Refused<(Keyed, Bodied, Malformed, Stored)>,
    ),
    security(("api_key" = ["risk"])),
)]
pub(crate) async fn dry_run(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let caller = app.caller(request.headers(), Scope::Risk).await?;
    let wanted: Wanted = json::parse(&json::read_body(request).await?)?;
    let count = wanted.payments.unwrap_or(USUAL_PAYMENTS);
    if !(1..=MOST_PAYMENTS).contains(&count) {
        return Err(Problem::new(ProblemCode::MalformedField)
            .detail("So many payments are not looked at")
            .field(FieldError::new("/payments", "out_of_range", "must be from 1 to 1000"))
            .into());
    }
    sensible(&wanted.policy).map_err(|problem| below_policy(&problem))?;
    let filter = PaymentFilter::default();
    let mut payments = app.store().list_payments(caller.account, &filter, count.into()).await?;
    payments.reverse();
    let ids: Vec<PaymentId> = payments.iter().map(|payment| payment.id).collect();
    let hosts = app.store().resource_hosts(&ids).await?;
    let host = |payment: &Payment| hosts.get(&payment.id).map(String::as_str);
    Ok(Json(tried(&wanted.policy, &payments, host)).into_response())
}

/// The rules are a part of the body here.
fn below_policy(problem: &Problem) -> Problem {
    let fields: Vec<FieldError> = problem.errors().to_vec();
    fields.into_iter().fold(Problem::new(problem.code()), |problem, mut field| {
        field.pointer.insert_str(0, "/policy");
        problem.field(field)
    })
}

fn tried<'a>(
    policy: &'a Policy,
    payments: &'a [Payment],
    host: impl Fn(&Payment) -> Option<&'a str>,
) -> Tried {
    let (mut taken, mut data) = (Taken::default(), Vec::new());
    for payment in payments {
        // As if it had never been open: what payers had is not known any more.
        taken.purses.clear();
        let case = Case {
            account: payment.account,
            authorization: &payment.authorization,
            control: Control::Free,
            host: host(payment),
            balance: Amount::new(U256::MAX),
            policy,
            reserved: false,
            approved_by_hand: false,
            // No engine is asked about what is over.
            engine: EngineWord::NotAsked,
            decide_by: Timestamp::from_unix_secs(payment.authorization.valid_before),
        };
        let decided = decide(&[case], &mut taken, payment.created_at).pop();
        let (decision, reason) = match decided {
            Some(Decision::Deny(reason)) => ("deny", reason),
            Some(Decision::Review(reason, _)) => ("review", reason),
            Some(Decision::Allow(_) | Decision::Wait(_) | Decision::Ask) | None => continue,
        };
        data.push(Stopped { payment_id: payment.id, decision, reason });
    }
    let mut reasons: BTreeMap<&'static str, u64> = BTreeMap::new();
    for stopped in &data {
        *reasons.entry(stopped.reason.as_str()).or_default() += 1;
    }
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    Tried {
        object: "risk_policy_dry_run",
        payments: number(payments.len()),
        allow: number(payments.len().saturating_sub(data.len())),
        reasons,
        data,
    }
}
