//! What the chain would say to a payment: one call for many that are asked about together.

use std::collections::HashSet;
use std::sync::{Arc, RwLock};

use chain::{AuthorizationView, Call, ChainError, Node, Simulated, Trial, transfer_with_permit};
use domain::{Address, Authorization, FailureCode, Signature, TokenPermit, TransferMethod, U256};
use runtime::Coalescer;
use x402::{Checked, Reason};

/// The most payments in one call, and calls under way at once.
const AT_ONCE: usize = 50;
const CALLS_AT_ONCE: usize = 4;

/// What one transfer may use of the gas of a call.
const GAS_EACH: u64 = 200_000;

/// What the chain would say now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outlook {
    /// It would be paid.
    Paid,
    /// It would not, by this code of x402 and in these words.
    Unpaid(Reason, String),
}

type Simulation = Result<Simulated, Arc<ChainError>>;

/// What is simulated: the permit too, where one came. What would be paid without it would be paid with
/// it as well.
#[derive(Clone, Debug)]
struct Transfer {
    authorization: Authorization,
    signature: Signature,
    permit: Option<TokenPermit>,
}

impl Transfer {
    fn of(checked: &Checked) -> Self {
        let Checked { authorization, signature, permit, .. } = checked.clone();
        Self { authorization, signature, permit }
    }

    fn call(&self) -> Call {
        transfer_with_permit(&self.authorization, &self.signature, self.permit.as_ref())
    }
}

/// Asks the node of one network.
#[derive(Clone, Debug)]
pub(super) struct Simulator {
    node: Node,
    /// The tokens that were seen to be there.
    deployed: Arc<RwLock<HashSet<Address>>>,
    simulations: Coalescer<Transfer, Simulation>,
}

impl Simulator {
    /// Must be called within a tokio runtime.
    pub(super) fn new(node: Node) -> Self {
        let asked = node.clone();
        let simulations =
            Coalescer::spawn("simulations", AT_ONCE, CALLS_AT_ONCE, move |payments| {
                let node = asked.clone();
                async move { simulate(&node, &payments).await }
            });
        Self { node, deployed: Arc::default(), simulations }
    }

    /// What the chain would say to a payment.
    ///
    /// # Errors
    /// When the node did not say.
    pub(super) async fn outlook(&self, checked: &Checked) -> Result<Outlook, Arc<ChainError>> {
        let Checked { authorization, signature, is_proven, permit, .. } = checked;
        // A call of an account without code succeeds.
        if !self.is_deployed(authorization.asset).await? {
            let words = "There is no contract at the token's address".to_owned();
            return Ok(Outlook::Unpaid(Reason::AssetNotDeployed, words));
        }
        // Nobody but its sender can make it, so that it cannot share a call.
        let can_share = authorization.method.sender().is_none();
        if *is_proven && can_share && self.succeeds_among_others(checked).await? {
            return Ok(Outlook::Paid);
        }
        // By itself, because the code of a wallet can spend the gas of all that share a call.
        match self.node.try_payment(authorization, signature, permit.as_ref()).await? {
            Trial::Succeeds => Ok(Outlook::Paid),
            Trial::SignatureRefused => Ok(Outlook::Unpaid(
                reason(FailureCode::InvalidSignature, authorization),
                "The signature is not taken".to_owned(),
            )),
            Trial::Fails(words) => self.diagnose(authorization, permit.as_ref(), words).await,
        }
    }

    async fn is_deployed(&self, token: Address) -> Result<bool, Arc<ChainError>> {
        if self.deployed.read().is_ok_and(|seen| seen.contains(&token)) {
            return Ok(true);
        }
        let is_there = self.node.with_code(&[token]).await?.contains(&token);
        if is_there && let Ok(mut seen) = self.deployed.write() {
            seen.insert(token);
        }
        Ok(is_there)
    }

    async fn succeeds_among_others(&self, checked: &Checked) -> Result<bool, Arc<ChainError>> {
        match self.simulations.submit(Transfer::of(checked)).await {
            // Somebody's wallet has left nothing of the gas even for the call itself.
            Ok(Err(error)) if matches!(*error, ChainError::Reverted { .. }) => Ok(false),
            Ok(simulated) => Ok(matches!(simulated?, Simulated::Succeeds)),
            Err(busy) => Err(Arc::new(ChainError::Unreadable(busy.to_string()))),
        }
    }

