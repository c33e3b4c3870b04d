//! `POST /verify`

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chain::ChainError;
use domain::AccountId;
use runtime::problem::document::{Crowded, Keyed, Limited, Refused};
use runtime::{Problem, http};
use store::{Idempotency, StoreError};
use x402::{Checked, Reason, Refusal};

use super::answer::{Named, Verification, status};
use super::desk::Unknown;
use super::open::{Asker, Deed, NotAPayee};
use super::request::{NotRead, Posted, read};
use super::senders::{self, Standing};
use super::simulation::Outlook;
use super::{Facilitator, Unkept, Unread, example, identifier, settle, settlement};
use crate::meters::{self, Looked};
use crate::{digest, refusal};

/// Says whether a payment would be settled, and changes nothing.
#[utoipa::path(
    post,
    path = "/verify",
    tag = "Facilitator",
    summary = "See whether a payment would be settled",
    description = "Checks the payment against `paymentRequirements`, looks whether it is over already, \
        and asks the chain whether it would be made now. Changes nothing. The body is the same as that of `/settle`. The codes are \
        those of x402's reference implementation; a request that nobody could settle is a 400. Who \
        comes without a key, where that may be, is limited by address and by payee (429).",
    request_body(content = Object, example = example::settle_request),
    responses(
        (status = 200, body = Verification, description = "Whether it would be settled.",
            example = example::verified),
        (status = 400, body = Verification, description = "It is of a kind that is not settled here, \
            or a part of it is missing or malformed.", example = example::not_verified),
        (status = 409, body = Verification, description = "Its `payment-identifier` stands for another \
            payment.", example = example::not_verified_as_named),
        Refused<(Keyed, Limited, Unread, Crowded, Unkept)>,
    ),
    security((), ("api_key" = ["payments:write"])),
)]
pub(crate) async fn verify_payment(
    State(facilitator): State<Facilitator>,
    request: Request,
) -> Response {
    match verify(&facilitator, request).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn verify(facilitator: &Facilitator, request: Request) -> Result<Response, Problem> {
    let app = &facilitator.0.app;
    let (head, body) = request.into_parts();
    meters::asked();
    let asker = facilitator.asker(&head.headers).await?;
    facilitator.heed_address(asker, Deed::Verify, &head).await?;
    let _place = app.door().enter().map_err(|full| refusal::no_room(full, app.settings()))?;
    let posted = match read(Request::from_parts(head, body)).await {
        Ok(posted) => posted,
        Err(NotRead::Problem(problem)) => return Err(problem),
        Err(NotRead::Refused(refusal)) => return Ok(refused(&refusal, Named::default())),
    };
    let checked = posted.identifier().and_then(|id| Ok((id, posted.check_whole(facilitator)?)));
    meters::looked(Looked::by(&checked));
    let (id, checked) = match checked {
        Ok(checked) => checked,
        Err(refusal) => return Ok(refused(&refusal, posted.named)),
    };
    http::note_user(&checked.authorization.payer);
    if let Err(NotAPayee) = facilitator.admits(asker, &checked) {
        let reason = Reason::InvalidPaymentRequirements;
        let verification = Verification::invalid(reason, NotAPayee::WORDS, posted.named);
        return Ok(verification.into_response());
    }
    facilitator.heed_payee(asker, Deed::Verify, &checked).await?;
    let key = id.map(|id| identifier::key(asker, &id, &checked));
    Ok(match facilitator.stands_for_another(asker, key, &posted).await {
        Ok(false) => answer(facilitator, asker.account(), &posted, &checked).await.into_response(),
        Ok(true) => {
            let reason = Reason::PaymentIdentifierConflict;
            let verification = Verification::invalid(reason, identifier::TAKEN, posted.named);
            (StatusCode::CONFLICT, Json(verification)).into_response()
        }
        Err(error) => {
            tracing::warn!(%error, "a payment's identifier could not be looked up");
            let words = "The ledger does not answer; try again";
            let reason = Reason::UnexpectedVerifyError;
            Verification::invalid(reason, words, posted.named).into_response()
        }
    })
}

fn refused(refusal: &Refusal, named: Named) -> Response {
    let verification = Verification::invalid(refusal.reason, &refusal.to_string(), named);
    (status(refusal), Json(verification)).into_response()
}

async fn answer(
    facilitator: &Facilitator,
    account: AccountId,
    posted: &Posted,
    checked: &Checked,
) -> Verification {
    let named = posted.named.clone();
    match facilitator.sender(checked).await {
        Ok(Standing::Works) => {}
        Ok(Standing::Strange) => {
            return Verification::invalid(Reason::UptoFacilitatorMismatch, senders::STRANGE, named);
        }
        Ok(Standing::Paused) => {
            let words = "The signer that alone can make the payment is out of use";
            return Verification::invalid(Reason::UnexpectedVerifyError, words, named);
        }
        Err(error) => {
            tracing::warn!(%error, "signers could not be read");
            let words = "The ledger does not answer; try again";
            return Verification::invalid(Reason::UnexpectedVerifyError, words, named);
        }
    }
    // The ledger and the node are asked at the same time: it is hardly ever over.
    let (over, outlook) =
        tokio::join!(facilitator.over(account, posted, checked), facilitator.outlook(checked));
    match over {
        Ok(None) => {}
        Ok(Some((reason, words))) => return Verification::invalid(reason, words, named),
        Err(error) => {
            tracing::warn!(%error, "a payment could not be looked up");
            let words = "The ledger does not answer; try again";
            return Verification::invalid(Reason::UnexpectedVerifyError, words, named);
        }
    }
    match outlook {
        Ok(Outlook::Paid) => Verification::valid(named),
        Ok(Outlook::Unpaid(reason, words)) => Verification::invalid(reason, &words, named),
        Err(error) => {
            tracing::warn!(%error, "a payment could not be verified");
            let words = "The network's node does not answer; try again";
            Verification::invalid(Reason::UnexpectedVerifyError, words, named)
        }
    }
}

impl Facilitator {
    /// Why this very request would not be settled once more, where its payment is over already. One up to
    /// an amount is settled by another request than it is verified by, once it is.
    async fn over(
        &self,
        account: AccountId,
        posted: &Posted,
        checked: &Checked,
    ) -> Result<Option<(Reason, &'static str)>, Unknown> {
        let body_digest = digest::of_request(&posted.request);
        let used = Idempotency { key: settle::key(checked), body_digest };
        if checked.authorization.method.most().is_some() {
            let Idempotency { key, body_digest } = used;
            let taken = self.0.store.is_key_of_another(account, &key, &body_digest).await?;
            let words = "The payment was submitted to be settled before";
            return Ok(taken.then_some((Reason::DuplicateSettlement, words)));
        }
        let found = self.0.desk.find(account, used).await?;
        Ok(found.as_ref().and_then(settlement::why_not_again))
    }

    /// Whether the payment's identifier, if it has one, stands for another.
    async fn stands_for_another(
        &self,
        asker: Asker,
        key: Option<String>,
        posted: &Posted,
    ) -> Result<bool, StoreError> {
        let Some(key) = key else { return Ok(false) };
        let body_digest = digest::of_request(&posted.request);
        self.0.store.is_key_of_another(asker.account(), &key, &body_digest).await
    }

    /// What the chain would say to a payment now.
    pub(super) async fn outlook(
        &self,
        checked: &Checked,
    ) -> Result<Outlook, std::sync::Arc<ChainError>> {
        let chain = checked.authorization.chain;
        let Some(simulator) = self.0.simulators.get(&chain) else {
            let words = format!("no node of {chain} is configured");
            return Err(std::sync::Arc::new(ChainError::Unreadable(words)));
        };
        simulator.outlook(checked).await
    }
}
