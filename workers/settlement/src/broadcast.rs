//! Sending stored bytes, and acting on what the node makes of them.

use std::sync::Arc;

use chain::SendAnswer;
use futures::future::BoxFuture;
use store::{OpenTransaction, TransactionState};

use crate::lane::Lane;
use crate::meters;
use crate::network::Network;
use crate::tracker::newest;

impl Network {
    /// Sends the newest bytes of a stored transaction. Sending the same bytes again is harmless.
    ///
    /// Boxed, because acting on the node's answer can send a replacement.
    pub(crate) fn send<'a>(
        self: &'a Arc<Self>,
        lane: &'a Arc<Lane>,
        transaction: &'a OpenTransaction,
    ) -> BoxFuture<'a, ()> {
        Box::pin(self.send_newest(lane, transaction))
    }

    async fn send_newest(self: &Arc<Self>, lane: &Arc<Lane>, transaction: &OpenTransaction) {
        let Some(attempt) = newest(transaction) else { return };
        let answer = self.node.send(&attempt.raw).await;
        meters::broadcast(self.node.chain(), answer.as_str());
        if let Err(error) =
            self.store.note_broadcast(attempt.hash, answer.as_str(), self.now()).await
        {
            tracing::debug!(%error, tx = %attempt.hash, "the node's answer was not noted");
        }
        self.act_on(answer, lane, transaction).await;
    }

    async fn act_on(
        self: &Arc<Self>,
        answer: SendAnswer,
        lane: &Arc<Lane>,
        transaction: &OpenTransaction,
    ) {
        let (nonce, signer) = (transaction.nonce, lane.address());
        let acted = match answer {
            SendAnswer::Accepted | SendAnswer::AlreadyKnown => Ok(()),
            SendAnswer::Unknown(said) => {
                // It may have been taken: it is followed, and sent again if no block takes it.
                tracing::warn!(nonce, %signer, said, "the node's answer to a broadcast is unclear");
                Ok(())
            }
            // Our own receipts first: most likely an attempt has just been mined.
            SendAnswer::NonceTooLow => self.look(transaction).await,
            SendAnswer::OutOfGasMoney => {
                tracing::error!(%signer, "the signer cannot pay for gas: its lane waits for money");
                lane.set_broke(true);
                Ok(())
            }
            SendAnswer::Underpriced => self.bump(lane, transaction).await,
            SendAnswer::Rejected(said) => {
                tracing::error!(nonce, %signer, said, "the node will never take the transaction");
                self.fill(lane, transaction).await
            }
        };
        if let Err(error) = acted {
            tracing::warn!(%error, nonce, %signer, "a broadcast is followed up with the next block");
        }
    }

    /// Sends everything of this lane that no block holds again, in the order of the nonces.
    pub(crate) async fn resend_open(self: &Arc<Self>, lane: &Arc<Lane>) {
        let open = self.tracker.all().into_iter().filter(|(transaction, _)| {
            transaction.signer == lane.signer()
                && matches!(transaction.state, TransactionState::Open)
        });
        for (transaction, lane) in open {
            self.send(&lane, &transaction).await;
        }
    }
}
