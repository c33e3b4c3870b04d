//! A process with a lane: what it remembers, and the steps in which it acts.

mod following;
mod pushing;
mod rounds;

use std::collections::BTreeMap;

use domain::TransactionId;
use store::{AttemptKind, OpenTransaction, TransactionState};

use super::ledger::NotStored;
use super::world::{Stop, World};
use crate::decide::following::{Reply, reply};
use crate::decide::nonces::holes;
use crate::tracker::{is_filled, newest};

pub(super) use self::rounds::decide;

/// Transactions of a lane that no block holds, at most.
const MAX_IN_FLIGHT: usize = 3;

/// What a process remembers; a crash forgets it.
#[derive(Debug, Default)]
pub(super) struct Process {
    epoch: Option<i64>,
    next_nonce: u64,
    /// Whether it knows where everything stands.
    in_step: bool,
    tracked: BTreeMap<TransactionId, OpenTransaction>,
    spent_at: BTreeMap<TransactionId, u64>,
}

type Step = Result<(), Stop>;

impl From<NotStored> for Stop {
    fn from(reason: NotStored) -> Self {
        match reason {
            NotStored::LeaseLost => Self::LeaseLost,
            NotStored::Moved => Self::OutOfStep,
        }
    }
}

impl Process {
    /// Takes the signer over.
    pub(super) fn take(world: &mut World) -> Self {
        world.ledger.epoch += 1;
        Self { epoch: Some(world.ledger.epoch), ..Self::default() }
    }

    pub(super) const fn has_lane(&self) -> bool {
        self.epoch.is_some()
    }

    /// One step of everything that a process does.
    pub(super) fn act(&mut self, world: &mut World) -> Step {
        let Some(epoch) = self.epoch else { return Ok(()) };
        if !self.in_step {
            self.catch_up(world, epoch)?;
        }
        match world.dice.below(3) {
            0 => self.round(world, epoch),
            1 => self.watch(world),
            _ => self.push(world),
        }
    }

    /// Everything once, in the order in which it helps most.
    pub(super) fn act_calmly(&mut self, world: &mut World) -> Step {
        let Some(epoch) = self.epoch else { return Ok(()) };
        if !self.in_step {
            self.catch_up(world, epoch)?;
        }
        self.watch(world)?;
        self.push(world)?;
        self.round(world, epoch)
    }

    pub(super) fn lose_step(&mut self) {
        self.in_step = false;
    }

    fn catch_up(&mut self, world: &mut World, epoch: i64) -> Step {
        let pending = world.ask(|world, _| world.chain.pending_nonce())?;
        self.next_nonce = world.write(|world| world.ledger.align(epoch, pending))?;
        let open = world.ledger.transactions.iter().filter(|transaction| {
            matches!(transaction.state, TransactionState::Open | TransactionState::Mined { .. })
        });
        for transaction in open {
            self.tracked.entry(transaction.id).or_insert_with(|| transaction.clone());
        }
        let mined = world.ask(|world, lag| world.chain.nonce(lag))?;
        let mut stored: Vec<OpenTransaction> = world.ledger.transactions.clone();
        stored.retain(|transaction| transaction.nonce >= mined);
        for nonce in holes(mined, self.next_nonce, stored.iter().map(|stored| stored.nonce)) {
            let fees = world.fees().ok_or(Stop::Failed)?;
            let attempt = world.sign((nonce, 1), AttemptKind::Filler, fees, Vec::new());
            let transaction = world.new_transaction(nonce, attempt, Vec::new());
            let stored = transaction.clone();
            world.write(move |world| world.ledger.store(epoch, stored, Vec::new(), world.now))?;
            self.tracked.insert(transaction.id, transaction);
        }
        for transaction in &stored {
            self.send_forgotten(world, transaction)?;
        }
        for id in self.open() {
            self.send(world, id)?;
        }
        self.in_step = true;
        Ok(())
    }

    pub(super) fn send_forgotten(&self, world: &mut World, transaction: &OpenTransaction) -> Step {
        let hash = match transaction.state {
            TransactionState::Open => return Ok(()),
            TransactionState::Mined { hash, .. } | TransactionState::Final { hash, .. } => hash,
            TransactionState::Dropped => transaction.attempts.last().unwrap().hash,
        };
        world.offer(hash).map(|_| ())
    }

    /// The transactions that no block is known to hold, in the order of the nonces.
    pub(super) fn open(&self) -> Vec<TransactionId> {
        let mut open: Vec<_> = self
            .tracked
            .values()
            .filter(|transaction| matches!(transaction.state, TransactionState::Open))
            .map(|transaction| (transaction.nonce, transaction.id))
            .collect();
        open.sort_unstable();
        open.into_iter().map(|(_, id)| id).collect()
    }

    pub(super) fn send(&mut self, world: &mut World, id: TransactionId) -> Step {
        let transaction = self.tracked[&id].clone();
        let Some(attempt) = newest(&transaction) else { return Ok(()) };
        let answer = world.offer(attempt.hash)?;
        match reply(&answer, is_filled(&transaction)) {
            Reply::Raise => self.replace(world, id, None),
            Reply::Fill => self.replace(world, id, Some(AttemptKind::Filler)),
            Reply::Look => self.look(world, id),
            Reply::Follow | Reply::Doubt | Reply::AwaitGasMoney | Reply::Complain => Ok(()),
        }
    }
}
