//! Transfers by Permit2: the call that redeems one, and what Permit2 says about its nonce.

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::{SolCall, SolError, SolEvent};
use domain::{Amount, Authorization, B256, PERMIT2, Signature, TokenPermit};
use serde_json::json;

use crate::abi::{ExactProxy, Permit2, Token, UptoProxy};
use crate::authorization_use::AuthorizationUse;
use crate::call::CallRequest;
use crate::endpoint::Endpoint;
use crate::outcome::find_payment;
use crate::receipt::{RawLog, RawReceipt};
use crate::transfer::{Call, seconds};
use crate::{ChainError, Head, Receipt};

/// The call of x402's proxy that redeems this authorization.
pub(crate) fn settle(authorization: &Authorization, proxy: Address, signature: &Signature) -> Call {
    let input = ExactProxy::settleCall {
        permit: permit(authorization, authorization.amount),
        owner: authorization.payer,
        witness: witness(authorization),
        signature: Bytes::copy_from_slice(signature.reveal()),
    };
    Call { target: proxy, input: input.abi_encode().into() }
}

/// The same for a payer who has not let Permit2 move the token before: the proxy hands the permit to
/// the token first, and goes on whatever the token says to it, because anybody may have done that
/// before.
pub(crate) fn settle_with_permit(
    authorization: &Authorization,
    proxy: Address,
    signature: &Signature,
    token_permit: &TokenPermit,
) -> Call {
    let input = ExactProxy::settleWithPermitCall {
        permit2612: parts(authorization, token_permit),
        permit: permit(authorization, authorization.amount),
        owner: authorization.payer,
        witness: witness(authorization),
        signature: Bytes::copy_from_slice(signature.reveal()),
    };
    Call { target: proxy, input: input.abi_encode().into() }
}

/// A permit over the authorization's amount as x402's proxy takes it.
fn parts(authorization: &Authorization, permit: &TokenPermit) -> ExactProxy::EIP2612Permit {
    let signed = permit.signature.reveal();
    let word = |from: usize| {
        let bytes = signed.get(from..from.saturating_add(32));
        bytes.map(B256::from_slice).unwrap_or_default()
    };
    ExactProxy::EIP2612Permit {
        value: authorization.amount.units(),
        deadline: permit.deadline,
        r: word(0),
        s: word(32),
        v: signed.get(64).copied().unwrap_or_default(),
    }
}

/// The call of x402's proxy for `upto`, which takes it from this sender alone, that redeems what is asked
/// of this authorization.
pub(crate) fn settle_upto(
    authorization: &Authorization,
    (proxy, sender, most): (Address, Address, Amount),
    signature: &Signature,
) -> Call {
    let input = UptoProxy::settleCall {
        permit: permit(authorization, most),
        amount: authorization.amount.units(),
        owner: authorization.payer,
        witness: UptoProxy::Witness {
            to: authorization.pay_to,
            facilitator: sender,
            validAfter: seconds(authorization.valid_after),
        },
        signature: Bytes::copy_from_slice(signature.reveal()),
    };
    Call { target: proxy, input: input.abi_encode().into() }
}

fn permit(authorization: &Authorization, permitted: Amount) -> Permit2::PermitTransferFrom {
    Permit2::PermitTransferFrom {
        permitted: Permit2::TokenPermissions {
            token: authorization.asset,
            amount: permitted.units(),
        },
        nonce: authorization.nonce.into(),
        deadline: seconds(authorization.valid_before.saturating_sub(1)),
    }
}

fn witness(authorization: &Authorization) -> ExactProxy::Witness {
    ExactProxy::Witness { to: authorization.pay_to, validAfter: seconds(authorization.valid_after) }
}

/// The amount that is asked is more than was signed, as x402's proxy for `upto` says it.
pub const AMOUNT_EXCEEDS_PERMITTED: &str = "AmountExceedsPermitted";

/// The sender is not the one that was signed, as x402's proxy for `upto` says it.
pub const UNAUTHORIZED_FACILITATOR: &str = "UnauthorizedFacilitator";

/// The name of the error by which x402's proxy for `upto` refused, where it is one that only it has.
pub(crate) fn proxy_error(data: &[u8]) -> Option<&'static str> {
    let errors = [
        (UptoProxy::AmountExceedsPermitted::SELECTOR, AMOUNT_EXCEEDS_PERMITTED),
        (UptoProxy::UnauthorizedFacilitator::SELECTOR, UNAUTHORIZED_FACILITATOR),
    ];
    errors.into_iter().find(|(selector, _)| data == selector).map(|(_, name)| name)
}

/// The question whether a nonce was used: its word of the payer's bitmap.
pub(crate) fn nonce_question(authorization: &Authorization) -> Vec<u8> {
    let word = U256::from_be_bytes(authorization.nonce.0) >> 8_usize;
    Permit2::nonceBitmapCall { owner: authorization.payer, word }.abi_encode()
}

/// Whether the nonce was used, by the word that Permit2 gave.
///
/// # Errors
/// [`ChainError::Unreadable`] when it gave none.
pub(crate) fn is_used(authorization: &Authorization, word: &Bytes) -> Result<bool, ChainError> {
    let word = Permit2::nonceBitmapCall::abi_decode_returns(word)
        .map_err(|_| ChainError::Unreadable("Permit2's answer".to_owned()))?;
    let [.., place] = authorization.nonce.0;
    Ok(word.bit(usize::from(place)))
}

