//! The calls that move the money, alone or many at once.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall;
use domain::{Authorization, Signature, TokenPermit, TransferMethod};
use x402::WrappedSignature;

use crate::abi::{Multicall3, TransferByBytes, TransferByParts};
use crate::call::CallRequest;
use crate::{ChainError, Node, permit2};

/// A call of a contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The contract.
    pub target: Address,
    /// What it is called with.
    pub input: Bytes,
}

/// What a call of a batch would do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Simulated {
    /// It would succeed.
    Succeeds,
    /// It would fail, with this much of the contract's words.
    Fails(String),
}

/// The most of a contract's words that is kept.
const REASON_LIMIT: usize = 200;

/// The call that redeems this authorization: the token's own, or the one of x402's proxy for Permit2.
///
/// A signature of 65 bytes goes by its parts, which every version of the token takes; others go
/// as they are (FiatToken v2.2), and Permit2 takes all as they are. Of one that is wrapped (ERC-6492),
/// what is inside is given.
pub fn transfer(authorization: &Authorization, signature: &Signature) -> Call {
    transfer_with_permit(authorization, signature, None)
}

/// The same, with what lets Permit2 move the money, where that is to be handed in with it.
pub fn transfer_with_permit(
    authorization: &Authorization,
    signature: &Signature,
    permit: Option<&TokenPermit>,
) -> Call {
    let wrapped = WrappedSignature::parse(signature.reveal()).unwrap_or_default();
    let signature = wrapped.as_ref().map_or(signature, |wrapped| &wrapped.inner);
    match (authorization.method, permit) {
        (TransferMethod::Eip3009, _) => transfer_with_authorization(authorization, signature),
        (TransferMethod::Permit2 { spender }, None) => {
            permit2::settle(authorization, spender, signature)
        }
        (TransferMethod::Permit2 { spender }, Some(permit)) => {
            permit2::settle_with_permit(authorization, spender, signature, permit)
        }
        // Permits are not read beside these.
        (TransferMethod::Upto { spender, sender, most }, _) => {
            permit2::settle_upto(authorization, (spender, sender, most), signature)
        }
    }
}

fn transfer_with_authorization(authorization: &Authorization, signature: &Signature) -> Call {
    let Authorization { payer: from, pay_to: to, nonce, .. } = *authorization;
    let value = authorization.amount.units();
    let (after, before) = (seconds(authorization.valid_after), seconds(authorization.valid_before));
    let input = match signature.reveal() {
        [parts @ .., v] if parts.len() == 64 => TransferByParts::transferWithAuthorizationCall {
            from,
            to,
            value,
            validAfter: after,
            validBefore: before,
            nonce,
            v: *v,
            r: B256::from_slice(&parts[..32]),
            s: B256::from_slice(&parts[32..]),
        }
        .abi_encode(),
        bytes => TransferByBytes::transferWithAuthorizationCall {
            from,
            to,
            value,
            validAfter: after,
            validBefore: before,
            nonce,
            signature: Bytes::copy_from_slice(bytes),
        }
        .abi_encode(),
    };
    Call { target: authorization.asset, input: input.into() }
}

/// A moment as contracts take it.
pub(crate) fn seconds(moment: i64) -> U256 {
    U256::from(u64::try_from(moment).unwrap_or_default())
}

/// One call that makes all of these, each of which may fail alone (Multicall3 `aggregate3`).
pub fn batch(multicall: Address, calls: &[Call]) -> Call {
    let calls = calls
        .iter()
        .map(|call| Multicall3::Call3 {
            target: call.target,
            allowFailure: true,
            callData: call.input.clone(),
        })
        .collect();
    Call { target: multicall, input: Multicall3::aggregate3Call { calls }.abi_encode().into() }
}

impl Node {
    /// What each call of a batch would do after the newest block, never one before the newest that
    /// was seen by then: one call for all of them. What is pending is left out: nodes execute all of
    /// it anew for each such question, and many ignore it.
    ///
    /// # Errors
    /// [`ChainError`] when the node did not say.
    pub async fn simulate_batch(
        &self,
        from: Address,
        calls: &[Call],
        gas: u64,
    ) -> Result<Vec<Simulated>, ChainError> {
        let clock = Call {
            target: self.multicall(),
            input: Multicall3::getCurrentBlockTimestampCall {}.abi_encode().into(),
        };
        let timed: Vec<Call> = std::iter::once(clock).chain(calls.iter().cloned()).collect();
        let whole = batch(self.multicall(), &timed);
        let call = CallRequest {
            from: Some(from),
            to: whole.target,
            input: &whole.input,
            at: "latest",
            gas: Some(gas),
        };
        let newest = self.fence().time();
        let read = |output: Bytes| self.read_results(&output, calls.len(), newest);
        let (_, results) = self.ask_and_read("eth_call", (call.to_json(), call.at), read).await?;
        Ok(results
            .into_iter()
            .map(|result| match result.success {
                true => Simulated::Succeeds,
                false => Simulated::Fails(reason(&result.returnData)),
            })
            .collect())
    }

    /// The gas that a call would use if it were mined next.
    ///
    /// # Errors
    /// [`ChainError::Reverted`] when it would fail, other [`ChainError`]s when the node did not
    /// say.
    pub async fn simulate(&self, from: Address, call: &Call) -> Result<u64, ChainError> {
        let request = CallRequest {
            from: Some(from),
            to: call.target,
            input: &call.input,
            at: "pending",
            gas: None,
        };
        self.estimate_gas(&request).await
    }
}

/// The text of a Solidity `Error(string)`, an error's name where it is known, or the beginning of whatever else was returned.
pub(crate) fn reason(data: &Bytes) -> String {
    let text = permit2::proxy_error(data)
        .map(str::to_owned)
        .or_else(|| alloy_sol_types::decode_revert_reason(data))
        .unwrap_or_else(|| data.iter().take(36).map(|byte| format!("{byte:02x}")).collect());
    text.chars().take(REASON_LIMIT).collect()
}

#[cfg(test)]
mod tests {
    use domain::{Amount, ChainId};

    use super::*;

    fn call(signature: Vec<u8>) -> Call {
        let authorization = Authorization {
            method: TransferMethod::Eip3009,
            chain: ChainId::new(1).unwrap(),
            asset: Address::repeat_byte(1),
            payer: Address::repeat_byte(2),
            pay_to: Address::repeat_byte(3),
            amount: Amount::from(100),
            valid_after: 0,
            valid_before: 10,
            nonce: B256::repeat_byte(4),
        };
        transfer(&authorization, &Signature::new(signature))
    }

    #[test]
    fn a_signature_of_65_bytes_goes_by_its_parts_and_any_other_as_it_is() {
        assert_eq!(call(vec![27; 65]).input[..4], [0xe3, 0xee, 0x16, 0x0e]);
        for length in [1, 64, 66, 130] {
            assert_eq!(call(vec![27; length]).input[..4], [0xcf, 0x09, 0x29, 0x95]);
        }
    }

    #[test]
    fn of_a_wrapped_signature_the_token_is_given_what_is_inside() {
        for length in [65, 90] {
            let wrapped = WrappedSignature {
                factory: Address::repeat_byte(5),
                factory_call: Bytes::from_static(b"deploy it"),
                inner: Signature::new(vec![27; length]),
            };
            assert_eq!(call(wrapped.to_signature().reveal().to_vec()), call(vec![27; length]));
        }
    }
}
