//! Lanes that take no new work: what they have sent is still seen to its end.

use domain::PaymentState;

use crate::error::SettleError;
use crate::lane::Lane;
use crate::network::Network;
use crate::stray;

impl Network {
    /// Looks after the payments of a lane that takes no new work: those whose window lies behind a
    /// final block are over, on proof. Nobody else may be left to hear their bells.
    ///
    /// # Errors
    /// [`SettleError`] when that is not known of all of them: look again.
    pub(crate) async fn look_after(&self, lane: &Lane) -> Result<(), SettleError> {
        let items: Vec<_> = self
            .tracker
            .all()
            .into_iter()
            .filter(|(transaction, _)| transaction.signer == lane.signer())
            .flat_map(|(transaction, _)| transaction.items)
            .collect();
        if items.is_empty() {
            return Ok(());
        }
        let final_time = self.final_block_time().await?;
        for payment in self.store.load(&items).await? {
            let PaymentState::Submitted(submission) = payment.state else { continue };
            if payment.authorization.valid_before <= final_time {
                stray::carried(self, payment, submission).await?;
            }
        }
        Ok(())
    }
}
