//! What the chain says about one of our transactions, and what follows for its payments.

use chain::{AuthorizationUse, AuthorizationView, Receipt};
use domain::{Address, Event, Payment, TransactionId};
use store::{Change, FollowUp, OpenTransaction, TransactionState};

use crate::decide::following::{self, Trace};
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
        self.look_as_of(transaction, &Canon::now(self).await?).await
    }

    /// [`Network::look`], with what is known of the chain already.
    pub(crate) async fn look_as_of(
        &self,
        transaction: &OpenTransaction,
        canon: &Canon<'_>,
    ) -> Result<(), SettleError> {
        match transaction.state {
            TransactionState::Open => self.look_for_block(transaction, canon).await,
            TransactionState::Mined { .. } => self.confirm(transaction, canon).await,
            TransactionState::Final { .. } | TransactionState::Dropped => {
                let changes = self.leftovers(transaction, canon).await?;
                self.record(transaction, transaction.state, changes).await
            }
        }
    }

    async fn look_for_block(
        &self,
        transaction: &OpenTransaction,
        canon: &Canon<'_>,
    ) -> Result<(), SettleError> {
        for attempt in transaction.attempts.iter().rev() {
            if let Some(receipt) = self.node.receipt(attempt.hash).await?
                && canon.holds(receipt.block_number, receipt.block_hash).await? == Some(true)
            {
                return self.mined(transaction, &receipt, canon).await;
            }
        }
        Ok(())
    }

    /// Records that a block holds the transaction, which payments it paid, and what is final of
    /// that already.
    pub(crate) async fn mined(
        &self,
        transaction: &OpenTransaction,
        receipt: &Receipt,
        canon: &Canon<'_>,
    ) -> Result<(), SettleError> {
        runtime::fail_point(runtime::FailPoint::AfterMined);
        let Receipt { tx_hash: hash, block_number, block_hash, .. } = *receipt;
        let payments = self.items(transaction).await?;
        let changes = following::included(&payments, transaction.id, receipt);
        let paid = changes.len();
        if self.ends_with(&payments, &changes, receipt, canon).await {
            let state = TransactionState::Final { hash, block_number, block_hash };
            let settled = following::finalized(&changes);
            self.record(transaction, state, [changes, settled].concat()).await?;
            meters::gas(self.node.chain(), receipt, paid);
            return Ok(());
        }
        let state = TransactionState::Mined { hash, block_number, block_hash };
        self.record(transaction, state, changes).await?;
        meters::gas(self.node.chain(), receipt, paid);
        let mined = OpenTransaction { state, ..transaction.clone() };
        self.confirm(&mined, canon).await
    }

    /// Whether nothing is left to wait for with the block that holds the transaction: it is final,
    /// for every payment's seller, and paid everybody whom the transaction was ever for. No, while
    /// that is not known: what is known is recorded first.
    async fn ends_with(
        &self,
        payments: &[Payment],
        paid: &[Change],
        receipt: &Receipt,
        canon: &Canon<'_>,
    ) -> bool {
        let Receipt { block_number, block_hash, .. } = *receipt;
        if paid.len() < payments.len() || !canon.is_deep(block_number) {
            return false;
        }
        for change in paid {
            if !canon.is_final(block_number, change.payment.finality).await {
                return false;
            }
        }
        matches!(canon.holds(block_number, block_hash).await, Ok(Some(true)))
    }

    /// Settles what the block's depth has made final; or, when the block is gone, puts everything
    /// back to where it waited for a block.
    pub(crate) async fn confirm(
        &self,
        transaction: &OpenTransaction,
        canon: &Canon<'_>,
    ) -> Result<(), SettleError> {
        let TransactionState::Mined { hash, block_number, block_hash } = transaction.state else {
            return Ok(());
        };
        match canon.holds(block_number, block_hash).await? {
            Some(true) if canon.is_deep(block_number) => {}
            Some(false) => return self.lost(transaction).await,
            Some(true) | None => return Ok(()),
        }
        let mut payments = Vec::new();
        for payment in self.items(transaction).await? {
            let is_final = following::is_in(&payment, transaction.id, block_hash)
                && canon.is_final(block_number, payment.finality).await;
            payments.push((payment, is_final));
        }
        let settling = following::settling(payments, transaction.id, block_hash);
        let mut changes = settling.changes;
        if !settling.waiting {
            match self.leftovers(transaction, canon).await {
                Ok(leftovers) => changes.extend(leftovers),
                // They ring again; what is paid does not wait for them.
                Err(error) => {
                    tracing::warn!(%error, nonce = transaction.nonce, "not all is known of a transaction");
                }
            }
            let state = TransactionState::Final { hash, block_number, block_hash };
            self.record(transaction, state, changes).await
        } else if changes.is_empty() {
            Ok(())
        } else {
            self.record(transaction, transaction.state, changes).await
        }
    }

    async fn lost(&self, transaction: &OpenTransaction) -> Result<(), SettleError> {
        let changes = following::undone(self.items(transaction).await?, transaction);
        let payments = changes.len();
        tracing::warn!(nonce = transaction.nonce, payments, "a block was lost");
        self.record(transaction, TransactionState::Open, changes).await?;
        meters::reorganised(self.node.chain(), payments);
        Ok(())
    }

    /// Gives the payments back of a transaction whose nonce somebody else has used for good.
    pub(crate) async fn give_up(
        &self,
        transaction: &OpenTransaction,
        signer: Address,
    ) -> Result<(), SettleError> {
        // Every attempt that is stored, known here or not.
        let Some(transaction) = self.store.find_transaction(transaction.id).await? else {
            return Ok(());
        };
        for attempt in &transaction.attempts {
            // Any node's word that a block holds it keeps it, all nodes' silence does not.
            let Some(receipt) = self.node.receipt_anywhere(attempt.hash).await? else { continue };
            let canon = Canon::now(self).await?;
            let held = canon.holds(receipt.block_number, receipt.block_hash).await? == Some(true);
            return match transaction.state {
                TransactionState::Open if held => self.mined(&transaction, &receipt, &canon).await,
                TransactionState::Open => Ok(()),
                _ => self.look_as_of(&transaction, &canon).await,
            };
        }
        tracing::error!(nonce = transaction.nonce, %signer, "a foreign transaction used the nonce");
        let changes = self.leftovers(&transaction, &Canon::now(self).await?).await?;
        self.record(&transaction, TransactionState::Dropped, changes).await
    }

    /// What follows for payments that rest on a transaction that is over and did not pay them: the
    /// token knows.
    async fn leftovers(
        &self,
        transaction: &OpenTransaction,
        canon: &Canon<'_>,
    ) -> Result<Vec<Change>, SettleError> {
        let payments = self.carried(transaction).await?;
        if payments.is_empty() {
            return Ok(Vec::new());
        }
        let authorizations: Vec<_> =
            payments.iter().map(|payment| &payment.authorization).collect();
        let views = self.node.views(&authorizations).await?;
        let mut changes = Vec::new();
        for (payment, view) in payments.into_iter().zip(views) {
            match self.unpaid(&payment, view, canon).await {
                Ok(Some(event)) => changes.push(Change { payment, event, carrier: None }),
                Ok(None) => {
                    tracing::info!(payment = %payment.id, "what used the authorization is not proven");
                }
                Err(error) => {
                    tracing::warn!(%error, payment = %payment.id, "an authorization was not traced");
                }
            }
        }
        Ok(changes)
    }

    /// What follows for one payment that its transaction did not pay; `None` while nothing does.
    async fn unpaid(
        &self,
        payment: &Payment,
        view: AuthorizationView,
        canon: &Canon<'_>,
    ) -> Result<Option<Event>, SettleError> {
        if !view.used {
            return Ok(following::unpaid(Trace::Unused));
        }
        let found = self.node.find_use(&payment.authorization).await?;
        let is_final = match found {
            AuthorizationUse::Spent { block_number } => canon.is_deep(block_number),
            AuthorizationUse::Paid(_) | AuthorizationUse::NotFound => false,
        };
        Ok(following::unpaid(Trace::Used { found, is_final }))
    }

    /// Ends the payments that rest on a transaction and whose windows lie behind a final block:
    /// what is unused then can never be used any more.
    pub(crate) async fn expire(&self, transaction: &OpenTransaction) -> Result<(), SettleError> {
        let now = self.now().unix_secs();
        let mut closed = self.carried(transaction).await?;
        closed.retain(|payment| payment.authorization.valid_before <= now);
        if closed.is_empty() {
            return Ok(());
        }
        let final_block_time = self.final_block_time().await?;
        closed.retain(|payment| payment.authorization.valid_before <= final_block_time);
        if closed.is_empty() {
            return Ok(());
        }
        let authorizations: Vec<_> = closed.iter().map(|payment| &payment.authorization).collect();
        let views = self.node.views(&authorizations).await?;
        let unused = closed.into_iter().zip(views).filter(|(_, view)| !view.used);
        let expire = |payment| Change { payment, event: Event::Expired, carrier: None };
        let changes: Vec<_> = unused.map(|(payment, _)| expire(payment)).collect();
        if !changes.is_empty() {
            self.record(transaction, transaction.state, changes).await?;
        }
        // The others are late only when their own windows are about to close.
        let closes_at = self.closes_at(transaction).await?;
        self.tracker.note_closes_at(transaction.id, closes_at);
        Ok(())
    }

    /// The transaction's payments that rest on it and are in no block yet.
    async fn carried(&self, transaction: &OpenTransaction) -> Result<Vec<Payment>, SettleError> {
        let mut payments = self.items(transaction).await?;
        payments.retain(|payment| following::waits_in(payment, transaction.id));
        Ok(payments)
    }

    /// Whether any payment rests on the transaction, in a block or not.
    pub(crate) async fn carries(&self, transaction: &OpenTransaction) -> Result<bool, SettleError> {
        let payments = self.items(transaction).await?;
        Ok(payments.iter().any(|payment| following::rests_on(payment, transaction.id)))
    }

    pub(crate) async fn items(
        &self,
        transaction: &OpenTransaction,
    ) -> Result<Vec<Payment>, SettleError> {
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
                runtime::fail_point(runtime::FailPoint::AfterRecorded);
                self.tracker.note_state(transaction.id, to);
                self.tell(&advance);
            }
            None => self.reread(transaction.id).await?,
        }
        Ok(())
    }

    /// Somebody else recorded something about the transaction: follow it from where it stands.
    pub(crate) async fn reread(&self, id: TransactionId) -> Result<(), SettleError> {
        if let Some(transaction) = self.store.find_transaction(id).await? {
            let (state, closes_at) = (transaction.state, self.closes_at(&transaction).await?);
            self.tracker.follow_anew(transaction, closes_at);
            self.tracker.note_state(id, state);
        }
        Ok(())
    }
}
