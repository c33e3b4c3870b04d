//! What tokens and Permit2 say about authorizations, many at once.

use std::time::Instant;

use alloy_primitives::{Address, Bytes};
use alloy_sol_types::SolCall;
use domain::{Amount, Authorization, PERMIT2, TransferMethod};

use crate::abi::{Multicall3, Token};
use crate::call::CallRequest;
use crate::fence::check_time;
use crate::{ChainError, Node, permit2};

/// What the token says about one authorization now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthorizationView {
    /// `authorizationState`, or Permit2's `nonceBitmap`: used or canceled.
    pub used: bool,
    /// `balanceOf` the payer.
    pub balance: Amount,
    /// `allowance` of the payer for Permit2, where that is to move the token.
    pub allowance: Option<Amount>,
    /// The time, in Unix seconds, of the block that it speaks of.
    pub as_of: i64,
}

impl Node {
    /// What the tokens say about these authorizations, in their order, as of the newest block: one
    /// call for all of them. Never as of a block before the newest that was seen by then, because
    /// what is unused there may have been used since.
    ///
    /// # Errors
    /// [`ChainError::Behind`] when it speaks of such an old block, other [`ChainError`]s when the
    /// node did not say about any one of them.
    pub async fn views(
        &self,
        authorizations: &[&Authorization],
    ) -> Result<Vec<AuthorizationView>, ChainError> {
        let newest = self.fence().time();
        let clock = (self.multicall(), Multicall3::getCurrentBlockTimestampCall {}.abi_encode());
        let asked = authorizations.iter().flat_map(|authorization| questions(authorization));
        let calls: Vec<_> = std::iter::once(clock)
            .chain(asked)
            .map(|(target, input)| Multicall3::Call3 {
                target,
                allowFailure: true,
                callData: input.into(),
            })
            .collect();
        let expected = calls.len().saturating_sub(1);
        let input: Bytes = Multicall3::aggregate3Call { calls }.abi_encode().into();
        let call = CallRequest {
            from: None,
            to: self.multicall(),
            input: &input,
            at: "latest",
            gas: None,
        };
        let read = |output: Bytes| self.read_results(&output, expected, newest);
        let (time, results) =
            self.ask_and_read("eth_call", (call.to_json(), call.at), read).await?;
        let mut results = results.as_slice();
        let mut views = Vec::with_capacity(authorizations.len());
        for authorization in authorizations {
            let number = questions(authorization).len();
            let (answers, rest) = results.split_at_checked(number).ok_or_else(too_few)?;
            views.push(read_view(authorization, answers, time)?);
            results = rest;
        }
        Ok(views)
    }

    /// What calls returned and as of when, if that is a block not older than `newest`.
    pub(crate) fn read_results(
        &self,
        output: &Bytes,
        expected: usize,
        newest: i64,
    ) -> Result<(i64, Vec<Multicall3::Result>), ChainError> {
        let mut results = Multicall3::aggregate3Call::abi_decode_returns(output)
            .map_err(|_| ChainError::Unreadable("multicall".to_owned()))?;
        if results.len() != expected.saturating_add(1) {
            return Err(ChainError::Unreadable("multicall of another length".to_owned()));
        }
        let time = read_time(&results.remove(0))?;
        check_time(time, self.unix_secs())?;
        self.fence().hear_time(time, Instant::now());
        if time < newest { Err(ChainError::Behind) } else { Ok((time, results)) }
    }
}

fn read_time(clock: &Multicall3::Result) -> Result<i64, ChainError> {
    Multicall3::getCurrentBlockTimestampCall::abi_decode_returns(&clock.returnData)
        .map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX))
        .map_err(|_| ChainError::Unreadable("the block's time".to_owned()))
}

/// What is asked about an authorization, in the order in which [`read_view`] reads the answers.
fn questions(authorization: &Authorization) -> Vec<(Address, Vec<u8>)> {
    let Authorization { asset, payer, nonce, .. } = *authorization;
    let balance = (asset, Token::balanceOfCall { account: payer }.abi_encode());
    match authorization.method {
        TransferMethod::Eip3009 => {
            let state = Token::authorizationStateCall { authorizer: payer, nonce };
            vec![(asset, state.abi_encode()), balance]
        }
        TransferMethod::Permit2 { .. } | TransferMethod::Upto { .. } => {
            let allowance = Token::allowanceCall { owner: payer, spender: PERMIT2 };
            let state = permit2::nonce_question(authorization);
            vec![(PERMIT2, state), balance, (asset, allowance.abi_encode())]
        }
    }
}

fn read_view(
    authorization: &Authorization,
    answers: &[Multicall3::Result],
    as_of: i64,
) -> Result<AuthorizationView, ChainError> {
    let unreadable = |_| ChainError::Unreadable("the token's answer".to_owned());
    if !answers.iter().all(|answer| answer.success) {
        let words = "the token does not answer as one of this method of transfer";
        return Err(ChainError::Unreadable(words.to_owned()));
    }
    let [state, balance, more @ ..] = answers else { return Err(too_few()) };
    let used = match authorization.method {
        TransferMethod::Eip3009 => {
            Token::authorizationStateCall::abi_decode_returns(&state.returnData)
                .map_err(unreadable)?
        }
        TransferMethod::Permit2 { .. } | TransferMethod::Upto { .. } => {
            permit2::is_used(authorization, &state.returnData)?
        }
    };
    let read = |answer: &Multicall3::Result| {
        // Both are one word.
        Token::balanceOfCall::abi_decode_returns(&answer.returnData)
            .map(Amount::new)
            .map_err(unreadable)
    };
    let (balance, allowance) = (read(balance)?, more.first().map(read).transpose()?);
    Ok(AuthorizationView { used, balance, allowance, as_of })
}

fn too_few() -> ChainError {
    ChainError::Unreadable("multicall of another length".to_owned())
}
