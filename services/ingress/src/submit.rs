//! `POST /v1/payments`

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use axum::response::{IntoResponse, Response};
use domain::{AccountId, EventId, PaymentId, RiskContext, Scope, Timestamp};
use runtime::problem::document::{Bodied, Crowded, Keyed, Refused};
use runtime::{Problem, ProblemCode, RequestId, TraceContext, http, json};
use store::{Acceptance, Idempotency, Intake};
use x402::{Checked, check, resource_host};

use crate::answer::{Answer, Body, Told};
use crate::meters::{self, Looked};
use crate::payment_header::Beside;
use crate::refusal::{NotPayable, NotTaken};
use crate::submission::{Extras, Submission};
use crate::{App, Settings, digest, example, idempotency, refusal, risk_headers};

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// Accepts a payment: 202 once it is committed, or what became of it when it was sent before.
///
/// The same key with the same body, and the same authorization by the same account, give the same
/// payment, as it stands now.
#[utoipa::path(
    post,
    path = "/v1/payments",
    tag = "Payments",
    summary = "Take a payment",
    description = "Takes the body of an x402 settle request, and answers as soon as the payment is \
        committed: it is settled afterwards. A signature that only a contract wallet can judge \
        (ERC-1271, ERC-6492, accounts with code) is taken unproven: a payment whose token refuses \
        it is rejected with `invalid_signature` afterwards. The same `Idempotency-Key` with the \
        same body, and the same authorization by the same account, give the same payment, as it \
        stands now.",
    params(
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
            description = "1 to 255 visible ASCII characters, quoted or not: the request may be \
                repeated under it for seven days. One key stands for one body, and for one value of \
                each header that is for the risk engine.",
            example = json!("8e03978e-40d5-43dd-bc93-6894a57f9324")),
        ("Prefer" = Option<String>, Header, example = json!("respond-async"),
            description = "`respond-async` is taken as said, and confirmed by \
                `Preference-Applied`; the answer never waits for the settlement."),
        ("X-PAYMENT-SECURE" = Option<String>, Header, max_length = 4096,
            pattern = r"^w3c\.v1(;tp=00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}|;ts=[!-:<-~]+){1,2}$",
            description = "Where the agent's request stands among others, for the risk engine: a \
                W3C `traceparent`, and a `tracestate`, url-encoded. A `ts` that is base64 of \
                `{\"tid\": \"<UUID>\"}` names the trace, where `X-RISK-TRACE` does not.",
            example = json!("w3c.v1;tp=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")),
        ("X-RISK-SESSION" = Option<String>, Header, min_length = 36, max_length = 36,
            pattern = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[14][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}$",
            description = "The agent's session with the risk engine: a UUID of version 1 or 4.",
            example = json!("0d7a9c52-0c3e-4a1f-8a5b-3f1f0a2b4c6d")),
        ("X-RISK-TRACE" = Option<String>, Header, min_length = 36, max_length = 36,
            pattern = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[14][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}$",
            description = "What the agent told the risk engine of how it came to pay: a UUID of \
                version 1 or 4.",
            example = json!("6f1c0e1a-8d3b-4d35-9f6e-2b1a7c9d0e11")),
        ("X-AP2-EVIDENCE" = Option<String>, Header, max_length = 2048,
            pattern = r"^evd\.v1(;(mr|ms|mt|sz)=[!-:<-~]+){4}$",
            description = "What the agent was told to do: a mandate's reference, its SHA-256 as \
                base64url, its media type and its length, at most 25 MiB. It is not fetched.",
            example = json!("evd.v1;mr=mandates/1;ms=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU;\
                mt=application/json;sz=42")),
        ("X-PAYMENT" = Option<String>, Header,
            description = "Not needed: the payment is in the body. Where a proxy passes it on, it \
                must be the same payment; so must `PAYMENT-SIGNATURE`."),
    ),
    request_body(content = Submission, example = example::submission),
    responses(
        (status = 202, body = Body,
            description = "It is committed. `Idempotent-Replayed: true` says that it was before.",
            headers(
                ("Location" = String, description = "The payment's path."),
                ("ETag" = String, description = "The payment's version."),
                ("Retry-After" = u32, description = "When to ask first, in seconds."),
                ("Idempotent-Replayed" = bool, description = "`true` for a repetition."),
                ("Preference-Applied" = String, description = "`respond-async`, when asked for."),
            ),
            example = example::taken),
        (status = 200, body = Body,
            description = "The authorization was taken before, under another key or none: its \
                payment as it stands now.",
            headers(
                ("Location" = String, description = "The payment's path."),
                ("ETag" = String, description = "The payment's version."),
                ("Retry-After" = u32, description = "When to ask first, in seconds."),
                ("Idempotent-Replayed" = bool, description = "`true`"),
            ),
            example = example::taken_before),
        Refused<(Keyed, Bodied, NotPayable, NotTaken, Crowded)>,
    ),
    security(("api_key" = ["payments:write"])),
)]
pub(crate) async fn submit_payment(State(app): State<App>, request: Request) -> Response {
    let outcome = submit(&app, request).await;
    let label = match &outcome {
        Ok(answer) => answer.told.as_str(),
        Err(problem) => problem.code().as_str(),
    };
    meters::asked();
    meters::looked(Looked::by(&outcome));
    meters::submitted(label);
    match outcome {
        Ok(answer) => answer.into_response(app.settings()),
        Err(problem) => problem.into_response(),
    }
}

