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

    /// The newest block that it is as of.
    pub(crate) const fn head(&self) -> Head {
        self.head
    }

    /// Whether this block is part of the chain; `None` while the node has no block of that height,
    /// which is no evidence: it may lag.
    pub(crate) async fn holds(
        &mut self,
        number: u64,
        hash: B256,
    ) -> Result<Option<bool>, SettleError> {
        let block = match self.blocks.get(&number) {
            Some(block) => *block,
            None => {
                let block = self.network.node.block(BlockTag::Number(number)).await?;
                self.blocks.insert(number, block);
                block
            }
        };
        Ok(block.map(|block| block.hash == hash))
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
                let height = self.height_of(tag).await;
                self.tags.insert(finality, height);
                height
            }
        };
        Ok(height > 0 && number <= height)
    }

    /// The height of a tagged block; 0 while the node does not know it, or has no such tag: those
    /// who asked for it wait, and nobody else does.
    async fn height_of(&self, tag: BlockTag) -> u64 {
        match self.network.node.block(tag).await {
            Ok(block) => block.map_or(0, |block| block.number),
            Err(error) => {
                tracing::warn!(%error, ?tag, "the node does not tell which block is that final");
                0
            }
        }
    }
}

impl Network {
    /// The time, in Unix seconds, of the newest block that counts as final.
    pub(crate) async fn final_block_time(&self) -> Result<i64, SettleError> {
        Ok(self.node.final_block_time(self.policy.confirmations).await?)
    }
}
