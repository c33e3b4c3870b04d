//! Which blocks stand, and which are final.

use std::collections::HashMap;

use chain::{BlockTag, Head};
use domain::{B256, Finality};
use tokio::sync::Mutex;

use crate::error::SettleError;
use crate::network::Network;

/// What is known about the chain as of one head: asked once, however many want to know at once.
#[derive(Debug)]
pub(crate) struct Canon<'a> {
    network: &'a Network,
    head: Head,
    blocks: Mutex<HashMap<u64, Option<Head>>>,
    /// The heights of the `safe` and `finalized` blocks.
    tags: Mutex<HashMap<Finality, u64>>,
}

impl<'a> Canon<'a> {
    pub(crate) fn at(network: &'a Network, head: Head) -> Self {
        let blocks = Mutex::new(HashMap::from([(head.number, Some(head))]));
        Self { network, head, blocks, tags: Mutex::default() }
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
    pub(crate) async fn holds(&self, number: u64, hash: B256) -> Result<Option<bool>, SettleError> {
        let mut blocks = self.blocks.lock().await;
        let block = match blocks.get(&number) {
            Some(block) => *block,
            None => {
                let block = self.network.node.block(BlockTag::Number(number)).await?;
                blocks.insert(number, block);
                block
            }
        };
        Ok(block.map(|block| block.hash == hash))
    }

    /// Whether a canonical block of this height has the network's confirmations, without which
    /// nothing is final.
    pub(crate) const fn is_deep(&self, number: u64) -> bool {
        let above = self.network.policy.confirmations.saturating_sub(1);
        number.saturating_add(above) <= self.head.number
    }

    /// Whether a canonical block of this height is final in this sense.
    pub(crate) async fn is_final(&self, number: u64, finality: Finality) -> bool {
        let tag = match finality {
            _ if !self.is_deep(number) => return false,
            Finality::Confirmed => return true,
            Finality::Safe => BlockTag::Safe,
            Finality::Finalized => BlockTag::Finalized,
        };
        let mut tags = self.tags.lock().await;
        let height = match tags.get(&finality) {
            Some(height) => *height,
            None => {
                let height = self.height_of(tag).await;
                tags.insert(finality, height);
                height
            }
        };
        height > 0 && number <= height
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
