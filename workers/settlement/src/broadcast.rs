//! Sending stored bytes, and acting on what the node makes of them.

use std::sync::Arc;

use chain::SendAnswer;
use store::{OpenTransaction, StoredAttempt, TransactionState};

use crate::decide::following::{Reply, reply};
use crate::error::SettleError;
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
        let acted = match self.offer(lane, attempt).await {
            Err(error) => Err(error),
            Ok(answer) => match reply(&answer, is_filled(transaction)) {
                Reply::Raise => self.bump(lane, transaction).await,
                Reply::Fill => {
                    tracing::error!(nonce, %signer, ?answer, "the node will never take a transaction");
                    self.fill(lane, transaction).await
                }
                Reply::Follow
                | Reply::Doubt
                | Reply::Look
                | Reply::AwaitGasMoney
                | Reply::Complain => {
                    self.heed(&answer, lane, transaction).await;
                    Ok(())
                }
            },
        };
        if let Err(error) = acted {
            tracing::warn!(%error, nonce, %signer, "a broadcast is followed up with the next block");
        }
    }

    /// Sends these bytes, and notes what the node says.
    ///
    /// # Errors
    /// [`SettleError::LeaseLost`] when the lease has run out by this process's own clock: whoever
    /// holds it now sends what is to be sent.
    pub(crate) async fn offer(
        &self,
        lane: &Lane,
        attempt: &StoredAttempt,
    ) -> Result<SendAnswer, SettleError> {
        if !lane.is_held() {
            lane.lose();
            return Err(SettleError::LeaseLost);
        }
        let answer = self.node.send(&attempt.raw).await;
        runtime::fail_point(runtime::FailPoint::AfterBroadcast);
        meters::broadcast(self.node.chain(), answer.as_str());
        if let Err(error) =
            self.store.note_broadcast(attempt.hash, answer.as_str(), self.now()).await
        {
            tracing::debug!(%error, tx = %attempt.hash, "the node's answer was not noted");
        }
        Ok(answer)
    }

    /// Acts on what the node said, without offering anything else: whatever it says, one block
    /// brings one replacement at most.
    pub(crate) async fn heed(
        &self,
        answer: &SendAnswer,
        lane: &Lane,
        transaction: &OpenTransaction,
    ) {
        let (nonce, signer) = (transaction.nonce, lane.address());
        match reply(answer, is_filled(transaction)) {
            Reply::Follow => {
                if matches!(answer, SendAnswer::Accepted) {
                    self.accepted_with_gas(lane);
                }
            }
            Reply::Doubt => {
                tracing::warn!(nonce, %signer, ?answer, "the node's answer to a broadcast is unclear");
            }
            Reply::Look => {
                if let Err(error) = self.look(transaction).await {
                    tracing::warn!(%error, nonce, %signer, "looked at again with the next block");
                }
            }
            Reply::AwaitGasMoney => self.refused_for_gas(lane).await,
            Reply::Raise => {
                tracing::warn!(nonce, %signer, "the node wants more: offered with the next block");
            }
            Reply::Fill | Reply::Complain => {
                tracing::error!(nonce, %signer, ?answer, "the node will never take a transaction");
            }
        }
    }

    /// Sends everything of this lane that no block holds again, in the order of the nonces.
    pub(crate) async fn resend_open(self: &Arc<Self>, lane: &Arc<Lane>) {
        let open = self.tracker.all().into_iter().filter(|(transaction, _)| {
            transaction.signer == lane.signer()
                && matches!(transaction.state, TransactionState::Open)
        });
        for (transaction, _) in open {
            // Others may have done something about it meanwhile.
            let Some((transaction, lane)) = self.tracker.get(transaction.id) else { continue };
            Box::pin(self.send(&lane, &transaction)).await;
        }
    }
}
