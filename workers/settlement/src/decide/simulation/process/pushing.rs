//! What is done about transactions that blocks leave lying.

use chain::SendAnswer;
use domain::{Payment, PaymentId, TransactionId};
use store::{AttemptKind, Change, OpenTransaction, StoredAttempt};

use super::super::world::{Stop, World};
use super::rounds::submissions;
use super::{Process, Step};
use crate::decide::following::rests_on;
use crate::decide::pushing::{Push, Stuck, Urge, push, urge};
use crate::tracker::{is_filled, newest};

impl Process {
    /// Gets along what blocks leave lying.
    pub(super) fn push(&mut self, world: &mut World) -> Step {
        for id in self.open() {
            match self.push_one(world, id) {
                Err(Stop::Failed | Stop::OutOfStep) | Ok(()) => {}
                Err(stop) => return Err(stop),
            }
        }
        Ok(())
    }

    fn push_one(&mut self, world: &mut World, id: TransactionId) -> Step {
        let Some(transaction) = self.tracked.get(&id).cloned() else { return Ok(()) };
        let offer = newest(&transaction).unwrap().clone();
        let head = world.ask(|world, lag| world.chain.head(lag))?;
        let waited = head.number.saturating_sub(offer.signed_at_block);
        let resting: Vec<Payment> = world.ledger.items(&transaction);
        let resting = resting.into_iter().filter(|payment| rests_on(payment, id));
        let closes_at = resting.map(|payment| payment.authorization.valid_before).min();
        let left = closes_at.map(|at| at - world.now.unix_secs());
        let is_vacant = left.is_none() && !is_filled(&transaction);
        match urge(waited, left, is_vacant, &world.policy) {
            Urge::Wait => return Ok(()),
            Urge::SendAgain => return self.send(world, id),
            Urge::Replace => self.look(world, id)?,
        }
        if !self.open().contains(&id) {
            return Ok(());
        }
        let chain_next = world.ask(|world, lag| world.chain.nonce(lag))?;
        let stuck = Stuck {
            nonce: transaction.nonce,
            chain_next,
            spent_for: self.spent_for(&transaction, chain_next, head.number),
            carries: closes_at.is_some(),
            is_filled: is_filled(&transaction),
            is_priced_out: offer.max_fee_per_gas < head.base_fee,
        };
        let behind: Vec<OpenTransaction> = world
            .ledger
            .transactions
            .iter()
            .filter(|other| other.nonce >= chain_next && other.nonce < transaction.nonce)
            .cloned()
            .collect();
        for forgotten in behind {
            self.send_forgotten(world, &forgotten)?;
        }
        match push(&stuck, world.policy.patience()) {
            Push::Raise => self.replace(world, id, None),
            Push::Refill => self.refill(world, id),
            Push::SendAgain => self.send(world, id),
            Push::Wait => Ok(()),
            Push::GiveUp => self.give_up(world, &transaction),
        }
    }

    fn spent_for(&mut self, transaction: &OpenTransaction, next: u64, head: u64) -> u64 {
        if next <= transaction.nonce {
            self.spent_at.remove(&transaction.id);
            return 0;
        }
        head.saturating_sub(*self.spent_at.entry(transaction.id).or_insert(head))
    }

    /// Offers more for the same work, or uses the nonce up without it.
    pub(super) fn replace(
        &mut self,
        world: &mut World,
        id: TransactionId,
        kind: Option<AttemptKind>,
    ) -> Step {
        let transaction = &self.tracked[&id];
        let old = newest(transaction).unwrap().clone();
        let kind = kind.unwrap_or(old.kind);
        let raised = world.raised(&old);
        let fees = match kind {
            AttemptKind::Payload => raised,
            AttemptKind::Filler => raised.or_else(|| world.fees()),
        };
        let Some(fees) = fees else { return Ok(()) };
        let calls = match kind {
            AttemptKind::Payload => world.calls_of(old.hash),
            AttemptKind::Filler => Vec::new(),
        };
        let attempt = world.sign((transaction.nonce, old.number + 1), kind, fees, calls);
        self.store_attempt(world, id, attempt, Vec::new())
    }

    /// Gives the nonce to other payments.
    pub(super) fn refill(&mut self, world: &mut World, id: TransactionId) -> Step {
        let rung = world.rung();
        let payments = self.sort(world, rung)?;
        let payments = self.would_be_paid(world, payments)?;
        if payments.is_empty() {
            return self.replace(world, id, Some(AttemptKind::Filler));
        }
        let transaction = &self.tracked[&id];
        let old = newest(transaction).unwrap().clone();
        let Some(fees) = world.raised(&old) else { return Ok(()) };
        let calls = payments.iter().map(|payment| world.index(payment.id)).collect();
        let nonce = transaction.nonce;
        let attempt = world.sign((nonce, old.number + 1), AttemptKind::Payload, fees, calls);
        self.store_attempt(world, id, attempt, submissions(payments, id))
    }

    fn store_attempt(
        &mut self,
        world: &mut World,
        id: TransactionId,
        attempt: StoredAttempt,
        changes: Vec<Change>,
    ) -> Step {
        let epoch = self.epoch.unwrap();
        let items: Vec<PaymentId> = changes.iter().map(|change| change.payment.id).collect();
        let (hash, stored) = (attempt.hash, attempt.clone());
        let written = world.write(move |world| {
            world.ledger.store_attempt(epoch, (id, stored), changes, world.now)
        });
        let tracked = self.tracked.get_mut(&id).unwrap();
        if written == Err(Stop::OutOfStep) {
            // It may have been stored although the answer was lost.
            tracked.attempts.clone_from(&world.ledger.find(id).attempts);
        }
        written?;
        tracked.attempts.push(attempt);
        tracked.items.extend(items);
        match world.offer(hash)? {
            SendAnswer::NonceTooLow => self.look(world, id),
            _ => Ok(()),
        }
    }
}
