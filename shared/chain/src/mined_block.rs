//! A block, and what its transactions did.

use std::collections::{HashMap, HashSet};

use alloy_primitives::B256;
use serde::Deserialize;

use crate::{BlockTag, ChainError, Node, Receipt};

/// The canonical block at some height, with the receipts that were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinedBlock {
    /// Its height.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// The receipts of those wanted transactions that it holds; perhaps of others too.
    pub receipts: HashMap<B256, Receipt>,
}

/// A block with the names of its transactions.
#[derive(Debug, Deserialize)]
struct RawBlock {
    hash: B256,
    transactions: HashSet<B256>,
}

impl Node {
    /// The block at this height with all its receipts, which not every node gives at once; a
    /// block without any is read by [`Node::mined_block_by_hash`].
    ///
    /// # Errors
    /// [`ChainError::Refused`] when the node does not give receipts by block,
    /// [`ChainError::Behind`] when it has no such block, other [`ChainError`]s when it did not say
    /// or contradicts itself.
    pub async fn mined_block(
        &self,
        number: u64,
        wanted: &[B256],
    ) -> Result<MinedBlock, ChainError> {
        let receipts = self.block_receipts(number).await?.ok_or(ChainError::Behind)?;
        let Some(hash) = receipts.first().map(|receipt| receipt.block_hash) else {
            return self.mined_block_by_hash(number, wanted).await;
        };
        if receipts
            .iter()
            .any(|receipt| (receipt.block_number, receipt.block_hash) != (number, hash))
        {
            return Err(contradiction());
        }
        let receipts = receipts.into_iter().map(|receipt| (receipt.tx_hash, receipt)).collect();
        Ok(MinedBlock { number, hash, receipts })
    }

    /// The block at this height with the receipts of those of these transactions that it holds,
    /// each asked for alone. What it holds is read from the block itself: nodes forget receipts
    /// sooner than blocks, and then say that there is none.
    ///
    /// # Errors
    /// [`ChainError::Behind`] when the node has no such block, other [`ChainError`]s when it did
    /// not say or contradicts itself.
    pub async fn mined_block_by_hash(
        &self,
        number: u64,
        wanted: &[B256],
    ) -> Result<MinedBlock, ChainError> {
        let block: Option<RawBlock> =
            self.ask("eth_getBlockByNumber", (BlockTag::Number(number).param(), false)).await?;
        let RawBlock { hash, transactions } = block.ok_or(ChainError::Behind)?;
        let mut receipts = HashMap::new();
        for tx_hash in wanted.iter().filter(|tx_hash| transactions.contains(*tx_hash)) {
            let receipt = self.receipt(*tx_hash).await?.ok_or_else(contradiction)?;
            if (receipt.tx_hash, receipt.block_hash) != (*tx_hash, hash) {
                return Err(contradiction());
            }
            receipts.insert(*tx_hash, receipt);
        }
        Ok(MinedBlock { number, hash, receipts })
    }
}

fn contradiction() -> ChainError {
    ChainError::Unreadable("the node contradicts itself about a block".to_owned())
}
