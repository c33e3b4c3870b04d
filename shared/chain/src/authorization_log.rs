//! Which authorizations a token says were used, block by block.

use alloy_primitives::{Address, B256};
use alloy_sol_types::SolEvent;
use serde_json::json;

use crate::abi::Token;
use crate::receipt::RawLog;
use crate::{BlockTag, ChainError, Node};

/// One `AuthorizationUsed` (EIP-3009): that somebody's authorization was spent, not on what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UseLog {
    /// The token.
    pub asset: Address,
    /// Whose money it was.
    pub payer: Address,
    /// Which of the payer's authorizations.
    pub nonce: B256,
    /// The transaction that spent it, whoever sent it.
    pub tx_hash: B256,
    /// The height of its block.
    pub block_number: u64,
}

impl Node {
    /// Every use of an authorization of these tokens in the blocks `from` to `to`, both included.
    ///
    /// Nodes refuse ranges that are too long for them, each in its own words: ask for less then.
    ///
    /// # Errors
    /// [`ChainError::Behind`] when the node does not have the last of these blocks, other
    /// [`ChainError`]s when it did not say.
    pub async fn authorization_uses(
        &self,
        assets: &[Address],
        from: u64,
        to: u64,
    ) -> Result<Vec<UseLog>, ChainError> {
        // No address in a filter means any address.
        if assets.is_empty() || from > to {
            return Ok(Vec::new());
        }
        // A node that lags has no logs of what it does not know, and does not say so.
        self.block(BlockTag::Number(to)).await?.ok_or(ChainError::Behind)?;
        let filter = json!({
            "address": assets,
            "fromBlock": format!("{from:#x}"),
            "toBlock": format!("{to:#x}"),
            "topics": [Token::AuthorizationUsed::SIGNATURE_HASH],
        });
        let logs: Vec<RawLog> = self.ask("eth_getLogs", (filter,)).await?;
        let uses: Vec<UseLog> = logs
            .into_iter()
            .filter(|log| !log.removed)
            .map(|log| read(&log).ok_or_else(|| unreadable("a log that is no use")))
            .collect::<Result<_, _>>()?;
        let asked = |used: &UseLog| {
            assets.contains(&used.asset) && (from..=to).contains(&used.block_number)
        };
        if uses.iter().all(asked) { Ok(uses) } else { Err(unreadable("logs of other blocks")) }
    }
}

fn read(log: &RawLog) -> Option<UseLog> {
    let [event, payer, nonce] = log.topics[..] else { return None };
    (event == Token::AuthorizationUsed::SIGNATURE_HASH).then_some(())?;
    Some(UseLog {
        asset: log.address,
        payer: Address::from_word(payer),
        nonce,
        tx_hash: log.transaction_hash?,
        block_number: log.block_number?.to(),
    })
}

fn unreadable(what: &str) -> ChainError {
    ChainError::Unreadable(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(topics: &[B256]) -> RawLog {
        let log = json!({
            "address": Address::repeat_byte(1),
            "topics": topics,
            "data": "0x",
            "logIndex": "0x3",
            "transactionHash": B256::repeat_byte(4),
            "blockNumber": "0x5",
        });
        serde_json::from_value(log).unwrap()
    }

    #[test]
    fn a_log_is_read_as_a_use_only_when_it_is_one() {
        let event = Token::AuthorizationUsed::SIGNATURE_HASH;
        let (payer, nonce) = (Address::repeat_byte(2), B256::repeat_byte(3));
        let used = UseLog {
            asset: Address::repeat_byte(1),
            payer,
            nonce,
            tx_hash: B256::repeat_byte(4),
            block_number: 5,
        };
        assert_eq!(read(&log(&[event, payer.into_word(), nonce])), Some(used));
        for topics in [&[][..], &[event], &[event, nonce, nonce, nonce], &[nonce, nonce, nonce]] {
            assert_eq!(read(&log(topics)), None, "{topics:?}");
        }
    }
}
