//! What the chain says about one of our transactions, and what follows for its payments.

use chain::{AuthorizationUse, Receipt, find_payment};
use domain::{Address, Event, FailureCode, Finality, Payment, PaymentState, TransactionId};
use store::{Change, FollowUp, OpenTransaction, TransactionState};

use crate::error::SettleError;
use crate::finality::Canon;
use crate::meters;
use crate::network::Network;

impl Network {
    /// Asks the node about every attempt of a transaction and records what it says.
    ///
    /// # Errors
    /// [`SettleError`] when it did not say, or that was not recorded: look again.
    pub(crate) async fn look(&self, transaction: &OpenTransaction) -> Result<(), SettleError> {
        let mut canon = Canon::now(self).await?;
        match transaction.state {
            TransactionState::Open => self.look_for_block(transaction, &mut canon).await,
            TransactionState::Mined { .. } => self.confirm(transaction, &mut canon).await,
            TransactionState::Final { .. } | TransactionState::Dropped => {
                self.settle_leftovers(transaction).await
            }
        }
    }

    async fn look_for_block(
        &self,
        transaction: &OpenTransaction,
        canon: &mut Canon<'_>,
    ) -> Result<(), SettleError> {
        for attempt in transaction.attempts.iter().rev() {
            if let Some(receipt) = self.node.receipt(attempt.hash).await?
                && canon.holds(receipt.block_number, receipt.block_hash).await?
            {
                return self.mined(transaction, &receipt, canon).await;
            }
        }
        Ok(())
    }

    /// Records that a block holds the transaction, and reads each payment's outcome from its own
    /// logs.
    pub(crate) async fn mined(
        &self,
        transaction: &OpenTransaction,
        receipt: &Receipt,
        canon: &mut Canon<'_>,
    ) -> Result<(), SettleError> {
        let carried = self.carried(transaction).await?;
        let mut changes = Vec::with_capacity(carried.len());
        let mut unpaid = Vec::new();
        for payment in carried {
            match find_payment(receipt, &payment.authorization) {
                Some(inclusion) => {
                    let event = Event::Included(inclusion);
                    changes.push(Change { payment, event, carrier: Some(receipt.tx_hash) });
                }
                None => unpaid.push(payment),
            }
        }
        changes.extend(self.unpaid(unpaid).await?);
        let state = TransactionState::Mined {
            hash: receipt.tx_hash,
            block_number: receipt.block_number,
            block_hash: receipt.block_hash,
        };
        self.record(transaction, state, changes).await?;
        let mined = OpenTransaction { state, ..transaction.clone() };
        self.confirm(&mined, canon).await
    }

    /// Settles what the block's depth has made final; or, when the block is gone, puts everything
    /// back to where it waited for a block.
    pub(crate) async fn confirm(
        &self,
        transaction: &OpenTransaction,
        canon: &mut Canon<'_>,
    ) -> Result<(), SettleError> {
        let TransactionState::Mined { hash, block_number, block_hash } = transaction.state else {
            return Ok(());
        };
        if !canon.holds(block_number, block_hash).await? {
            return self.lost(transaction).await;
        }
        let (mut changes, mut waiting) = (Vec::new(), false);
        for payment in self.items(transaction).await? {
            let PaymentState::Confirmed { inclusion, submission: Some(submission) } = payment.state
            else {
                continue;
            };
            if submission.transaction != transaction.id || inclusion.block_hash != block_hash {
                continue;
            }
            if canon.is_final(block_number, payment.finality).await? {
                changes.push(Change { payment, event: Event::Finalized, carrier: None });
            } else {
                waiting = true;
            }
        }
        let deep = canon.is_final(block_number, Finality::Confirmed).await?;
        if deep && !waiting {
            let state = TransactionState::Final { hash, block_number, block_hash };
            self.record(transaction, state, changes).await
        } else if changes.is_empty() {
            Ok(())
        } else {
            self.record(transaction, transaction.state, changes).await
        }
    }

