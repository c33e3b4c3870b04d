//! `POST /settle`

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use domain::{Amount, EventId, Finality, Payment, PaymentId, RiskContext, Timestamp};
use runtime::http::SlowByDesign;
use runtime::problem::document::{Crowded, Keyed, Limited, Refused};
use runtime::{Problem, RequestId, TraceContext, http};
use store::{Acceptance, Idempotency, Intake};
use x402::{Checked, Reason, Refusal, RefusalKind, resource_host};

use super::answer::{Named, SettlementAnswer, status};
use super::open::{Asker, Deed, NotAPayee};
use super::request::{NotRead, Posted, read};
use super::senders::{self, Standing};
use super::{Facilitator, Unkept, Unread, example, identifier};
use crate::intake::NotAccepted;
use crate::meters::{self, Looked};
use crate::{digest, refusal, risk_headers};

/// Settles a payment, and waits for it.
#[utoipa::path(
    post,
    path = "/settle",
    tag = "Facilitator",
    summary = "Settle a payment, and wait for it",
    description = "Takes the payment as `POST /v1/payments` does, and answers when it is settled, when \
        it has failed, or after 20 s: then `settlement_pending` comes with the hash of the transaction \
        that carries it, and the same request waits for its end again. The same caller with the same \
        payment and the same requirements gets the same settlement, however often it asks; anything \
        else is `duplicate_settlement`. What has not been sent after that time is taken back. A \
        `payment-identifier` stands for one payment for seven days. Who comes without a key, where \
        that may be, is limited by address and by payee (429): nothing is taken then.",
    request_body(content = Object, example = example::settle_request),
    responses(
        (status = 200, body = SettlementAnswer, description = "What became of it.",
            example = example::settled),
        (status = 400, body = SettlementAnswer, description = "It is of a kind that is not settled \
            here, or a part of it is missing or malformed.", example = example::not_settled),
        (status = 409, body = SettlementAnswer, description = "Its `payment-identifier` stands for \
            another payment.", example = example::not_settled_as_named),
        Refused<(Keyed, Limited, Unread, Crowded, Unkept)>,
    ),
    security((), ("api_key" = ["payments:write"])),
)]
pub(crate) async fn settle_payment(
    State(facilitator): State<Facilitator>,
    request: Request,
) -> Response {
    match settle(&facilitator, request).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn settle(facilitator: &Facilitator, request: Request) -> Result<Response, Problem> {
    let app = &facilitator.0.app;
    let (head, body) = request.into_parts();
    meters::asked();
    let mut caller = Caller::read(facilitator, &head).await?;
    facilitator.heed_address(caller.asker, Deed::Settle, &head).await?;
    let handed_over = risk_headers::read(&head.headers);
    let place = app.door().enter().map_err(|full| refusal::no_room(full, app.settings()))?;
    let posted = match read(Request::from_parts(head, body)).await {
        Ok(posted) => posted,
        Err(NotRead::Problem(problem)) => return Err(problem),
        Err(NotRead::Refused(refusal)) => return Ok(refused(&refusal, Named::default())),
    };
    caller.handed_over = match handed_over {
        Ok(handed_over) => handed_over,
        Err(problem) => return Ok(unheard(&problem, posted.named)),
    };
    let id = match posted.identifier() {
        Ok(id) => id,
        Err(refusal) => return Ok(refused(&refusal, posted.named)),
    };
    let checked = posted.check(facilitator);
    meters::looked(Looked::by(&checked));
    let (payment, is_ours) = match checked {
        Ok(checked) => match take(facilitator, &caller, &posted, (checked, id)).await? {
            Ok(taken) => taken,
            Err((status, answer)) => return Ok((status, Json(answer)).into_response()),
        },
        // Whoever asks again comes late, perhaps too late for another payment.
        Err(refusal) => match known(facilitator, &caller, &posted, &refusal).await? {
            Some(payment) => (payment, false),
            None => return Ok(refused(&refusal, posted.named)),
        },
    };
    // Who waits takes nobody's place, and keeps nothing of what may be many times the size of its text.
    drop(place);
    let Posted { named, request } = posted;
    drop(request);
    let mut response = facilitator.see_to_its_end(payment, is_ours, named).await?;
    response.extensions_mut().insert(SlowByDesign);
    Ok(response)
}

impl Facilitator {
    /// Waits for a payment's end, and tells it. What is this request's to take back is taken back in
    /// time, although its caller may have gone by then.
    async fn see_to_its_end(
        &self,
        payment: Payment,
        is_ours: bool,
        named: Named,
    ) -> Result<Response, Problem> {
        let unknown = |error: &dyn std::error::Error| {
            tracing::warn!(%error, "how a settlement stands could not be read");
            refusal::not_accepted(NotAccepted::Unavailable, self.0.app.settings())
        };
        let settling = {
            let facilitator = self.clone();
            async move { facilitator.settle(payment, is_ours, named).await }
        };
        let settled = match is_ours {
            true => self.0.settling.spawn(settling).await.map_err(|error| unknown(&error))?,
            false => settling.await,
        };
        settled.map(IntoResponse::into_response).map_err(|error| unknown(&error))
    }
}

fn refused(refusal: &Refusal, named: Named) -> Response {
    let answer = SettlementAnswer::unpaid(refusal.reason, &refusal.to_string(), named);
    (status(refusal), Json(answer)).into_response()
}

/// The answer to what an agent handed over and nobody can read.
fn unheard(problem: &Problem, named: Named) -> Response {
    let field = problem.errors().first();
    let words = field.map_or_else(String::new, |it| format!("{} {}", it.pointer, it.detail));
    let answer = SettlementAnswer::unpaid(Reason::InvalidPayload, &words, named);
    (StatusCode::BAD_REQUEST, Json(answer)).into_response()
}

/// Who asks.
struct Caller {
    asker: Asker,
    request_id: String,
    trace: TraceContext,
    handed_over: RiskContext,
}

impl Caller {
    async fn read(facilitator: &Facilitator, head: &Parts) -> Result<Self, Problem> {
        let known = &head.extensions;
        Ok(Self {
            asker: facilitator.asker(&head.headers).await?,
            request_id: known.get().map_or_else(String::new, |id: &RequestId| id.as_str().into()),
            trace: known.get().copied().unwrap_or_else(TraceContext::new_root),
            handed_over: RiskContext::default(),
        })
    }
}

/// Takes the payment, or finds the one that it is; and whether it is this request's to take back.
async fn take(
    facilitator: &Facilitator,
    caller: &Caller,
    posted: &Posted,
    (checked, id): (Checked, Option<String>),
) -> Result<Result<(Payment, bool), (StatusCode, SettlementAnswer)>, Problem> {
    let app = &facilitator.0.app;
    http::note_user(&checked.authorization.payer);
    let unpaid =
        |reason, words: &str| SettlementAnswer::unpaid(reason, words, posted.named.clone());
    if let Err(NotAPayee) = facilitator.admits(caller.asker, &checked) {
        let answer = unpaid(Reason::InvalidPaymentRequirements, NotAPayee::WORDS);
        return Ok(Err((StatusCode::OK, answer)));
    }
    match facilitator.sender(&checked).await {
        Ok(Standing::Works | Standing::Paused) => {}
        Ok(Standing::Strange) => {
            let answer = unpaid(Reason::UptoFacilitatorMismatch, senders::STRANGE);
            return Ok(Err((StatusCode::OK, answer)));
        }
        Err(error) => {
            tracing::warn!(%error, "signers could not be read");
            return Err(refusal::not_accepted(NotAccepted::Unavailable, app.settings()));
        }
    }
    facilitator.heed_payee(caller.asker, Deed::Settle, &checked).await?;
    let identifier = id.map(|id| identifier::key(caller.asker, &id, &checked));
    let intake = intake(caller, posted, checked, identifier.as_ref(), app.now());
    let accepted = app.register().accept(intake).await;
    let acceptance = accepted.map_err(|outcome| refusal::not_accepted(outcome, app.settings()))?;
    Ok(match acceptance {
        Acceptance::New(payment) => {
            // What owes nothing is seen to here, and by risk where this process ends before it is.
            if payment.authorization.amount != Amount::ZERO {
                app.ring(payment.id, &caller.trace);
            }
            Ok((payment, true))
        }
        // It may have been posted to be settled whenever that is; whoever made it takes it back.
        Acceptance::Replayed(payment) | Acceptance::Existing(payment) => Ok((payment, false)),
        Acceptance::KeyReused { key, .. } if Some(&key) == identifier.as_ref() => {
            let answer = unpaid(Reason::PaymentIdentifierConflict, identifier::TAKEN);
            Err((StatusCode::CONFLICT, answer))
        }
        // Whose it is, and what became of it, is nobody else's business.
        Acceptance::AnotherAccounts | Acceptance::KeyReused { .. } => {
            let words = "The payment was submitted before, by another caller or on other terms";
            Err((StatusCode::OK, unpaid(Reason::DuplicateSettlement, words)))
        }
    })
}

/// The payment to be taken, once for each of its keys. The buyer's own name for it is told first.
fn intake(
    caller: &Caller,
    posted: &Posted,
    checked: Checked,
    identifier: Option<&String>,
    now: Timestamp,
) -> Intake {
    let body_digest = digest::of_request(&posted.request);
    let keys = identifier.into_iter().cloned().chain([key(&checked)]);
    Intake {
        id: PaymentId::new(runtime::new_uuid()),
        event: EventId::new(runtime::new_uuid()),
        account: caller.asker.account(),
        authorization: checked.authorization,
        signature: checked.signature,
        permit: checked.permit,
        x402_version: checked.version.number(),
        finality: Finality::default(),
        reference: None,
        metadata: None,
        resource_host: resource_host(&posted.request),
        risk_context: risk_headers::traced(&caller.handed_over, &caller.trace),
        request_id: caller.request_id.clone(),
        idempotency: keys.map(|key| Idempotency { key, body_digest }).collect(),
        accepted_at: now,
    }
}

/// The payment that this very request was taken for before, when it would be refused now for nothing
/// but the time that has passed.
async fn known(
    facilitator: &Facilitator,
    caller: &Caller,
    posted: &Posted,
    refusal: &Refusal,
) -> Result<Option<Payment>, Problem> {
    let app = &facilitator.0.app;
    if refusal.kind != RefusalKind::AuthorizationExpired {
        return Ok(None);
    }
    let Ok(checked) = posted.check_at_any_time(facilitator) else { return Ok(None) };
    let (key, body_digest) = (key(&checked), digest::of_request(&posted.request));
    let found = facilitator.0.store.find_by_key(caller.asker.account(), &key, &body_digest).await;
    found.map_err(|error| {
        tracing::warn!(%error, "a settlement could not be looked up");
        refusal::not_accepted(NotAccepted::Unavailable, app.settings())
    })
}

/// What stands for a settlement among the keys of its account. With its spaces it is none that a client
/// could name in `Idempotency-Key`.
pub(super) fn key(checked: &Checked) -> String {
    let authorization = &checked.authorization;
    let (chain, asset) = (authorization.chain, authorization.asset);
    format!("settle {chain} {asset:#x} {:#x} {}", authorization.payer, authorization.nonce)
}
