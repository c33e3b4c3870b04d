//! `POST /verify`

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use chain::ChainError;
use domain::AccountId;
use runtime::problem::document::{Crowded, Keyed, Refused};
use store::StoreError;
use x402::{Checked, Reason, Refusal};

use super::answer::{Named, Verification, status};
use super::request::{NotRead, Posted, read};
use super::simulation::Outlook;
use super::{Facilitator, Unkept, Unread, example, settle, settlement};
use crate::{digest, refusal};

/// Says whether a payment would be settled, and changes nothing.
#[utoipa::path(
    post,
    path = "/verify",
    tag = "Facilitator",
    summary = "See whether a payment would be settled",
    description = "Checks the payment against `paymentRequirements`, looks whether it is over already, \
        and asks the chain whether it would be made now. Changes nothing. The body is the same as that of `/settle`. The codes are \
        those of x402's reference implementation; a request that nobody could settle is a 400.",
    request_body(content = Object, example = example::settle_request),
    responses(
        (status = 200, body = Verification, description = "Whether it would be settled.",
            example = example::verified),
        (status = 400, body = Verification, description = "It is of a kind that is not settled here, \
            or a part of it is missing or malformed.", example = example::not_verified),
        Refused<(Keyed, Unread, Crowded, Unkept)>,
    ),
    security((), ("api_key" = ["payments:write"])),
)]
pub(crate) async fn verify_payment(
    State(facilitator): State<Facilitator>,
    request: Request,
) -> Response {
    let app = &facilitator.0.app;
    let account = match facilitator.account(request.headers()).await {
        Ok(account) => account,
        Err(problem) => return problem.into_response(),
    };
    let _place = match app.door().enter() {
        Ok(place) => place,
        Err(full) => return refusal::no_room(full, app.settings()).into_response(),
    };
    let posted = match read(request).await {
        Ok(posted) => posted,
        Err(NotRead::Problem(problem)) => return problem.into_response(),
        Err(NotRead::Refused(refusal)) => return refused(&refusal, Named::default()),
    };
    match posted.check(app) {
        Ok(checked) => answer(&facilitator, account, &posted, &checked).await.into_response(),
        Err(refusal) => refused(&refusal, posted.named),
    }
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
    match facilitator.over(account, posted, checked).await {
        Ok(None) => {}
        Ok(Some((reason, words))) => return Verification::invalid(reason, words, named),
        Err(error) => {
            tracing::warn!(%error, "a payment could not be looked up");
            let words = "The ledger does not answer; try again";
            return Verification::invalid(Reason::UnexpectedVerifyError, words, named);
        }
    }
    match facilitator.outlook(checked).await {
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
    /// Why this very request would not be settled once more, where its payment is over already.
    async fn over(
        &self,
        account: AccountId,
        posted: &Posted,
        checked: &Checked,
    ) -> Result<Option<(Reason, &'static str)>, StoreError> {
        let (key, body_digest) = (settle::key(checked), digest::of_request(&posted.request));
        let found = self.0.store.find_by_key(account, &key, &body_digest).await?;
        Ok(found.as_ref().and_then(settlement::why_not_again))
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
