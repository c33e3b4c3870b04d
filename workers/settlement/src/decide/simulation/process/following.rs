//! What blocks say about transactions that are followed.

use chain::{AuthorizationUse, Receipt};
use store::{Change, OpenTransaction, TransactionState};

use domain::TransactionId;

use super::super::world::{Stop, World};
use super::{Process, Step};
use crate::decide::following::{
    Trace, finalized, included, is_in, settling, undone, unpaid, waits_in,
};

impl Process {
    /// Finds out where everything stands that is followed.
    pub(super) fn watch(&mut self, world: &mut World) -> Step {
        for id in self.tracked.keys().copied().collect::<Vec<_>>() {
            // What cannot be read now is looked at again, and keeps nothing from being followed.
            match self.look(world, id) {
                Err(Stop::Failed | Stop::OutOfStep) | Ok(()) => {}
                Err(stop) => return Err(stop),
            }
        }
        Ok(())
    }

    pub(super) fn look(&mut self, world: &mut World, id: TransactionId) -> Step {
        let Some(transaction) = self.tracked.get(&id).cloned() else { return Ok(()) };
        let transaction = self.look_at(world, transaction)?;
        if matches!(transaction.state, TransactionState::Mined { .. }) {
            self.confirm(world, &transaction)?;
        }
        Ok(())
    }

    /// Looks for a block that holds an open transaction.
    fn look_at(
        &mut self,
        world: &mut World,
        transaction: OpenTransaction,
    ) -> Result<OpenTransaction, Stop> {
        if !matches!(transaction.state, TransactionState::Open) {
            return Ok(transaction);
        }
        for attempt in transaction.attempts.iter().rev() {
            let receipt = world.ask(|world, lag| world.chain.receipt(attempt.hash, lag))?;
            let Some(receipt) = receipt else { continue };
            if world.holds(receipt.block_number, receipt.block_hash)? == Some(true) {
                return self.mined(world, transaction, &receipt);
            }
        }
        Ok(transaction)
    }

    fn mined(
        &mut self,
        world: &mut World,
        transaction: OpenTransaction,
        receipt: &Receipt,
    ) -> Result<OpenTransaction, Stop> {
        let Receipt { tx_hash: hash, block_number, block_hash, .. } = *receipt;
        let payments = world.ledger.items(&transaction);
        let mut changes = included(&payments, transaction.id, receipt);
        let ends = changes.len() == payments.len()
            && world.is_final(block_number)?
            && world.holds(block_number, block_hash)? == Some(true);
        let state = if ends {
            changes.extend(finalized(&changes));
            TransactionState::Final { hash, block_number, block_hash }
        } else {
            TransactionState::Mined { hash, block_number, block_hash }
        };
        self.record(world, &transaction, state, changes)?;
        Ok(OpenTransaction { state, ..transaction })
    }

    fn confirm(&mut self, world: &mut World, transaction: &OpenTransaction) -> Step {
        let TransactionState::Mined { hash, block_number, block_hash } = transaction.state else {
            return Ok(());
        };
        let id = transaction.id;
        // First, as of a head: a block that is deep before it is looked at stays what it is.
        let is_final = world.is_final(block_number)?;
        match world.holds(block_number, block_hash)? {
            Some(true) => {}
            Some(false) => {
                let changes = undone(world.ledger.items(transaction), transaction);
                return self.record(world, transaction, TransactionState::Open, changes);
            }
            None => return Ok(()),
        }
        if !is_final {
            return Ok(());
        }
        let payments = world.ledger.items(transaction).into_iter().map(|payment| {
            let is_final = is_in(&payment, id, block_hash);
            (payment, is_final)
        });
        let settling = settling(payments.collect::<Vec<_>>(), id, block_hash);
        let mut changes = settling.changes;
        if !settling.waiting {
            changes.extend(leftovers(world, transaction)?);
            let state = TransactionState::Final { hash, block_number, block_hash };
            return self.record(world, transaction, state, changes);
        }
        if changes.is_empty() {
            Ok(())
        } else {
            self.record(world, transaction, transaction.state, changes)
        }
    }

    pub(super) fn record(
        &mut self,
        world: &mut World,
        transaction: &OpenTransaction,
        to: TransactionState,
        changes: Vec<Change>,
    ) -> Step {
        let recorded = world.write(|world| {
            Ok(world.ledger.follow_up(transaction, to, changes, world.now).is_ok())
        })?;
        // Somebody else recorded something: it is followed from where it stands.
        let stored = world.ledger.find(transaction.id).clone();
        let state = if recorded { to } else { stored.state };
        match state {
            TransactionState::Final { .. } | TransactionState::Dropped => {
                self.tracked.remove(&transaction.id);
            }
            TransactionState::Open | TransactionState::Mined { .. } => {
                if let Some(tracked) = self.tracked.get_mut(&transaction.id) {
                    *tracked = OpenTransaction { state, ..stored };
                }
            }
        }
        if recorded { Ok(()) } else { Err(Stop::Failed) }
    }

    pub(super) fn give_up(&mut self, world: &mut World, transaction: &OpenTransaction) -> Step {
        let transaction = world.ledger.find(transaction.id).clone();
        for attempt in &transaction.attempts {
            let receipt = world.ask(|world, lag| world.chain.receipt(attempt.hash, lag))?;
            if receipt.is_some() {
                return self.look(world, transaction.id);
            }
        }
        let changes = leftovers(world, &transaction)?;
        self.record(world, &transaction, TransactionState::Dropped, changes)
    }
}

/// What follows for payments that rest on a transaction that is over and did not pay them.
pub(super) fn leftovers(
    world: &mut World,
    transaction: &OpenTransaction,
) -> Result<Vec<Change>, Stop> {
    let mut changes = Vec::new();
    for payment in world.ledger.items(transaction) {
        if !waits_in(&payment, transaction.id) {
            continue;
        }
        let index = world.index(payment.id);
        let view = world.ask(|world, _| world.chain.view(index))?;
        let trace = if view.used { trace(world, index)? } else { Trace::Unused };
        if let Some(event) = unpaid(trace) {
            changes.push(Change { payment, event, carrier: None });
        }
    }
    Ok(changes)
}

pub(super) fn trace(world: &mut World, index: usize) -> Result<Trace, Stop> {
    let found = world.ask(|world, lag| world.chain.find_use(index, lag))?;
    let is_final = match found {
        AuthorizationUse::Spent { block_number } => world.is_final(block_number)?,
        AuthorizationUse::Paid(_) | AuthorizationUse::NotFound => false,
    };
    Ok(Trace::Used { found, is_final })
}
