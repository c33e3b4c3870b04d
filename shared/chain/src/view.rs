//! What tokens and Permit2 say about authorizations, many at once.

use std::time::Instant;

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::SolCall;
use domain::{Amount, Authorization, Leave, PERMIT2, TokenPermit, TransferMethod, allowance_with};

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
    /// `nonces` of the payer, where a permit came with the payment and the token says it.
    pub permit_nonce: Option<U256>,
    /// The time, in Unix seconds, of the block that it speaks of.
    pub as_of: i64,
}

impl AuthorizationView {
    /// What Permit2 may move of the token for a payment of this amount that is made by that Unix
    /// second, with the permit that came with it, if the token takes that.
    pub fn allowance_with(
        &self,
        amount: Amount,
        permit: Option<&TokenPermit>,
        by: i64,
    ) -> Option<Amount> {
        let leave = permit.zip(self.permit_nonce);
        let leave = leave.map(|(permit, next_nonce)| Leave { permit, next_nonce });
        self.allowance.map(|on_chain| allowance_with(on_chain, amount, leave, by))
    }
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
        let asked: Vec<_> = authorizations.iter().map(|it| (*it, None)).collect();
        self.views_with_permits(&asked).await
    }

    /// The same for authorizations with the permits that came with them: as of the same block, which
    /// permit each of their tokens takes next.
    ///
    /// # Errors
    /// As [`Node::views`].
    pub async fn views_with_permits(
        &self,
        asked: &[(&Authorization, Option<&TokenPermit>)],
    ) -> Result<Vec<AuthorizationView>, ChainError> {
        let newest = self.fence().time();
        let clock = (self.multicall(), Multicall3::getCurrentBlockTimestampCall {}.abi_encode());
        let all =
            asked.iter().flat_map(|(authorization, permit)| questions(authorization, *permit));
        let calls: Vec<_> = std::iter::once(clock)
            .chain(all)
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
        let mut views = Vec::with_capacity(asked.len());
        for (authorization, permit) in asked {
            let number = questions(authorization, *permit).len();
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
fn questions(
    authorization: &Authorization,
    permit: Option<&TokenPermit>,
) -> Vec<(Address, Vec<u8>)> {
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
            let mut asked = vec![(PERMIT2, state), balance, (asset, allowance.abi_encode())];
            let nonce = Token::noncesCall { owner: payer };
            asked.extend(permit.map(|_| (asset, nonce.abi_encode())));
            asked
        }
    }
}

fn read_view(
    authorization: &Authorization,
    answers: &[Multicall3::Result],
    as_of: i64,
) -> Result<AuthorizationView, ChainError> {
    let unreadable = |_| ChainError::Unreadable("the token's answer".to_owned());
    // Permits are the last that is asked about, and a token need not know them.
    let (answers, permits) = match authorization.method {
        TransferMethod::Eip3009 => (answers, None),
        TransferMethod::Permit2 { .. } | TransferMethod::Upto { .. } => {
            let (answers, permits) = answers.split_at_checked(3).ok_or_else(too_few)?;
            (answers, permits.first().filter(|answer| answer.success))
        }
    };
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
    let permit_nonce = permits.and_then(|answer| read(answer).ok()).map(|nonce| nonce.units());
    Ok(AuthorizationView { used, balance, allowance, permit_nonce, as_of })
}

fn too_few() -> ChainError {
    ChainError::Unreadable("multicall of another length".to_owned())
}
