//! Which blocks stand, and which are final.

use std::collections::HashMap;

use chain::{BlockTag, Head};
use domain::{B256, Finality};

use crate::error::SettleError;
use crate::network::Network;

/// What is known about the chain as of one head: asked once, however many payments want to know.
#[derive(Debug)]
pub(crate) struct Canon<'a> {
    network: &'a Network,
    head: Head,
    blocks: HashMap<u64, Option<Head>>,
    /// The heights of the `safe` and `finalized` blocks.
    tags: HashMap<Finality, u64>,
}

impl<'a> Canon<'a> {
    pub(crate) fn at(network: &'a Network, head: Head) -> Self {
        let blocks = HashMap::from([(head.number, Some(head))]);
        Self { network, head, blocks, tags: HashMap::new() }
    }

    /// The canon as of the node's newest block.
    pub(crate) async fn now(network: &'a Network) -> Result<Self, SettleError> {
        Ok(Self::at(network, network.node.head().await?))
    }

    /// Whether this block is part of the chain.
    pub(crate) async fn holds(&mut self, number: u64, hash: B256) -> Result<bool, SettleError> {
        let block = match self.blocks.get(&number) {
            Some(block) => *block,
            None => {
                let block = self.network.node.block(BlockTag::Number(number)).await?;
                self.blocks.insert(number, block);
                block
            }
        };
        Ok(block.is_some_and(|block| block.hash == hash))
    }

    /// Whether a canonical block of this height is final in this sense.
    pub(crate) async fn is_final(
        &mut self,
        number: u64,
        finality: Finality,
    ) -> Result<bool, SettleError> {
        let tag = match finality {
            Finality::Confirmed => {
                let above = self.network.policy.confirmations.saturating_sub(1);
                return Ok(number.saturating_add(above) <= self.head.number);
            }
            Finality::Safe => BlockTag::Safe,
            Finality::Finalized => BlockTag::Finalized,
        };
        let height = match self.tags.get(&finality) {
            Some(height) => *height,
            None => {
                let block = self.network.node.block(tag).await?;
                let height = block.map_or(0, |block| block.number);
                self.tags.insert(finality, height);
                height
            }
        };
        Ok(height > 0 && number <= height)
    }
}

impl Network {
    /// The time, in Unix seconds, of the newest block that counts as final.
    pub(crate) async fn final_block_time(&self) -> Result<i64, SettleError> {
        Ok(self.node.final_block_time(self.policy.confirmations).await?)
    }

    /// Whether a final block has used this nonce of the address.
    pub(crate) async fn nonce_is_spent(
        &self,
        address: domain::Address,
        nonce: u64,
    ) -> Result<bool, SettleError> {
        // What the newest block has not used, no older one has; and not every node knows old states.
        if self.node.nonce(address, Some(BlockTag::Latest)).await? <= nonce {
            return Ok(false);
        }
        let head = self.node.head().await?;
        let depth = self.policy.confirmations.saturating_sub(1);
        let at = BlockTag::Number(head.number.saturating_sub(depth));
        Ok(self.node.nonce(address, Some(at)).await? > nonce)
    }
}
