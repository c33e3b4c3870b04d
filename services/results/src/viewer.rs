//! Who looks at a payment, and what of it is theirs to see.

use std::time::Duration;

use access::{Caller, Denied, PollTokens};
use axum::http::HeaderMap;
use domain::{ApiKeyId, Payment, PaymentId, Scope};
use runtime::ProblemCode;

use crate::App;
use crate::refusal::{Refusal, id};

/// How long a poll token is good after its payment is over.
const AFTER_THE_END: Duration = Duration::from_secs(3_600);

/// Who looks at one payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Viewer {
    /// Its seller, or whoever says so: only its own account's payments are found.
    Seller(Caller),
    /// Whom the seller has given the payment's poll token, usually the buyer's agent.
    Holder,
}

impl Viewer {
    /// Who sends these headers, and to look at which payment.
    pub(crate) async fn of(
        app: &App,
        headers: &HeaderMap,
        payment: &str,
    ) -> Result<(Self, PaymentId), Refusal> {
        if PollTokens::is_brought(headers) {
            // What is no id has no token.
            let payment = payment.parse().map_err(|_| Denied::NotItsToken)?;
            app.poll_tokens().authorize(headers, payment).await?;
            return Ok((Self::Holder, payment));
        }
        let caller = app.caller(headers, Scope::PaymentsRead).await?;
        Ok((Self::Seller(caller), id(payment)?))
    }

    /// The payment; anybody else's is told like one that never was.
    pub(crate) async fn load(self, app: &App, id: PaymentId) -> Result<Payment, Refusal> {
        let found = match self {
            Self::Seller(caller) => app.desk().payment(caller.account, id).await?,
            Self::Holder => app.desk().anybodys_payment(id).await?,
        };
        let payment = found.ok_or(ProblemCode::NotFound)?;
        let good_until = payment.updated_at.plus(AFTER_THE_END);
        if self == Self::Holder && payment.state.is_terminal() && good_until < app.now() {
            return Err(Denied::TokenExpired.into());
        }
        Ok(payment)
    }

    /// Whose place it takes when it waits: those who hold tokens of one account's payments share.
    pub(crate) fn waits_as(self, payment: &Payment) -> ApiKeyId {
        match self {
            Self::Seller(caller) => caller.key,
            Self::Holder => ApiKeyId::new(payment.account.uuid()),
        }
    }

    /// Whether what the seller noted for itself is shown.
    pub(crate) const fn sees_notes(self) -> bool {
        matches!(self, Self::Seller(_))
    }
}
