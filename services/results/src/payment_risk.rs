//! `GET /v1/payments/{id}/risk`: why a payment was decided on as it was.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use domain::{PaymentId, Scope};
use runtime::ProblemCode;
use runtime::problem::document::{Absent, Keyed, Refused, Stored};
use serde::Serialize;
use store::Evaluation;
use utoipa::ToSchema;

use crate::refusal::{Refusal, id};
use crate::{App, example};

/// Every decision on a payment, and what it rested on.
#[derive(Serialize, ToSchema)]
#[schema(as = PaymentRisk)]
struct PaymentRisk {
    payment_id: PaymentId,
    /// Oldest first.
    data: Vec<Evaluation>,
}

/// Shows a tenant why its payment was decided on as it was.
#[utoipa::path(
    get,
    path = "/v1/payments/{id}/risk",
    tag = "Risk",
    summary = "See why a payment was decided on as it was",
    description = "Every decision on the payment, and what it rested on: the version of the policy, \
        what the payer had by which block, and what other open payments wanted of it.",
    params(("id" = PaymentId, Path, description = "The payment.")),
    responses(
        (status = 200, body = PaymentRisk, description = "The decisions.",
            example = example::payment_risk),
        Refused<(Keyed, Absent, Stored)>,
    ),
    security(("api_key" = ["payments:read"])),
)]
pub(crate) async fn show_risk(
    State(app): State<App>,
    Path(payment): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = app.caller(&headers, Scope::PaymentsRead).await?;
    let payment: PaymentId = id(&payment)?;
    app.desk().payment(caller.account, payment).await?.ok_or(ProblemCode::NotFound)?;
    let data = app.store().evaluations(caller.account, payment).await?;
    Ok(Json(PaymentRisk { payment_id: payment, data }).into_response())
}