/// What used a nonce up, as this endpoint sees it in the blocks from `from` to its head.
///
/// Permit2 logs nothing of a transfer. Its bitmap as of older blocks tells in which the nonce was
/// used, and the token's logs there, whether that paid.
pub(crate) async fn find_use(
    endpoint: &Endpoint,
    authorization: &Authorization,
    from: u64,
    head: Head,
) -> Result<AuthorizationUse, ChainError> {
    let (mut unused, mut used, mut stride) = (head.number, head.number, 1);
    // Backwards in strides that grow, because many nodes know the state of recent blocks only.
    while is_used_at(endpoint, authorization, unused).await? {
        if unused == from {
            return Ok(AuthorizationUse::NotFound);
        }
        used = unused;
        unused = used.saturating_sub(stride).max(from);
        stride = stride.saturating_mul(2);
    }
    if unused == used {
        return Ok(AuthorizationUse::NotFound);
    }
    while used.saturating_sub(unused) > 1 {
        let middle = unused.midpoint(used);
        match is_used_at(endpoint, authorization, middle).await? {
            true => used = middle,
            false => unused = middle,
        }
    }
    let paid = find_payment_in(endpoint, authorization, used).await?;
    Ok(paid.unwrap_or(AuthorizationUse::Spent { block_number: used }))
}

async fn is_used_at(
    endpoint: &Endpoint,
    authorization: &Authorization,
    block: u64,
) -> Result<bool, ChainError> {
    let input = nonce_question(authorization).into();
    let call =
        CallRequest { from: None, to: PERMIT2, input: &input, at: "latest", gas: None }.to_json();
    let deadline = endpoint.deadline();
    let word: Bytes = endpoint.ask("eth_call", (call, format!("{block:#x}")), deadline).await?;
    // Before it was there, nobody has used it.
    if word.is_empty() { Ok(false) } else { is_used(authorization, &word) }
}

async fn find_payment_in(
    endpoint: &Endpoint,
    authorization: &Authorization,
    block: u64,
) -> Result<Option<AuthorizationUse>, ChainError> {
    let filter = json!({
        "address": authorization.asset,
        "fromBlock": format!("{block:#x}"),
        "toBlock": format!("{block:#x}"),
        "topics": [
            Token::Transfer::SIGNATURE_HASH,
            authorization.payer.into_word(),
            authorization.pay_to.into_word(),
        ],
    });
    let missing = || ChainError::Unreadable("a log without its transaction".to_owned());
    let deadline = endpoint.deadline();
    let logs: Vec<RawLog> = endpoint.ask("eth_getLogs", (filter,), deadline).await?;
    for log in logs.into_iter().filter(|log| !log.removed) {
        let (hash, deadline) = (log.transaction_hash.ok_or_else(missing)?, endpoint.deadline());
        let receipt: Option<RawReceipt> =
            endpoint.ask("eth_getTransactionReceipt", (hash,), deadline).await?;
        let receipt = Receipt::from(receipt.ok_or_else(missing)?);
        if let Some(inclusion) = find_payment(&receipt, authorization) {
            return Ok(Some(AuthorizationUse::Paid(inclusion)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use domain::{B256, ChainId, TransferMethod};

    use super::*;

    fn authorization(nonce: [u8; 32]) -> Authorization {
        Authorization {
            method: TransferMethod::Permit2 { spender: Address::repeat_byte(7) },
            chain: ChainId::new(1).unwrap(),
            asset: Address::repeat_byte(1),
            payer: Address::repeat_byte(2),
            pay_to: Address::repeat_byte(3),
            amount: Amount::from(100),
            valid_after: 0,
            valid_before: 10,
            nonce: B256::from(nonce),
        }
    }

    /// A word of the bitmap in which only this bit is set, or only it is not.
    fn word(place: u8, set: bool) -> Bytes {
        let mut bytes = [0_u8; 32];
        // Bits are counted from the right, and bytes stand from the left.
        bytes[31 - usize::from(place / 8)] = 1 << (place % 8);
        Bytes::from(bytes.map(|byte| if set { byte } else { !byte }))
    }

    #[test]
    fn a_nonce_is_used_when_its_own_bit_is_set() {
        for place in 0..=u8::MAX {
            let mut nonce = [0xa5; 32];
            nonce[31] = place;
            let authorization = authorization(nonce);
            assert!(is_used(&authorization, &word(place, true)).unwrap(), "{place}");
            assert!(!is_used(&authorization, &word(place, false)).unwrap(), "{place}");
        }
    }

    #[test]
    fn the_word_that_is_asked_for_is_the_nonce_without_its_last_byte() {
        let nonce = std::array::from_fn(|at| u8::try_from(at).unwrap());
        let asked = nonce_question(&authorization(nonce));
        assert_eq!(asked[36..], [&[0][..], &nonce[..31]].concat());
    }

    #[test]
    fn what_is_no_word_says_nothing() {
        assert!(is_used(&authorization([0; 32]), &Bytes::new()).is_err());
    }
}
