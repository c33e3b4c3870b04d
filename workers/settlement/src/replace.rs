//! Replacing a transaction that is not mined: the same nonce, better paid or emptied.

use std::sync::Arc;

use chain::{Call, Fees};
use store::{AttemptKind, OpenTransaction, StoredAttempt};

use crate::attempts::{new_attempt, stored_attempt};
use crate::error::SettleError;
use crate::lane::Lane;
use crate::market::Reading;
use crate::meters;
use crate::network::Network;
use crate::tracker::{is_filled, newest};

impl Network {
    /// Offers more for the same work. All attempts stay watched, for any of them may be mined.
    ///
    /// # Errors
    /// [`SettleError::TooDear`] when more than the cap would be needed, [`SettleError::OutOfGas`]
    /// when the signer cannot even pay what was offered; the old offer stands.
    pub(crate) async fn bump(
        self: &Arc<Self>,
        lane: &Arc<Lane>,
        transaction: &OpenTransaction,
    ) -> Result<(), SettleError> {
        let kind = if is_filled(transaction) { AttemptKind::Filler } else { AttemptKind::Payload };
        self.replace(lane, transaction, kind).await
    }

    /// Uses the nonce up without its payload, which can never be mined, or which nobody needs.
    ///
    /// # Errors
    /// As [`Network::bump`].
    pub(crate) async fn fill(
        self: &Arc<Self>,
        lane: &Arc<Lane>,
        transaction: &OpenTransaction,
    ) -> Result<(), SettleError> {
        self.replace(lane, transaction, AttemptKind::Filler).await
    }

    async fn replace(
        self: &Arc<Self>,
        lane: &Arc<Lane>,
        transaction: &OpenTransaction,
        kind: AttemptKind,
    ) -> Result<(), SettleError> {
        let Some(old) = newest(transaction) else { return Ok(()) };
        if lane.standing().gas.is_refused() {
            return Err(SettleError::OutOfGas);
        }
        self.market.doubt_priority().await;
        let reading = self.market.read(&self.node, &self.policy).await?;
        let raised = self.raised(old, &reading);
        // What no node took has no offer that a filler must beat; at the cap, the market's will do.
        let fees = match kind {
            AttemptKind::Payload => raised,
            AttemptKind::Filler => raised.or(reading.fees),
        };
        let fees = fees.ok_or(SettleError::TooDear)?;
        let signed = match kind {
            AttemptKind::Payload => {
                let call =
                    Call { target: transaction.target, input: transaction.input.clone().into() };
                lane.sign(transaction.nonce, call, transaction.gas_limit, fees).await?
            }
            AttemptKind::Filler => lane.sign_filler(transaction.nonce, fees).await?,
        };
        let attempt = new_attempt(kind, &signed, fees, reading.head.number);
        let stored =
            self.store.store_attempt(lane.lease(), transaction.id, &attempt, self.now()).await?;
        if !stored {
            // Mined meanwhile, or somebody else's lane now: either way nothing is to be sent.
            return Ok(());
        }
        runtime::fail_point(runtime::FailPoint::InBumpAfterStore);
        meters::replacement(
            self.node.chain(),
            match kind {
                AttemptKind::Payload => "bump",
                AttemptKind::Filler => "filler",
            },
        );
        let attempt = stored_attempt(old.number.saturating_add(1), attempt);
        self.tracker.note_attempt(transaction.id, attempt.clone());
        let answer = self.offer(lane, &attempt).await?;
        let mut replaced = transaction.clone();
        replaced.attempts.push(attempt);
        self.heed(&answer, lane, &replaced).await;
        Ok(())
    }

    /// An offer that nodes take in the place of this one; `None` when it would be above the cap.
    pub(crate) fn raised(&self, old: &StoredAttempt, reading: &Reading) -> Option<Fees> {
        let offered = Fees { max_fee: old.max_fee_per_gas, priority: old.max_priority_fee_per_gas };
        Fees::bump(offered, reading.fees?, self.policy.max_fee_per_gas)
    }
}
