//! `POST /v1/payments/{id}/cancel`

use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use domain::{AccountId, Payment, PaymentId, Scope, StateName};
use runtime::problem::document::{Absent, Contested, Keyed, Queried, Refused, Stored};
use runtime::{Problem, ProblemCode};

use crate::cancellations::Cancellation;
use crate::payment_answer::{Body, PaymentAnswer};
use crate::query::Query;
use crate::refusal::{Refusal, id};
use crate::viewer::Viewer;
use crate::{App, example};

/// How often a payment that changes meanwhile is looked at again.
const MOST_TRIES: usize = 5;

/// Takes a payment back before it is submitted; doing so again changes nothing.
///
/// Afterwards we never send it, but the buyer's authorization still lives: whoever holds it can
/// use it until it expires.
#[utoipa::path(
    post,
    path = "/v1/payments/{id}/cancel",
    tag = "Payments",
    summary = "Take a payment back",
    description = "Takes a payment back before it is submitted; doing so again changes nothing. \
        Afterwards it is never sent by us, but the buyer's authorization still lives: whoever \
        holds it can use it until it expires.",
    params(("id" = PaymentId, Path, description = "The payment.")),
    responses(
        (status = 200, body = Body<'_>, description = "It is canceled.",
            headers(("ETag" = String, description = "The payment's version.")),
            example = example::canceled),
        Refused<(Keyed, Absent, Contested, Queried, Stored)>,
    ),
    security(("api_key" = ["payments:write"])),
)]
pub(crate) async fn cancel_payment(
    State(app): State<App>,
    Path(payment): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = app.caller(&headers, Scope::PaymentsWrite).await?;
    Query::read(query.as_deref())?.finish()?;
    let canceled = cancel(&app, caller.account, id(&payment)?).await?;
    let answer = PaymentAnswer::gather(app.desk(), canceled).await?;
    Ok(answer.into_response(Viewer::Seller(caller), app.settings()))
}

async fn cancel(app: &App, account: AccountId, id: PaymentId) -> Result<Payment, Refusal> {
    for _ in 0..MOST_TRIES {
        match app.cancellations().make(account, id).await? {
            Cancellation::Canceled(payment) => return Ok(*payment),
            Cancellation::TooLate(state) => return Err(too_late(id, state).into()),
            Cancellation::Unknown => return Err(ProblemCode::NotFound.into()),
            Cancellation::Overtaken => {}
        }
    }
    Err(Problem::new(ProblemCode::Unavailable)
        .detail("The payment changes too fast; try again")
        .into())
}

fn too_late(id: PaymentId, state: StateName) -> Problem {
    Problem::new(ProblemCode::Conflict)
        .detail(format!("The payment is {state} and cannot be canceled any more"))
        .payment_id(id.to_string())
}
