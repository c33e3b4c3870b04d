//! Finding out what a spent authorization was spent on.

use alloy_primitives::B256;
use alloy_sol_types::SolEvent;
use domain::{Authorization, Inclusion};
use serde_json::json;

use crate::abi::Token;
use crate::absence::Absence;
use crate::endpoint::Endpoint;
use crate::outcome::find_payment;
use crate::receipt::{RawLog, RawReceipt};
use crate::{ChainError, Node, Receipt, permit2};

/// What became of an authorization that the token calls used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorizationUse {
    /// It paid this seller, in this place.
    Paid(Inclusion),
    /// It was canceled, or spent without paying this seller this amount.
    Spent {
        /// The height of the block that did it: it proves nothing for good until it is final.
        block_number: u64,
    },
    /// No log of it lies within the blocks that are searched: nothing is proven.
    NotFound,
}

impl Node {
    /// Searches the newest blocks for the log that used this authorization up, and reads what it
    /// did. Both events have the authorizer and the nonce as indexed topics (EIP-3009). For Permit2,
    /// which has no such log, the block is searched in which the nonce was used.
    ///
    /// Everything is read from one endpoint as of its own newest block. That there is no log takes
    /// the word of every endpoint that can be asked and keeps up.
    ///
    /// # Errors
    /// [`ChainError`] when one did not say, and none has found it.
    pub async fn find_use(
        &self,
        authorization: &Authorization,
    ) -> Result<AuthorizationUse, ChainError> {
        let fence = if self.has_several() { self.fence().number() } else { 0 };
        let mut absence = Absence::default();
        for endpoint in self.witnesses().await {
            match self.find_use_at(endpoint, fence, authorization).await {
                Ok(AuthorizationUse::NotFound) => absence.said(),
                Ok(found) => return Ok(found),
                Err(error) => absence.unsaid(error),
            }
        }
        absence.proven().map(|()| AuthorizationUse::NotFound)
    }

    async fn find_use_at(
        &self,
        endpoint: &Endpoint,
        fence: u64,
        authorization: &Authorization,
    ) -> Result<AuthorizationUse, ChainError> {
        let head = endpoint.head(endpoint.deadline()).await?;
        if head.number < fence {
            return Err(ChainError::Behind);
        }
        let from = head.number.saturating_sub(self.log_lookback_blocks());
        if authorization.method.spender().is_some() {
            return permit2::find_use(endpoint, authorization, from, head).await;
        }
        let filter = json!({
            "address": authorization.asset,
            "fromBlock": format!("{from:#x}"),
            "toBlock": format!("{:#x}", head.number),
            "topics": [
                [
                    Token::AuthorizationUsed::SIGNATURE_HASH,
                    Token::AuthorizationCanceled::SIGNATURE_HASH,
                ],
                authorization.payer.into_word(),
                authorization.nonce,
            ],
        });
        let deadline = endpoint.deadline();
        let logs: Vec<RawLog> = endpoint.ask("eth_getLogs", (filter,), deadline).await?;
        let Some(log) = logs.into_iter().find(|log| !log.removed) else {
            return Ok(AuthorizationUse::NotFound);
        };
        if log.topics.first() == Some(&Token::AuthorizationCanceled::SIGNATURE_HASH) {
            let block_number = log.block_number.ok_or_else(missing)?.to();
            return Ok(AuthorizationUse::Spent { block_number });
        }
        read_use(endpoint, log.transaction_hash, authorization).await
    }
}

async fn read_use(
    endpoint: &Endpoint,
    tx_hash: Option<B256>,
    authorization: &Authorization,
) -> Result<AuthorizationUse, ChainError> {
    let (hash, deadline) = (tx_hash.ok_or_else(missing)?, endpoint.deadline());
    let receipt: Option<RawReceipt> =
        endpoint.ask("eth_getTransactionReceipt", (hash,), deadline).await?;
    let receipt = Receipt::from(receipt.ok_or_else(missing)?);
    let spent = AuthorizationUse::Spent { block_number: receipt.block_number };
    Ok(find_payment(&receipt, authorization).map_or(spent, AuthorizationUse::Paid))
}

fn missing() -> ChainError {
    ChainError::Unreadable("a log without its transaction".to_owned())
}
