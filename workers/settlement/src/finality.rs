//! Which blocks stand, and which are final.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use chain::{BlockTag, Head};
use domain::{B256, Finality};
use tokio::sync::OnceCell;

use crate::error::SettleError;
use crate::network::Network;

/// What is known about the chain as of one head: asked once, however many want to know at once.
///
/// Everything else is asked after the head, so that a block that is deep below it cannot have been
/// replaced between the two.
#[derive(Debug)]
pub(crate) struct Canon<'a> {
    network: &'a Network,
    head: Head,
    blocks: Mutex<HashMap<u64, Asked<Option<Head>>>>,
    /// The heights of the `safe` and `finalized` blocks.
    tags: Mutex<HashMap<Finality, Asked<u64>>>,
}

/// What one of those who want to know asks the node, while the others wait for the answer.
type Asked<T> = Arc<OnceCell<T>>;

impl<'a> Canon<'a> {
    pub(crate) fn at(network: &'a Network, head: Head) -> Self {
        let newest = Arc::new(OnceCell::new_with(Some(Some(head))));
        let blocks = Mutex::new(HashMap::from([(head.number, newest)]));
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
        let asked = asked(&self.blocks, number);
        let ask = || self.network.node.block(BlockTag::Number(number));
        let block = asked.get_or_try_init(ask).await?;
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
        let asked = asked(&self.tags, finality);
        let height = *asked.get_or_init(|| self.height_of(tag)).await;
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

fn asked<K: Eq + Hash, T>(known: &Mutex<HashMap<K, Asked<T>>>, key: K) -> Asked<T> {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(known.entry(key).or_default())
}

impl Network {
    /// The time, in Unix seconds, of the newest block that counts as final.
    pub(crate) async fn final_block_time(&self) -> Result<i64, SettleError> {
        Ok(self.node.final_block_time(self.policy.confirmations).await?)
    }
}