    async fn lost(&self, transaction: &OpenTransaction) -> Result<(), SettleError> {
        let confirmed = self.items(transaction).await?.into_iter().filter(|payment| {
            matches!(
                payment.state,
                PaymentState::Confirmed { submission: Some(submission), .. }
                    if submission.transaction == transaction.id
            )
        });
        let carrier = transaction.attempts.last().map(|attempt| attempt.hash);
        let changes: Vec<Change> =
            confirmed.map(|payment| Change { payment, event: Event::Reorged, carrier }).collect();
        tracing::warn!(nonce = transaction.nonce, payments = changes.len(), "a block was lost");
        meters::reorged(self.node.chain(), changes.len());
        self.record(transaction, TransactionState::Open, changes).await
    }

    /// Gives the payments back of a transaction whose nonce somebody else has used.
    pub(crate) async fn drop_if_spent(
        &self,
        transaction: &OpenTransaction,
        signer: Address,
    ) -> Result<(), SettleError> {
        if !self.nonce_is_spent(signer, transaction.nonce).await? {
            return Ok(());
        }
        // A node that has just learned the nonce may not have our receipt yet, so ask once more.
        for attempt in &transaction.attempts {
            if self.node.receipt(attempt.hash).await?.is_some() {
                return Ok(());
            }
        }
        tracing::error!(nonce = transaction.nonce, %signer, "a foreign transaction used the nonce");
        let changes = self.unpaid(self.carried(transaction).await?).await?;
        self.record(transaction, TransactionState::Dropped, changes).await
    }

    /// Decides about payments that still rest on a transaction that is over.
    async fn settle_leftovers(&self, transaction: &OpenTransaction) -> Result<(), SettleError> {
        let changes = self.unpaid(self.carried(transaction).await?).await?;
        self.record(transaction, transaction.state, changes).await
    }

    /// What follows for payments whose transaction is over and did not pay them: the token knows.
    async fn unpaid(&self, payments: Vec<Payment>) -> Result<Vec<Change>, SettleError> {
        if payments.is_empty() {
            return Ok(Vec::new());
        }
        let authorizations: Vec<_> =
            payments.iter().map(|payment| &payment.authorization).collect();
        let views = self.node.views(&authorizations).await?;
        let mut changes = Vec::new();
        for (payment, view) in payments.into_iter().zip(views) {
            let event = if !view.used {
                Event::Returned
            } else {
                match self.node.find_use(&payment.authorization).await? {
                    AuthorizationUse::Paid(inclusion) => Event::Included(inclusion),
                    AuthorizationUse::Spent => Event::Failed(FailureCode::AuthorizationUsed),
                    // Used, and nothing says for what: nothing is decided.
                    AuthorizationUse::NotFound => continue,
                }
            };
            changes.push(Change { payment, event, carrier: None });
        }
        Ok(changes)
    }

    /// The transaction's payments that rest on it and are in no block yet.
    async fn carried(&self, transaction: &OpenTransaction) -> Result<Vec<Payment>, SettleError> {
        let rests = |payment: &Payment| {
            matches!(payment.state, PaymentState::Submitted(submission)
                if submission.transaction == transaction.id)
        };
        Ok(self.items(transaction).await?.into_iter().filter(rests).collect())
    }

    async fn items(&self, transaction: &OpenTransaction) -> Result<Vec<Payment>, SettleError> {
        Ok(self.store.load(&transaction.items).await?)
    }

    /// Records where a transaction stands with what follows for its payments, and tells everybody.
    pub(crate) async fn record(
        &self,
        transaction: &OpenTransaction,
        to: TransactionState,
        changes: Vec<Change>,
    ) -> Result<(), SettleError> {
        let follow_up =
            FollowUp { transaction: transaction.id, from: transaction.state, to, changes };
        match self.store.follow_up(follow_up, self.now()).await? {
            Some(advance) => {
                self.tracker.note_state(transaction.id, to);
                self.tell(&advance);
            }
            None => self.reread(transaction.id).await?,
        }
        Ok(())
    }

    /// Somebody else recorded something about the transaction: follow it from where it stands.
    async fn reread(&self, id: TransactionId) -> Result<(), SettleError> {
        if let Some(transaction) = self.store.find_transaction(id).await? {
            self.tracker.note_state(id, transaction.state);
        }
        Ok(())
    }
}
