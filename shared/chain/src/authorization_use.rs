//! Finding out what a spent authorization was spent on.

use alloy_primitives::B256;
use alloy_sol_types::SolEvent;
use domain::{Authorization, Inclusion};
use serde_json::json;

use crate::abi::Token;
use crate::outcome::find_payment;
use crate::receipt::RawLog;
use crate::{ChainError, Node};

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
    /// did. Both events have the authorizer and the nonce as indexed topics (EIP-3009).
    ///
    /// # Errors
    /// [`ChainError`] when the node did not say.
    pub async fn find_use(
        &self,
        authorization: &Authorization,
    ) -> Result<AuthorizationUse, ChainError> {
        let head = self.head().await?;
        let from = head.number.saturating_sub(self.log_lookback_blocks());
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
        let logs: Vec<RawLog> = self.ask("eth_getLogs", (filter,)).await?;
        let Some(log) = logs.into_iter().find(|log| !log.removed) else {
            return Ok(AuthorizationUse::NotFound);
        };
        if log.topics.first() == Some(&Token::AuthorizationCanceled::SIGNATURE_HASH) {
            let block_number = log.block_number.ok_or_else(missing)?.to();
            return Ok(AuthorizationUse::Spent { block_number });
        }
        self.read_use(log.transaction_hash, authorization).await
    }

    async fn read_use(
        &self,
        tx_hash: Option<B256>,
        authorization: &Authorization,
    ) -> Result<AuthorizationUse, ChainError> {
        let receipt = self.receipt(tx_hash.ok_or_else(missing)?).await?.ok_or_else(missing)?;
        let spent = AuthorizationUse::Spent { block_number: receipt.block_number };
        Ok(find_payment(&receipt, authorization).map_or(spent, AuthorizationUse::Paid))
    }
}

fn missing() -> ChainError {
    ChainError::Unreadable("a log without its transaction".to_owned())
}
