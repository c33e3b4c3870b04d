//! The newest block and what gas costs, read once and used by every round of its time.

use std::time::Instant;

use chain::{Fees, Head, Node};
use tokio::sync::Mutex;

use crate::error::SettleError;
use crate::policy::Policy;

/// The newest block as of a moment ago, and what to offer for gas.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) head: Head,
    /// None while even the base fee is above the cap.
    pub(crate) fees: Option<Fees>,
}

/// A reading that is shared for one block's time.
#[derive(Debug, Default)]
pub(crate) struct Market {
    last: Mutex<Option<(Instant, Reading)>>,
}

impl Market {
    /// The reading, not older than one block's time; callers at once share one.
    ///
    /// # Errors
    /// [`SettleError::Chain`] when the node did not say.
    pub(crate) async fn read(&self, node: &Node, policy: &Policy) -> Result<Reading, SettleError> {
        let mut last = self.last.lock().await;
        if let Some((at, reading)) = *last
            && at.elapsed() < policy.block_time
        {
            return Ok(reading);
        }
        let head = node.head().await?;
        let fees = node.fees(&head, policy.max_fee_per_gas).await?;
        let reading = Reading { head, fees };
        *last = Some((Instant::now(), reading));
        Ok(reading)
    }
}
