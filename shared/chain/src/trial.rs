//! One payment by itself, tried before it is believed.

use alloy_primitives::{Address, Bytes};
use alloy_sol_types::{Revert, SolCall, SolError};
use domain::{Authorization, Signature, TokenPermit};
use x402::WrappedSignature;

use crate::abi::{Multicall3, Permit2, Refusal};
use crate::call::CallRequest;
use crate::transfer::{Call, batch, reason, transfer, transfer_with_permit};
use crate::{ChainError, Node};

/// The most gas that one payment by itself may use: a contract wallet's code runs in it, and we
/// pay.
pub const PAYMENT_GAS: u64 = 1_000_000;

/// How tokens say in words that they refuse a signature: USDC, and those that grew from
/// `OpenZeppelin`'s older libraries.
const INVALID_SIGNATURE: &str = "invalid signature";

/// How newer tokens say it, and Permit2.
const REFUSALS: [[u8; 4]; 8] = [
    Refusal::InvalidSignature::SELECTOR,
    Refusal::ECDSAInvalidSignature::SELECTOR,
    Refusal::ECDSAInvalidSignatureLength::SELECTOR,
    Refusal::ECDSAInvalidSignatureS::SELECTOR,
    Permit2::InvalidSigner::SELECTOR,
    Permit2::InvalidSignature::SELECTOR,
    Permit2::InvalidSignatureLength::SELECTOR,
    Permit2::InvalidContractSignature::SELECTOR,
];

/// What the token says to a payment that is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trial {
    /// It would be made.
    Succeeds,
    /// The token does not take the signature.
    SignatureRefused,
    /// It would fail for another reason, in this much of the token's words.
    Fails(String),
}

/// A payment by itself, in the calls that make it.
struct Steps {
    /// What deploys the payer's wallet.
    deployment: Option<Call>,
    transfer: Call,
}

impl Node {
    /// The call that makes this payment by itself: the token's, or one that deploys the payer's
    /// wallet before that. A wallet is deployed when the signature says how (ERC-6492), the factory
    /// is listed, and the payer has no code yet. A permit is handed in with it.
    ///
    /// # Errors
    /// [`ChainError`] when the node did not say whether the payer has code.
    pub async fn payment_call(
        &self,
        authorization: &Authorization,
        signature: &Signature,
        permit: Option<&TokenPermit>,
    ) -> Result<Call, ChainError> {
        let Steps { deployment, transfer } = self.steps(authorization, signature, permit).await?;
        let Some(deployment) = deployment else { return Ok(transfer) };
        let step = |call: Call, may_fail| Multicall3::Call3 {
            target: call.target,
            allowFailure: may_fail,
            callData: call.input,
        };
        // Somebody else may have deployed it meanwhile; the money is what counts.
        let calls = vec![step(deployment, true), step(transfer, false)];
        let input = Multicall3::aggregate3Call { calls }.abi_encode().into();
        Ok(Call { target: self.multicall(), input })
    }

    /// What the token says to [`Node::payment_call`] after the newest block, never one before the
    /// newest that was seen by then. It has the gas that one payment is worth, and no more.
    ///
    /// # Errors
    /// [`ChainError`] when the node did not say.
    pub async fn try_payment(
        &self,
        authorization: &Authorization,
        signature: &Signature,
        permit: Option<&TokenPermit>,
    ) -> Result<Trial, ChainError> {
        if let Some(sender) = authorization.method.sender() {
            return self.try_payment_by(sender, &transfer(authorization, signature)).await;
        }
        let newest = self.fence().time();
        let Steps { deployment, transfer } = self.steps(authorization, signature, permit).await?;
        let clock = Call {
            target: self.multicall(),
            input: Multicall3::getCurrentBlockTimestampCall {}.abi_encode().into(),
        };
        let calls: Vec<Call> =
            std::iter::once(clock).chain(deployment).chain(std::iter::once(transfer)).collect();
        let whole = batch(self.multicall(), &calls);
        let call = CallRequest {
            from: None,
            to: whole.target,
            input: &whole.input,
            at: "latest",
            gas: Some(PAYMENT_GAS),
        };
        let expected = calls.len().saturating_sub(1);
        let read = |output: Bytes| self.read_results(&output, expected, newest);
        let (_, mut results) =
            self.ask_and_read("eth_call", (call.to_json(), call.at), read).await?;
        let result = results.pop();
        result.map(|result| said(&result)).ok_or_else(|| ChainError::Unreadable("multicall".into()))
    }