    /// Why a payment that would fail would fail.
    async fn diagnose(
        &self,
        authorization: &Authorization,
        permit: Option<&TokenPermit>,
        words: String,
    ) -> Result<Outlook, Arc<ChainError>> {
        let refused = |words: String| Outlook::Unpaid(refused(authorization.method, &words), words);
        let asked = [(authorization, permit)];
        let Some(view) = self.node.views_with_permits(&asked).await?.pop() else {
            return Ok(refused(words));
        };
        let AuthorizationView { used, balance, allowance, permit_nonce, .. } = view;
        let allowance = allowance.unwrap_or(authorization.amount);
        let unpaid = |code, words| Outlook::Unpaid(reason(code, authorization), words);
        Ok(if used {
            let words = "The authorization was used or canceled before".to_owned();
            unpaid(FailureCode::AuthorizationUsed, words)
        } else if balance < authorization.amount {
            let words = format!("The payer has {balance} of the token");
            unpaid(FailureCode::InsufficientFunds, words)
        } else if allowance < authorization.amount {
            let words = format!("The payer lets Permit2 move {allowance} of the token");
            unpaid(FailureCode::AllowanceRequired, words + &permit_refused(permit, permit_nonce))
        } else {
            refused(words)
        })
    }
}

/// What is said besides of a permit that came and did not help.
fn permit_refused(permit: Option<&TokenPermit>, next_nonce: Option<U256>) -> String {
    match (permit, next_nonce) {
        (None, _) => String::new(),
        (Some(_), None) => ", which takes no permits".to_owned(),
        (Some(TokenPermit { nonce, .. }), Some(next)) if *nonce == next => {
            ", and the token does not take the permit".to_owned()
        }
        (Some(TokenPermit { nonce, .. }), Some(next)) => {
            format!(", and the permit's nonce is {nonce}, where the token's next one is {next}")
        }
    }
}

/// What x402 calls a failure of this authorization's method.
fn reason(code: FailureCode, authorization: &Authorization) -> Reason {
    let reason = code.x402_reason(authorization.method).parse();
    reason.map_or(Reason::UnexpectedVerifyError, Reason::of_reference)
}

/// What x402 calls a transfer that would fail for no reason of the payer's.
fn refused(method: TransferMethod, words: &str) -> Reason {
    match method {
        TransferMethod::Eip3009 => Reason::SimulationFailed,
        TransferMethod::Permit2 { .. } => Reason::Permit2SimulationFailed,
        TransferMethod::Upto { .. } => match words {
            chain::AMOUNT_EXCEEDS_PERMITTED => Reason::UptoAmountExceedsPermitted,
            chain::UNAUTHORIZED_FACILITATOR => Reason::UptoUnauthorizedFacilitator,
            _ => Reason::Permit2SimulationFailed,
        },
    }
}

async fn simulate(node: &Node, payments: &[Transfer]) -> Vec<Simulation> {
    let calls: Vec<Call> = payments.iter().map(Transfer::call).collect();
    let gas =
        GAS_EACH.saturating_mul(u64::try_from(calls.len()).unwrap_or(u64::MAX).saturating_add(1));
    match node.simulate_batch(Address::ZERO, &calls, gas).await {
        Ok(simulated) => simulated.into_iter().map(Ok).collect(),
        Err(error) => {
            let error = Arc::new(error);
            payments.iter().map(|_| Err(Arc::clone(&error))).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::Amount;

    use super::*;

    #[test]
    fn a_refusal_is_told_in_the_words_of_its_method() {
        let spender = Address::repeat_byte(1);
        let permit2 = TransferMethod::Permit2 { spender };
        let (sender, most) = (Address::repeat_byte(2), Amount::from(5));
        let upto = TransferMethod::Upto { spender, sender, most };
        for (method, words, reason) in [
            (TransferMethod::Eip3009, "paused", Reason::SimulationFailed),
            (permit2, "paused", Reason::Permit2SimulationFailed),
            (permit2, chain::UNAUTHORIZED_FACILITATOR, Reason::Permit2SimulationFailed),
            (upto, "paused", Reason::Permit2SimulationFailed),
            (upto, chain::UNAUTHORIZED_FACILITATOR, Reason::UptoUnauthorizedFacilitator),
            (upto, chain::AMOUNT_EXCEEDS_PERMITTED, Reason::UptoAmountExceedsPermitted),
        ] {
            assert_eq!(refused(method, words), reason, "{method:?} {words}");
        }
    }
}