async fn submit(app: &App, request: Request) -> Result<Answer, Problem> {
    let _place = app.door().enter().map_err(|full| refusal::no_room(full, app.settings()))?;
    let (head, body) = request.into_parts();
    let call = Call::read(app, &head).await?;
    let body = json::read_body(Request::from_parts(head, body)).await?;
    let (settle, extras) = json::parse::<Submission>(&body)?.split();
    let (settings, now) = (app.settings(), app.now());
    let Settings { assets, limits, wallets, .. } = settings;
    let checked =
        check(&settle, assets, limits, wallets, now.unix_secs()).map_err(refusal::not_payable)?;
    http::note_user(&checked.authorization.payer);
    call.beside.agrees_with(&settle.payment_payload)?;
    let intake =
        Intake { resource_host: resource_host(&settle), ..call.intake(checked, extras, now) };
    let acceptance = app
        .register()
        .accept(intake)
        .await
        .map_err(|outcome| refusal::not_accepted(outcome, settings))?;
    let mut answer = call.answer(acceptance)?;
    // The payment is taken; that its token cannot be told is no reason to say otherwise.
    answer.poll_token = app.poll_tokens().mint(answer.payment.id).await.ok();
    if answer.told == Told::Accepted {
        app.ring(answer.payment.id, &call.trace);
    }
    Ok(answer)
}

/// What the head of a request says.
struct Call {
    account: AccountId,
    idempotency_key: Option<String>,
    respond_async: bool,
    request_id: String,
    trace: TraceContext,
    handed_over: RiskContext,
    beside: Beside,
}

impl Call {
    async fn read(app: &App, head: &Parts) -> Result<Self, Problem> {
        let (headers, known) = (&head.headers, &head.extensions);
        let caller = app
            .keys()
            .authorize(headers, Scope::PaymentsWrite)
            .await
            .map_err(|denied| refusal::not_let_in(denied, app.settings()))?;
        Ok(Self {
            account: caller.account,
            idempotency_key: idempotency::key(headers)?,
            respond_async: prefers_async(headers),
            request_id: known.get().map_or_else(String::new, |id: &RequestId| id.as_str().into()),
            trace: known.get().copied().unwrap_or_else(TraceContext::new_root),
            handed_over: risk_headers::read(headers)?,
            beside: Beside::of(headers),
        })
    }

    fn intake(&self, checked: Checked, extras: Extras, now: Timestamp) -> Intake {
        let idempotency = self
            .idempotency_key
            .clone()
            .map(|key| (key, digest::of(&checked, &extras, &self.handed_over)))
            .map(|(key, body_digest)| Idempotency { key, body_digest })
            .into_iter()
            .collect();
        Intake {
            id: PaymentId::new(runtime::new_uuid()),
            event: EventId::new(runtime::new_uuid()),
            account: self.account,
            authorization: checked.authorization,
            signature: checked.signature,
            permit: checked.permit,
            x402_version: checked.version.number(),
            finality: extras.finality,
            reference: extras.reference,
            metadata: extras.metadata,
            resource_host: None,
            risk_context: risk_headers::traced(&self.handed_over, &self.trace),
            request_id: self.request_id.clone(),
            idempotency,
            accepted_at: now,
        }
    }

    fn answer(&self, acceptance: Acceptance) -> Result<Answer, Problem> {
        let (told, payment) = match acceptance {
            Acceptance::New(payment) => (Told::Accepted, payment),
            Acceptance::Replayed(payment) => (Told::Replayed, payment),
            Acceptance::Existing(payment) => (Told::Existing, payment),
            Acceptance::AnotherAccounts => {
                return Err(Problem::new(ProblemCode::AuthorizationAlreadySubmitted));
            }
            Acceptance::KeyReused { payment, first_used_at, .. } => {
                return Err(Problem::new(ProblemCode::IdempotencyKeyReused)
                    .detail(format!("The key was first used at {first_used_at} for {payment}"))
                    .payment_id(payment.to_string()));
            }
        };
        Ok(Answer { told, payment, poll_token: None, respond_async: self.respond_async })
    }
}

/// Whether a `Prefer` header asks for `respond-async` (RFC 7240); other preferences are passed over.
fn prefers_async(headers: &HeaderMap) -> bool {
    let preferences = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    preferences
        .flat_map(|list| list.split(','))
        .filter_map(|preference| preference.split([';', '=']).next())
        .any(|name| name.trim().eq_ignore_ascii_case("respond-async"))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn respond_async_is_found_among_other_preferences() {
        let asks = |value: &'static str| {
            prefers_async(&HeaderMap::from_iter([(PREFER, HeaderValue::from_static(value))]))
        };
        for value in ["respond-async", "wait=10, Respond-Async", "respond-async; foo=bar, x"] {
            assert!(asks(value), "{value}");
        }
        for value in ["", "wait=10", "x-respond-async", "return=minimal"] {
            assert!(!asks(value), "{value}");
        }
    }
}
