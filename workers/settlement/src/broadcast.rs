//! Sending stored bytes, and acting on what the node makes of them.

use std::sync::Arc;

use chain::SendAnswer;
use store::{OpenTransaction, StoredAttempt, TransactionState};

use crate::lane::Lane;
use crate::meters;
use crate::network::Network;
use crate::tracker::{is_filled, newest};

impl Network {
    /// Sends the newest bytes of a stored transaction, and replaces them once if the node wants
    /// others. Sending the same bytes again is harmless.
    pub(crate) async fn send(self: &Arc<Self>, lane: &Arc<Lane>, transaction: &OpenTransaction) {
        let Some(attempt) = newest(transaction) else { return };
        let (nonce, signer) = (transaction.nonce, lane.address());
        let acted = match self.offer(attempt).await {
            SendAnswer::Underpriced => self.bump(lane, transaction).await,
            SendAnswer::Rejected(said) if !is_filled(transaction) => {
                tracing::error!(nonce, %signer, said, "the node will never take the transaction");
                self.fill(lane, transaction).await
            }
            answer => {
                self.heed(answer, lane, transaction).await;
                Ok(())
            }
        };
        if let Err(error) = acted {
            tracing::warn!(%error, nonce, %signer, "a broadcast is followed up with the next block");
        }
    }

    /// Sends these bytes, and notes what the node says.
    pub(crate) async fn offer(&self, attempt: &StoredAttempt) -> SendAnswer {
        let answer = self.node.send(&attempt.raw).await;
        runtime::fail_point(runtime::FailPoint::AfterBroadcast);
        meters::broadcast(self.node.chain(), answer.as_str());
        if let Err(error) =
            self.store.note_broadcast(attempt.hash, answer.as_str(), self.now()).await
        {
            tracing::debug!(%error, tx = %attempt.hash, "the node's answer was not noted");
        }
        answer
    }

    /// Acts on what the node said, without offering anything else: whatever it says, one block
    /// brings one replacement at most.
    pub(crate) async fn heed(
        &self,
        answer: SendAnswer,
        lane: &Lane,
        transaction: &OpenTransaction,
    ) {
        let (nonce, signer) = (transaction.nonce, lane.address());
        match answer {
            SendAnswer::Accepted => lane.set_broke(false),
            SendAnswer::AlreadyKnown => {}
            // It may have been taken: it is followed, and sent again if no block takes it.
            SendAnswer::Unknown(said) => {
                tracing::warn!(nonce, %signer, said, "the node's answer to a broadcast is unclear");
            }
            // Our own receipts first: most likely an attempt has just been mined.
            SendAnswer::NonceTooLow => {
                if let Err(error) = self.look(transaction).await {
                    tracing::warn!(%error, nonce, %signer, "looked at again with the next block");
                }
            }
            SendAnswer::OutOfGasMoney => {
                tracing::error!(%signer, "the signer cannot pay for gas: its lane waits for money");
                lane.set_broke(true);
            }
            SendAnswer::Underpriced => {
                tracing::warn!(nonce, %signer, "the node wants more: offered with the next block");
            }
            SendAnswer::Rejected(said) => {
                tracing::error!(nonce, %signer, said, "the node will never take the transaction");
            }
        }
    }

    /// Sends everything of this lane that no block holds again, in the order of the nonces.
    pub(crate) async fn resend_open(self: &Arc<Self>, lane: &Arc<Lane>) {
        let open = self.tracker.all().into_iter().filter(|(transaction, _)| {
            transaction.signer == lane.signer()
                && matches!(transaction.state, TransactionState::Open)
        });
        for (transaction, lane) in open {
            Box::pin(self.send(&lane, &transaction)).await;
        }
    }
}
