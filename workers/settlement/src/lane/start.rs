//! How a lane begins: with everything that is stored, and nothing signed before that is known.

use std::sync::Arc;

use chain::BlockTag;
use domain::TransactionId;
use store::{AttemptKind, OpenTransaction, Round, TransactionState};

use super::{FILLER_GAS, Lane};
use crate::attempts::{new_attempt, opened};
use crate::decide::following::rests_on;
use crate::decide::nonces::holes;
use crate::error::SettleError;
use crate::network::Network;
use crate::round::Slot;

/// Nonces that a signer can have handed out beyond what the chain has used: far more than may be
/// in flight.
const MOST_UNMINED: u64 = 1_000;

impl Lane {
    /// Takes up what is stored for the signer and not followed here, left by an earlier holder or
    /// by a commit whose answer was lost. Retried until it succeeds, because nothing may be signed
    /// before the nonces are known.
    pub(super) async fn catch_up(self: &Arc<Self>, network: &Arc<Network>) {
        while let Err(error) = self.take_over(network).await {
            tracing::warn!(%error, signer = %self.address(), "the signer's state is not known yet");
            tokio::time::sleep(network.policy.block_time).await;
        }
    }

    async fn take_over(self: &Arc<Self>, network: &Arc<Network>) -> Result<(), SettleError> {
        runtime::fail_point(runtime::FailPoint::InCatchUp);
        let expected = network.node.nonce(self.address(), None).await?;
        let mined = network.node.nonce(self.address(), Some(BlockTag::Latest)).await?;
        // A node that is far from what is known here has lost its way, or is on another chain.
        if expected.max(self.next_nonce()).saturating_sub(mined) > MOST_UNMINED {
            return Err(SettleError::Adrift { expected, mined });
        }
        let next = network.store.align_nonce(&self.lease, expected).await?;
        let next = next.ok_or(SettleError::LeaseLost)?;
        self.set_next_nonce(next);
        let open = network.store.open_transactions(self.signer()).await?;
        for transaction in open.into_iter().filter(|open| !network.tracker.has(open.id)) {
            let waits = matches!(transaction.state, TransactionState::Open);
            let room = waits.then(|| Arc::clone(&self.room).try_acquire_owned().ok()).flatten();
            let closes_at = network.closes_at(&transaction).await?;
            let id = transaction.id;
            network.tracker.follow(transaction, Arc::clone(self), room, closes_at);
            network.tracker.note_unseen(id, true);
        }
        let stored = network.store.transactions_from(self.signer(), mined).await?;
        for nonce in holes(mined, next, stored.iter().map(|transaction| transaction.nonce)) {
            self.fill_hole(network, nonce).await?;
        }
        network.send_forgotten(self, &stored).await?;
        network.resend_open(self).await;
        Ok(())
    }

    /// Uses up a nonce below the next one for which nothing is stored, so that what comes after it
    /// can be mined: with payments that wait now, or with nothing.
    pub(crate) async fn fill_hole(
        self: &Arc<Self>,
        network: &Arc<Network>,
        nonce: u64,
    ) -> Result<(), SettleError> {
        Box::pin(network.fill_from_inbox(self, Slot::Hole(nonce))).await?;
        match network.tracker.waits_for(self.signer(), nonce) {
            true => Ok(()),
            false => self.fill_with_nothing(network, nonce).await,
        }
    }

    async fn fill_with_nothing(
        self: &Arc<Self>,
        network: &Network,
        nonce: u64,
    ) -> Result<(), SettleError> {
        let reading = network.market.read(&network.node, &network.policy).await?;
        let fees = reading.fees.ok_or(SettleError::TooDear)?;
        let signed = self.sign_filler(nonce, fees).await?;
        let attempt = new_attempt(AttemptKind::Filler, &signed, fees, reading.head.number);
        let transaction = TransactionId::new(runtime::id::new_uuid());
        let round = Round {
            transaction,
            nonce,
            target: self.address(),
            input: Vec::new(),
            gas_limit: FILLER_GAS,
            attempt: attempt.clone(),
            changes: Vec::new(),
        };
        let followed = opened(self.signer(), &round, Vec::new());
        if !network.store.store_filler(&self.lease, round, network.now()).await? {
            return Err(SettleError::LeaseLost);
        }
        runtime::fail_point(runtime::FailPoint::InHoleFill);
        tracing::info!(nonce, signer = %self.address(), "a hole in the nonces is filled");
        network.tracker.follow(followed, Arc::clone(self), None, None);
        Ok(())
    }
}

impl Network {
    /// The end, in Unix seconds, of the first window to close among the payments that rest on it.
    pub(crate) async fn closes_at(
        &self,
        transaction: &OpenTransaction,
    ) -> Result<Option<i64>, SettleError> {
        let resting = self.items(transaction).await?.into_iter();
        let resting = resting.filter(|payment| rests_on(payment, transaction.id));
        Ok(resting.map(|payment| payment.authorization.valid_before).min())
    }
}
