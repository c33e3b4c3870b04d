//! What the token says about authorizations, many at once.

use std::time::Instant;

use alloy_primitives::Bytes;
use alloy_sol_types::SolCall;
use domain::{Amount, Authorization};

use crate::abi::{Multicall3, Token};
use crate::call::CallRequest;
use crate::fence::check_time;
use crate::{ChainError, Node};

/// What the token says about one authorization now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthorizationView {
    /// `authorizationState`: used or canceled.
    pub used: bool,
    /// `balanceOf` the payer.
    pub balance: Amount,
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
        let questions = authorizations.iter().flat_map(|authorization| {
            let Authorization { asset, payer, nonce, .. } = **authorization;
            let state = Token::authorizationStateCall { authorizer: payer, nonce };
            let balance = Token::balanceOfCall { account: payer };
            [(asset, state.abi_encode()), (asset, balance.abi_encode())]
        });
        let calls = std::iter::once(clock)
            .chain(questions)
            .map(|(target, input)| Multicall3::Call3 {
                target,
                allowFailure: true,
                callData: input.into(),
            })
            .collect();
        let input: Bytes = Multicall3::aggregate3Call { calls }.abi_encode().into();
        let call = CallRequest {
            from: None,
            to: self.multicall(),
            input: &input,
            at: "latest",
            gas: None,
        };
        let expected = authorizations.len().saturating_mul(2);
        let read = |output: Bytes| self.read_results(&output, expected, newest);
        let (time, results) =
            self.ask_and_read("eth_call", (call.to_json(), call.at), read).await?;
        results.chunks_exact(2).map(|pair| read_view(pair, time)).collect()
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

fn read_view(pair: &[Multicall3::Result], as_of: i64) -> Result<AuthorizationView, ChainError> {
    let [state, balance] = pair else {
        return Err(ChainError::Unreadable("multicall".to_owned()));
    };
    if !(state.success && balance.success) {
        return Err(ChainError::Unreadable("the token does not answer as EIP-3009".to_owned()));
    }
    let unreadable = |_| ChainError::Unreadable("the token's answer".to_owned());
    Ok(AuthorizationView {
        used: Token::authorizationStateCall::abi_decode_returns(&state.returnData)
            .map_err(unreadable)?,
        balance: Token::balanceOfCall::abi_decode_returns(&balance.returnData)
            .map(Amount::new)
            .map_err(unreadable)?,
        as_of,
    })
}
