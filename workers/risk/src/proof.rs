//! Whether the payer stands behind a payment: its key says so, or the token does when it is asked.
//!
//! No column says which payments are proven. The signature itself does, so that nothing has to be
//! believed that somebody else has found out before. An account with code answers for itself
//! (EIP-1271; EIP-7702 gives code to any account), so there the payer's own key proves nothing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chain::{ChainError, Trial};
use domain::{Address, Event, FailureCode, PaymentId, Signature, TokenPermit};
use futures::stream::{self, StreamExt};
use store::{Candidate, Change, Found, Seen, SignedPayment};
use x402::{PayerSignature, TokenDomain};

use crate::RiskNetwork;

/// The most payments that are tried at once, each in a call of its own: a wallet's code could spend
/// the gas of all that share one.
const TRIALS: usize = 16;

/// What is known of some payments' signatures before any token is asked.
pub(crate) struct Signatures {
    /// The payments that their payers' own keys signed.
    by_key: HashSet<PaymentId>,
}

impl Signatures {
    /// Looks at the signatures, away from the threads that everything else runs on, and gives the
    /// payments back.
    pub(crate) async fn of(
        tokens: Arc<HashMap<Address, TokenDomain>>,
        payments: Vec<SignedPayment>,
    ) -> (Vec<SignedPayment>, Self) {
        let look = move || {
            let by_key = payments.iter().filter(|signed| is_by_key(&tokens, signed));
            let by_key = by_key.map(|signed| signed.payment.id).collect();
            (payments, Self { by_key })
        };
        tokio::task::spawn_blocking(look).await.expect("looking at signatures does not panic")
    }

    /// The payments that need no trial: signed by keys whose accounts have no code now.
    ///
    /// # Errors
    /// [`ChainError`] when the node did not say which have.
    pub(crate) async fn proven(
        self,
        network: &RiskNetwork,
        payments: &[SignedPayment],
    ) -> Result<HashSet<PaymentId>, ChainError> {
        let mut proven = self.by_key;
        let signed = payments.iter().map(|signed| &signed.payment);
        let by_key: Vec<_> = signed.filter(|payment| proven.contains(&payment.id)).collect();
        if by_key.is_empty() {
            return Ok(proven);
        }
        let payers: Vec<Address> =
            by_key.iter().map(|payment| payment.authorization.payer).collect();
        let with_code = network.node.with_code(&payers).await?;
        for payment in by_key {
            if with_code.contains(&payment.authorization.payer) {
                proven.remove(&payment.id);
            }
        }
        Ok(proven)
    }
}

fn is_by_key(tokens: &HashMap<Address, TokenDomain>, signed: &SignedPayment) -> bool {
    let authorization = &signed.payment.authorization;
    // Of a token that is not listed any more only the token itself can say.
    tokens
        .get(&authorization.asset)
        .is_some_and(|domain| PayerSignature::proves(domain, authorization, &signed.signature))
}

/// A payment that the chain can pay, and whose signature only its token can judge.
pub(crate) struct Unproven {
    pub(crate) candidate: Candidate,
    pub(crate) signature: Signature,
    pub(crate) permit: Option<TokenPermit>,
}

/// What tokens said about payments.
#[derive(Default)]
pub(crate) struct Tried {
    /// Those that would succeed.
    pub(crate) proven: Vec<Candidate>,
    /// What follows for those whose signature is refused.
    pub(crate) refused: Vec<Found>,
}

/// Asks the tokens about payments that could be approved, as of a block that is not older than what
/// they are judged by. Those of which nothing clear is said are left out: they wait.
pub(crate) async fn try_all(network: &RiskNetwork, payments: Vec<Unproven>) -> Tried {
    let trials = payments.into_iter().map(|unproven| async move {
        let trial = try_one(network, &unproven).await;
        (unproven.candidate, trial)
    });
    let mut trials = stream::iter(trials).buffer_unordered(TRIALS);
    let mut tried = Tried::default();
    while let Some((candidate, trial)) = trials.next().await {
        match trial {
            Some(Trial::Succeeds) => tried.proven.push(candidate),
            Some(Trial::SignatureRefused) => {
                let event = Event::Rejected(FailureCode::InvalidSignature);
                let Candidate { payment, balance, as_of, .. } = candidate;
                let change = Change { payment, event, carrier: None };
                tried.refused.push(Found { change, seen: Some(Seen { balance, as_of }) });
            }
            Some(Trial::Fails(reason)) => {
                let payment = candidate.payment.id;
                tracing::info!(reason, %payment, "the token would refuse a payment now");
            }
            None => {}
        }
    }
    tried
}

/// What the token says; nothing where nobody answers.
async fn try_one(network: &RiskNetwork, unproven: &Unproven) -> Option<Trial> {
    let Unproven { candidate, signature, permit } = unproven;
    let payment = &candidate.payment;
    let (authorization, permit) = (&payment.authorization, permit.as_ref());
    let trial = network.node.try_payment(authorization, signature, permit).await;
    trial
        .inspect_err(|error| {
            tracing::warn!(%error, payment = %payment.id, "a payment was not tried");
        })
        .ok()
}
