//! What a network's node says about blocks, receipts and accounts.

use std::time::Instant;

use alloy_primitives::{Address, B256, U64, U256};

use crate::absence::Absence;
use crate::head::RawHead;
use crate::receipt::RawReceipt;
use crate::{BlockTag, ChainError, Head, Node, Receipt};

impl Node {
    /// This block, or `None` when the node has no such block.
    ///
    /// # Errors
    /// [`ChainError`] when the node did not say.
    pub async fn block(&self, tag: BlockTag) -> Result<Option<Head>, ChainError> {
        if tag == BlockTag::Latest {
            return self.head().await.map(Some);
        }
        let raw: Option<RawHead> = self.ask("eth_getBlockByNumber", (tag.param(), false)).await?;
        Ok(raw.map(Head::from))
    }

    /// The network's newest block. Where there are several endpoints, it is not older than one
    /// that was given before, unless the chain itself became shorter.
    ///
    /// # Errors
    /// [`ChainError::Behind`] while only older ones are told of, other [`ChainError`]s when nobody
    /// said.
    pub async fn head(&self) -> Result<Head, ChainError> {
        let fence = self.fence().number();
        let endpoints = self.candidates().await;
        let asked = endpoints.len();
        let (mut newest, mut failure): (Option<Head>, Option<ChainError>) = (None, None);
        for endpoint in endpoints {
            match endpoint.head(endpoint.deadline()).await {
                Ok(head) if head.number >= fence || !self.has_several() => {
                    self.fence().raise(head.number);
                    return Ok(head);
                }
                Ok(head) => {
                    newest = newest.into_iter().chain([head]).max_by_key(|head| head.number)
                }
                Err(error) => failure = Some(error),
            }
        }
        let Some(head) = newest else { return Err(failure.unwrap_or_else(ChainError::nobody)) };
        let everybody = failure.is_none() && asked == self.endpoints().len();
        if self.fence().gives_way(head.number, fence, everybody, Instant::now()) {
            tracing::warn!(network = %self.chain(), head.number, fence, "the chain is shorter than it was");
            return Ok(head);
        }
        Err(ChainError::Behind)
    }

    /// The time, in Unix seconds, of the newest block that has `confirmations` blocks, itself
    /// included; 0 where the node does not have that block, which is no evidence of any time.
    ///
    /// # Errors
    /// [`ChainError`] when the node did not say.
    pub async fn final_block_time(&self, confirmations: u64) -> Result<i64, ChainError> {
        let head = self.head().await?;
        let depth = confirmations.saturating_sub(1);
        if depth == 0 {
            return Ok(head.timestamp);
        }
        let block = self.block(BlockTag::Number(head.number.saturating_sub(depth))).await?;
        Ok(block.map_or(0, |block| block.timestamp))
    }

    /// Whether the block at this height has `confirmations` blocks, itself included.
    ///
    /// # Errors
    /// [`ChainError`] when the node did not say.
    pub async fn is_deep(&self, number: u64, confirmations: u64) -> Result<bool, ChainError> {
        let above = confirmations.saturating_sub(1);
        Ok(number.saturating_add(above) <= self.head().await?.number)
    }

    /// Every receipt of the block at this height, or `None` when the node has no such block.
    ///
    /// # Errors
    /// [`ChainError`] when the node did not say.
    pub async fn block_receipts(&self, number: u64) -> Result<Option<Vec<Receipt>>, ChainError> {
        let raw: Option<Vec<RawReceipt>> =
            self.ask("eth_getBlockReceipts", (BlockTag::Number(number).param(),)).await?;
        Ok(raw.map(|receipts| receipts.into_iter().map(Receipt::from).collect()))
    }

    /// The receipt of this transaction, or `None` when no block that the node knows holds it.
    ///
    /// # Errors
    /// [`ChainError`] when the node did not say.
    pub async fn receipt(&self, tx_hash: B256) -> Result<Option<Receipt>, ChainError> {
        let raw: Option<RawReceipt> = self.ask("eth_getTransactionReceipt", (tx_hash,)).await?;
        Ok(raw.map(Receipt::from))
    }

    /// The receipt of this transaction from whichever endpoint has it; `None` only when every one
    /// that can be asked and keeps up says that it has none.
    ///
    /// # Errors
    /// [`ChainError`] when one did not say, and none has it.
    pub async fn receipt_anywhere(&self, tx_hash: B256) -> Result<Option<Receipt>, ChainError> {
        let mut absence = Absence::default();
        for endpoint in self.witnesses().await {
            let deadline = endpoint.deadline();
            let method = "eth_getTransactionReceipt";
            let answer = match self.catch_up(endpoint, deadline).await {
                Ok(()) => endpoint.ask::<_, Option<RawReceipt>>(method, (tx_hash,), deadline).await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(Some(receipt)) => return Ok(Some(Receipt::from(receipt))),
                Ok(None) => absence.said(),
                Err(error) => absence.unsaid(error),
            }
        }
        absence.proven().map(|()| None)
    }

    /// The nonce that the address's next transaction would have after this block; `None` means
    /// after everything that is pending.
    ///
    /// # Errors
    /// [`ChainError`] when the node did not say.
    pub async fn nonce(&self, address: Address, at: Option<BlockTag>) -> Result<u64, ChainError> {
        let at = at.map_or_else(|| "pending".to_owned(), BlockTag::param);
        let nonce: U64 = self.ask("eth_getTransactionCount", (address, at)).await?;
        Ok(nonce.to())
    }

    /// The address's balance of the network's own coin, in wei.
    ///
    /// # Errors
    /// [`ChainError`] when the node did not say.
    pub async fn balance(&self, address: Address) -> Result<U256, ChainError> {
        self.ask("eth_getBalance", (address, "latest")).await
    }
}
