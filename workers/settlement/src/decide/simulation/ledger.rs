//! The ledger as far as a lane can tell: the same guards, and everything committed at once.

use std::collections::HashMap;

use domain::{Payment, PaymentId, Timestamp, TransactionId, transition};
use store::{Change, OpenTransaction, StoredAttempt, TransactionState};

use crate::decide::following::rests_on;

#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) payments: Vec<Payment>,
    /// Every transaction ever stored.
    pub(super) transactions: Vec<OpenTransaction>,
    pub(super) next_nonce: u64,
    /// Whose lease holds; every write names its own.
    pub(super) epoch: i64,
}

/// Why nothing was written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotStored {
    LeaseLost,
    Moved,
}

impl Ledger {
    pub(super) fn payment(&self, id: PaymentId) -> &Payment {
        self.payments.iter().find(|payment| payment.id == id).unwrap()
    }

    pub(super) fn find(&self, id: TransactionId) -> &OpenTransaction {
        self.transactions.iter().find(|transaction| transaction.id == id).unwrap()
    }

    pub(super) fn items(&self, transaction: &OpenTransaction) -> Vec<Payment> {
        self.find(transaction.id).items.iter().map(|id| self.payment(*id).clone()).collect()
    }

    /// Raises the next nonce to what the chain expects, and above everything stored.
    pub(super) fn align(&mut self, epoch: i64, chain_next: u64) -> Result<u64, NotStored> {
        self.hold(epoch)?;
        let stored = self.transactions.iter().map(|transaction| transaction.nonce + 1).max();
        self.next_nonce = self.next_nonce.max(chain_next).max(stored.unwrap_or(0));
        Ok(self.next_nonce)
    }

    /// Stores a new transaction with the submissions of its payments: for the next nonce, or for
    /// one below it that was never used.
    pub(super) fn store(
        &mut self,
        epoch: i64,
        transaction: OpenTransaction,
        changes: Vec<Change>,
        now: Timestamp,
    ) -> Result<(), NotStored> {
        self.hold(epoch)?;
        let nonce = transaction.nonce;
        let is_used = self.transactions.iter().any(|other| other.nonce == nonce);
        if nonce > self.next_nonce || is_used || !self.all_fit(&changes) {
            return Err(NotStored::Moved);
        }
        self.next_nonce = self.next_nonce.max(nonce + 1);
        self.transactions.push(transaction);
        self.apply(changes, now);
        Ok(())
    }

    /// Stores another attempt for an open transaction; one with payments only where none rests.
    pub(super) fn store_attempt(
        &mut self,
        epoch: i64,
        (id, attempt): (TransactionId, StoredAttempt),
        changes: Vec<Change>,
        now: Timestamp,
    ) -> Result<(), NotStored> {
        self.hold(epoch)?;
        let is_open = matches!(self.find(id).state, TransactionState::Open);
        let carries = self.items(self.find(id)).iter().any(|payment| rests_on(payment, id));
        if !is_open || (!changes.is_empty() && carries) || !self.all_fit(&changes) {
            return Err(NotStored::Moved);
        }
        let transaction = self.transactions.iter_mut().find(|other| other.id == id).unwrap();
        transaction.items.extend(changes.iter().map(|change| change.payment.id));
        transaction.attempts.push(attempt);
        self.apply(changes, now);
        Ok(())
    }

    /// Records where a transaction stands, unless somebody else has recorded something; no lease
    /// is needed to say what the chain says.
    pub(super) fn follow_up(
        &mut self,
        transaction: &OpenTransaction,
        to: TransactionState,
        changes: Vec<Change>,
        now: Timestamp,
    ) -> Result<(), NotStored> {
        let stored = self.transactions.iter_mut().find(|other| other.id == transaction.id).unwrap();
        if stored.state != transaction.state {
            return Err(NotStored::Moved);
        }
        stored.state = to;
        self.apply(changes, now);
        Ok(())
    }

    /// Applies each change whose payment nobody else has moved since it was loaded.
    pub(super) fn apply(&mut self, changes: Vec<Change>, now: Timestamp) {
        let mut moved: HashMap<PaymentId, u32> = HashMap::new();
        for change in changes {
            let (id, loaded) = (change.payment.id, change.payment.version);
            let is_next = moved.get(&id) == Some(&loaded)
                && transition(self.payment(id).state, change.event).is_ok();
            if !is_next && !self.fits(&change) {
                continue;
            }
            moved.insert(id, loaded);
            let payment = self.payments.iter_mut().find(|payment| payment.id == id).unwrap();
            payment.state = transition(payment.state, change.event).unwrap();
            payment.version += 1;
            payment.updated_at = now;
        }
    }

    fn hold(&self, epoch: i64) -> Result<(), NotStored> {
        if epoch == self.epoch { Ok(()) } else { Err(NotStored::LeaseLost) }
    }

    fn all_fit(&self, changes: &[Change]) -> bool {
        changes.iter().all(|change| self.fits(change))
    }

    fn fits(&self, change: &Change) -> bool {
        let stored = self.payment(change.payment.id);
        stored.version == change.payment.version && transition(stored.state, change.event).is_ok()
    }
}
