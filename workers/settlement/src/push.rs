//! Getting along what blocks leave lying: sent again, better paid, or given up on proof.

use std::sync::Arc;

use chain::{BlockTag, Head};
use store::{OpenTransaction, TransactionState};

use crate::error::SettleError;
use crate::lane::Lane;
use crate::network::Network;
use crate::tracker::newest;

impl Network {
    /// Sends again, or pays more for, what blocks leave lying.
    pub(crate) async fn push_open(self: &Arc<Self>, head: &Head) {
        for (transaction, _) in self.tracker.all() {
            // Others may have done something about it while this waited for those before it.
            let Some((transaction, lane)) = self.tracker.get(transaction.id) else { continue };
            if !matches!(transaction.state, TransactionState::Open) {
                continue;
            }
            if let Err(error) = self.push(&lane, &transaction, head).await {
                tracing::warn!(%error, nonce = transaction.nonce, "a transaction stays as it is");
            }
        }
    }

    async fn push(
        self: &Arc<Self>,
        lane: &Arc<Lane>,
        transaction: &OpenTransaction,
        head: &Head,
    ) -> Result<(), SettleError> {
        let Some(attempt) = newest(transaction) else { return Ok(()) };
        let waited = head.number.saturating_sub(attempt.signed_at_block);
        // One block went by while it was on its way, so that the next is the first it could be in.
        if waited > self.policy.bump_after_blocks.saturating_add(1) {
            self.look(transaction).await?;
            if self.tracker.is_open(transaction.id) {
                self.push_hard(lane, transaction, head).await?;
            }
        } else if waited > 1 {
            // The node may have lost it: a restart or a reorganisation empties its pool.
            self.send(lane, transaction).await;
        }
        Ok(())
    }

    /// Finds out what keeps it from being mined: its nonce, one before it, or its price.
    async fn push_hard(
        self: &Arc<Self>,
        lane: &Arc<Lane>,
        transaction: &OpenTransaction,
        head: &Head,
    ) -> Result<(), SettleError> {
        let next = self.node.nonce(lane.address(), Some(BlockTag::Latest)).await?;
        let Some(spent_for) = self.tracker.note_next_nonce(transaction.id, next, head.number)
        else {
            if next < transaction.nonce && !self.tracker.waits_for(transaction.signer, next) {
                let stored = self.store.transactions_from(transaction.signer, next).await?;
                self.send_forgotten(lane, &stored).await;
            }
            return self.raise(lane, transaction).await;
        };
        // So many more blocks than final ones that a node which lags has our receipt as well.
        if spent_for >= self.policy.confirmations.saturating_add(self.policy.bump_after_blocks) {
            self.give_up(transaction, lane.address()).await?;
        }
        Ok(())
    }

    async fn raise(
        self: &Arc<Self>,
        lane: &Arc<Lane>,
        transaction: &OpenTransaction,
    ) -> Result<(), SettleError> {
        let Err(error) = self.bump(lane, transaction).await else { return Ok(()) };
        tracing::warn!(%error, nonce = transaction.nonce, "not replaced: the old offer stands");
        // An offer may have been stored although the answer was lost: then that is the newest.
        if matches!(error, SettleError::Store(_)) {
            self.reread(transaction.id).await?;
        }
        if let Some((transaction, lane)) = self.tracker.get(transaction.id) {
            self.send(&lane, &transaction).await;
        }
        Ok(())
    }

    /// Sends again what had been mined of these, whose nonces the chain has not used: it forgot
    /// them, final or not, and until they are there again nothing after them can be mined.
    pub(crate) async fn send_forgotten(&self, lane: &Lane, stored: &[OpenTransaction]) {
        for transaction in stored {
            let attempt = match transaction.state {
                TransactionState::Open => continue,
                TransactionState::Mined { hash, .. } | TransactionState::Final { hash, .. } => {
                    transaction.attempts.iter().find(|attempt| attempt.hash == hash)
                }
                TransactionState::Dropped => newest(transaction),
            };
            let Some(attempt) = attempt else { continue };
            let (nonce, signer) = (transaction.nonce, lane.address());
            tracing::error!(nonce, %signer, "the chain forgot what it held: it is sent again");
            let _ = self.offer(attempt).await;
        }
    }
}
