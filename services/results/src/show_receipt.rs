//! `GET /v1/payments/{id}/receipt`

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, VARY};
use axum::response::{IntoResponse, Response};
use domain::schema::constant;
use domain::{Payment, PaymentId};
use receipt::Statement;
use runtime::problem::document::{Absent, Contested, Keyed, Queried, Refused, Stored};
use runtime::{Problem, ProblemCode};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use crate::query::Query;
use crate::refusal::Refusal;
use crate::viewer::Viewer;
use crate::{App, example};

/// The media type of a JWS in compact form (RFC 7515, section 9.2.1).
const JOSE: &str = "application/jose";

const JSON: &str = "application/json";

/// What is settled stays so.
const KEPT: &str = "private, max-age=3600";

/// A receipt, and what it says for whoever only wants to read it.
#[derive(Serialize, ToSchema)]
#[schema(as = Receipt)]
struct Body {
    #[schema(schema_with = receipt_object)]
    object: &'static str,
    payment: PaymentId,
    /// The statement, signed (JWS in compact form).
    jws: String,
    statement: Statement,
}

fn receipt_object() -> RefOr<Schema> {
    constant("receipt")
}

/// The receipt of a settled payment, signed.
#[utoipa::path(
    get,
    path = "/v1/payments/{id}/receipt",
    tag = "Payments",
    summary = "Get a payment's receipt",
    description = "A signed statement that the payment was settled, and where on chain. Anybody \
        verifies it with the keys of `/.well-known/webhook-keys.json`, or with the chain alone.",
    params(
        ("id" = PaymentId, Path, description = "The payment."),
        ("Accept" = Option<String>, Header,
            description = "`application/jose` asks for the JWS alone."),
    ),
    responses(
        (status = 200, description = "The receipt.", content(
            (Body = "application/json", example = example::receipt),
            (String = "application/jose", example = example::jws),
        )),
        Refused<(Keyed, Absent, Queried, Contested, Stored)>,
    ),
    security(("api_key" = ["payments:read"]), ("poll_token" = [])),
)]
pub(crate) async fn show_receipt(
    State(app): State<App>,
    Path(payment): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (viewer, payment) = Viewer::of(&app, &headers, &payment).await?;
    Query::read(query.as_deref())?.finish()?;
    let payment = viewer.load(&app, payment).await?;
    let statement = Statement::of(&payment).ok_or_else(|| not_settled(&payment))?;
    let ring = app.signing_keys().ring().await?;
    let key = ring.signing(app.now()).ok_or_else(no_key)?;
    let jws = key.sign(&statement);
    let common = [(CACHE_CONTROL, KEPT), (VARY, "Accept")];
    if jose_is_wanted(&headers) {
        return Ok((common, [(CONTENT_TYPE, JOSE)], jws).into_response());
    }
    let body = Body { object: "receipt", payment: payment.id, jws, statement };
    Ok((common, Json(body)).into_response())
}

fn not_settled(payment: &Payment) -> Problem {
    let status = payment.state.name();
    let detail = if payment.state.is_terminal() {
        format!("The payment ended as {status}; only a settled one has a receipt")
    } else {
        format!("The payment is {status}; ask again when it is settled")
    };
    Problem::new(ProblemCode::Conflict).detail(detail).payment_id(payment.id.to_string())
}

fn no_key() -> Refusal {
    tracing::error!("the ledger has no signing key, though its migration made one");
    ProblemCode::InternalError.into()
}

/// Whether the client asks for the bare receipt: of the two forms, the one it names first.
fn jose_is_wanted(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = accepted
        .flat_map(|value| value.split(','))
        .map(|range| range.split(';').next().unwrap_or_default().trim());
    kinds
        .find(|kind| [JOSE, JSON].iter().any(|ours| kind.eq_ignore_ascii_case(ours)))
        .is_some_and(|kind| kind.eq_ignore_ascii_case(JOSE))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_bare_receipt_goes_to_whoever_names_it_first() {
        for (accept, wanted) in [
            ("application/jose", true),
            ("Application/JOSE; charset=utf-8", true),
            ("text/html, application/jose, application/json;q=0.5", true),
            ("application/json, application/jose", false),
            ("application/*", false),
            ("*/*", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(jose_is_wanted(&headers), wanted, "{accept}");
        }
        assert!(!jose_is_wanted(&HeaderMap::new()));
    }
}