    /// The same where nobody but this sender can make the payment, so that no other call goes with it.
    async fn try_payment_by(&self, sender: Address, call: &Call) -> Result<Trial, ChainError> {
        let call = CallRequest {
            from: Some(sender),
            to: call.target,
            input: &call.input,
            at: "latest",
            gas: Some(PAYMENT_GAS),
        };
        let (success, data) = match self.call(&call).await {
            Ok(data) => (true, data),
            Err(ChainError::Reverted { data, reason }) if data.is_empty() => {
                return Ok(Trial::Fails(reason));
            }
            Err(ChainError::Reverted { data, .. }) => (false, data),
            Err(error) => return Err(error),
        };
        Ok(said(&Multicall3::Result { success, returnData: data }))
    }

    async fn steps(
        &self,
        authorization: &Authorization,
        signature: &Signature,
        permit: Option<&TokenPermit>,
    ) -> Result<Steps, ChainError> {
        let payer = authorization.payer;
        let wrapped = WrappedSignature::parse(signature.reveal()).unwrap_or_default();
        // What one sender alone can do, nothing can go before in the same transaction.
        let wrapped = wrapped.filter(|_| authorization.method.sender().is_none());
        let deployment = match wrapped.filter(|wrapped| self.may_deploy(wrapped.factory)) {
            Some(wrapped) if !self.with_code(&[payer]).await?.contains(&payer) => {
                Some(Call { target: wrapped.factory, input: wrapped.factory_call })
            }
            Some(_) | None => None,
        };
        let transfer = transfer_with_permit(authorization, signature, permit);
        Ok(Steps { deployment, transfer })
    }
}

fn said(result: &Multicall3::Result) -> Trial {
    if result.success {
        return Trial::Succeeds;
    }
    let data = &result.returnData;
    let in_words = Revert::abi_decode(data)
        .is_ok_and(|revert| revert.reason.to_lowercase().contains(INVALID_SIGNATURE));
    if in_words || REFUSALS.iter().any(|selector| data.starts_with(selector)) {
        return Trial::SignatureRefused;
    }
    Trial::Fails(reason(data))
}

#[cfg(test)]
mod tests {
    use domain::{B256, U256};

    use super::*;
    use crate::abi::UptoProxy;

    fn refused_with(data: Vec<u8>) -> Trial {
        said(&Multicall3::Result { success: false, returnData: data.into() })
    }

    #[test]
    fn a_signature_is_refused_only_in_clear_words() {
        let words = |text: &str| Revert::from(text).abi_encode();
        let (length, s) = (U256::from(9), B256::repeat_byte(0xff));
        for (data, refused) in [
            (words("FiatTokenV2: invalid signature"), true),
            (words("ECRecover: invalid signature length"), true),
            (words("ECRecover: invalid signature 's' value"), true),
            (Refusal::InvalidSignature {}.abi_encode(), true),
            (Refusal::ECDSAInvalidSignature {}.abi_encode(), true),
            (Refusal::ECDSAInvalidSignatureLength { length }.abi_encode(), true),
            (Refusal::ECDSAInvalidSignatureS { s }.abi_encode(), true),
            (words("Pausable: paused"), false),
            (words("ERC20: transfer amount exceeds balance"), false),
            (words("FiatTokenV2: authorization is expired"), false),
            // Nothing, as of a call that has used up its gas.
            (vec![], false),
            (b"invalid signature".to_vec(), false),
        ] {
            let trial = refused_with(data.clone());
            assert_eq!(trial == Trial::SignatureRefused, refused, "{data:x?}");
        }
    }

    #[test]
    fn what_the_proxy_for_upto_alone_can_say_is_told_by_its_name() {
        for (error, name) in [
            (UptoProxy::AmountExceedsPermitted {}.abi_encode(), crate::AMOUNT_EXCEEDS_PERMITTED),
            (UptoProxy::UnauthorizedFacilitator {}.abi_encode(), crate::UNAUTHORIZED_FACILITATOR),
        ] {
            assert_eq!(refused_with(error), Trial::Fails(name.to_owned()));
        }
    }

    #[test]
    fn what_succeeds_returns_anything() {
        let result = Multicall3::Result { success: true, returnData: vec![1].into() };
        assert_eq!(said(&result), Trial::Succeeds);
    }
}
