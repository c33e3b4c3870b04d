//! The newest block and what gas costs, read once and used by every round of its time.

use std::time::{Duration, Instant};

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

/// What is known of the market, shared for one block's time.
#[derive(Debug, Default)]
pub(crate) struct Market {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    head: Option<(Instant, Head)>,
    priority: Option<(Instant, u128)>,
}

/// What blocks' producers ask for changes slowly, and who offers too little raises it.
const PRIORITY_KEPT: Duration = Duration::from_secs(30);

impl Market {
    /// What the market is like, as of a block not older than one block's time; callers at once
    /// share one reading.
    ///
    /// # Errors
    /// [`SettleError::Chain`] when the node did not say.
    pub(crate) async fn read(&self, node: &Node, policy: &Policy) -> Result<Reading, SettleError> {
        let mut known = self.known.lock().await;
        let head = match known.head {
            Some((at, head)) if at.elapsed() < policy.block_time => head,
            _ => {
                let head = node.head().await?;
                known.head = Some((Instant::now(), head));
                head
            }
        };
        let priority = match known.priority {
            Some((at, priority)) if at.elapsed() < PRIORITY_KEPT => priority,
            _ => {
                let priority = node.priority_fee().await?;
                known.priority = Some((Instant::now(), priority));
                priority
            }
        };
        let fees = Fees::quote(head.base_fee, priority, policy.max_fee_per_gas);
        Ok(Reading { head, fees })
    }

    /// Notes a block that somebody else has just asked for.
    pub(crate) async fn note_head(&self, head: Head) {
        self.known.lock().await.head = Some((Instant::now(), head));
    }

    /// The newest block that was read, however old that is.
    pub(crate) async fn last_head(&self) -> Option<Head> {
        self.known.lock().await.head.map(|(_, head)| head)
    }

    /// Has what producers ask for asked anew: an offer was not enough.
    pub(crate) async fn doubt_priority(&self) {
        self.known.lock().await.priority = None;
    }
}
