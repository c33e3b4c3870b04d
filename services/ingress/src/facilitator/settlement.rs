//! Waiting for a payment's end, and telling it in the words of x402.

use domain::{Amount, Authorization, Event, FailureCode, Payment, PaymentState, StateName};
use store::{Advanced, Change};
use tokio::time::Instant;
use x402::Reason;

use super::Facilitator;
use super::answer::{Known, Named, SettlementAnswer};
use super::desk::Unknown;

/// What is said of a payment that is over without a reason.
const NOTHING: &str = "The payment is not settled";

/// What is said of one that was taken back.
const TAKEN_BACK: &str = "The payment was taken back before it was sent, and is not sent any more";

impl Facilitator {
    /// Waits until the payment is over, at most for as long as callers wait, and says how it stands.
    ///
    /// What nobody has sent by then is taken back, where it `is_ours` to take back: a caller who is
    /// told that it failed must be able to rely on that.
    ///
    /// # Errors
    /// [`Unknown`] when the ledger does not say how it stands.
    pub(super) async fn settle(
        &self,
        payment: Payment,
        is_ours: bool,
        named: Named,
    ) -> Result<SettlementAnswer, Unknown> {
        let owes_nothing = payment.authorization.amount == Amount::ZERO;
        let mut payment = match owes_nothing {
            true => payment,
            false => self.wait_for_end(payment).await?,
        };
        // Whoever moves it at this moment may not have sent it, and then nobody is to.
        while (is_ours || owes_nothing) && is_unsent(&payment) {
            payment = self.take_back(payment).await?;
        }
        let known = self.known(&payment);
        Ok(self.told(&payment, named).await?.known(known))
    }

    async fn wait_for_end(&self, payment: Payment) -> Result<Payment, Unknown> {
        let shared = &self.0;
        let deadline = Instant::now() + shared.longest_wait;
        let mut payment = payment;
        loop {
            // Before it is read, so that no change in between is missed.
            let lookout = shared.watchtower.look_out(payment.id);
            let is_late = Instant::now() >= deadline;
            payment = match shared.desk.reload(&payment).await {
                // The ledger may be back before the time is up.
                Err(error) if error.is_unavailable() && !is_late => payment,
                read => read?,
            };
            if payment.state.is_terminal() || is_late {
                return Ok(payment);
            }
            match shared.watchtower.wait(lookout, payment.version, deadline).await {
                watchtower::Ended::Changed | watchtower::Ended::TimeUp => {}
                watchtower::Ended::Stopping => return shared.desk.reload(&payment).await,
            }
        }
    }

    /// Has the payment never be sent, unless it is sent already.
    async fn take_back(&self, payment: Payment) -> Result<Payment, Unknown> {
        let (store, now) = (&self.0.store, self.0.app.now());
        let change = Change { payment: payment.clone(), event: Event::Canceled, carrier: None };
        let mut advance = store.advance(vec![change], now).await?;
        match advance.outcomes.pop() {
            Some(Advanced::Moved(canceled)) => Ok(*canceled),
            // It moves on at this moment: then it is told as it stands.
            Some(Advanced::Overtaken | Advanced::Refused(_)) | None => {
                self.0.desk.reload(&payment).await
            }
        }
    }

    async fn told(&self, payment: &Payment, named: Named) -> Result<SettlementAnswer, Unknown> {
        let unpaid = |reason, words: &str, named| SettlementAnswer::unpaid(reason, words, named);
        let pending = Reason::SettlementPending;
        Ok(match payment.state {
            PaymentState::Settled { inclusion } => {
                let answer = SettlementAnswer::paid(inclusion.tx_hash, named);
                let Authorization { method, amount, .. } = payment.authorization;
                if method.most().is_some() { answer.of(amount) } else { answer }
            }
            PaymentState::Canceled if payment.authorization.amount == Amount::ZERO => {
                SettlementAnswer::nothing_owed(named)
            }
            PaymentState::Confirmed { inclusion, .. } => {
                let words = "The payment is in a block that is not final yet; ask again";
                unpaid(pending, words, named).carried(inclusion.tx_hash)
            }
            PaymentState::Submitted(submission) => {
                let hashes = self.0.store.newest_hashes(&[submission.transaction]).await?;
                let words = "The payment is on its way; ask again";
                let answer = unpaid(pending, words, named);
                match hashes.get(&submission.transaction) {
                    Some(hash) => answer.carried(*hash),
                    None => answer,
                }
            }
            PaymentState::Accepted | PaymentState::Held { .. } | PaymentState::Approved { .. } => {
                unpaid(pending, "The payment waits to be sent; ask again", named)
            }
            PaymentState::Canceled
            | PaymentState::Rejected(_)
            | PaymentState::Expired
            | PaymentState::Failed(_) => {
                let (reason, words) = why_over(payment);
                unpaid(reason, words, named)
            }
        })
    }

    fn known(&self, payment: &Payment) -> Known {
        let settings = self.0.app.settings();
        let base = settings.public_url.as_ref().map_or("", |url| url.as_str());
        Known {
            payment_id: payment.id,
            status: payment.state.name(),
            status_url: format!("{base}/v1/payments/{}", payment.id),
        }
    }
}

/// Why a payment that was taken before would not be settled now, if it is over.
pub(super) fn why_not_again(payment: &Payment) -> Option<(Reason, &'static str)> {
    if payment.state.name() == StateName::Settled {
        let used = FailureCode::AuthorizationUsed.x402_reason(payment.authorization.method).parse();
        let reason = used.unwrap_or(Reason::InvalidTransactionState);
        return Some((reason, "The payment was settled before"));
    }
    payment.state.is_terminal().then(|| match why_over(payment) {
        (Reason::UnexpectedSettleError, words) => (Reason::InvalidTransactionState, words),
        told => told,
    })
}

/// Why a payment that is over is not paid.
fn why_over(payment: &Payment) -> (Reason, &'static str) {
    match payment.state.failure() {
        Some(FailureCode::Canceled) => (Reason::UnexpectedSettleError, TAKEN_BACK),
        Some(code) => {
            let reason = code.x402_reason(payment.authorization.method).parse();
            (reason.map_or(Reason::UnexpectedSettleError, Reason::of_reference), code.as_str())
        }
        None => (Reason::UnexpectedSettleError, NOTHING),
    }
}

/// Whether no transaction of ours carries it.
fn is_unsent(payment: &Payment) -> bool {
    matches!(payment.state.name(), StateName::Accepted | StateName::Held | StateName::Approved)
}
