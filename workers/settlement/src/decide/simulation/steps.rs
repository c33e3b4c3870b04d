//! What a process can ask, write and send, and what may come between.

use alloy_primitives::Address;
use chain::{Fees, SendAnswer};
use domain::{B256, Event, Payment, PaymentId, SignerId, TransactionId};
use store::{AttemptKind, Change, OpenTransaction, StoredAttempt, TransactionState};
use uuid::Uuid;

use super::chain::{Call, Sent};
use super::ledger::NotStored;
use super::world::{CAP, Stop, World};

impl World {
    /// Between two steps of a process: it may be killed, or stand still while others go on.
    fn between(&mut self) -> Result<(), Stop> {
        if !self.troubled {
            return Ok(());
        }
        if self.dice.below(1_000) < 6 {
            return Err(Stop::Crashed);
        }
        while self.depth < 3 && self.dice.percent(6) {
            self.happen();
        }
        Ok(())
    }

    /// Asks a node, which may not say, or be behind.
    pub(super) fn ask<T>(&mut self, question: impl FnOnce(&Self, usize) -> T) -> Result<T, Stop> {
        self.between()?;
        if self.troubled && self.dice.percent(4) {
            return Err(Stop::Failed);
        }
        let is_behind = self.troubled && self.dice.percent(15);
        let lag = if is_behind { 1 + self.dice.index(2) } else { 0 };
        let answer = question(self, lag);
        self.between()?;
        Ok(answer)
    }

    /// Writes to the ledger; the answer may be lost.
    pub(super) fn write<T>(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<T, NotStored>,
    ) -> Result<T, Stop> {
        self.between()?;
        if self.troubled && self.dice.percent(2) {
            return Err(Stop::OutOfStep);
        }
        let written = write(self)?;
        if self.troubled && self.dice.percent(2) {
            return Err(Stop::OutOfStep);
        }
        self.between()?;
        Ok(written)
    }

    pub(super) fn commit(&mut self, payment: Payment, event: Event) -> Result<(), Stop> {
        self.write(|world| {
            world.ledger.apply(vec![Change { payment, event, carrier: None }], world.now);
            Ok(())
        })
    }

    /// Sends bytes, which must be stored.
    pub(super) fn offer(&mut self, hash: B256) -> Result<SendAnswer, Stop> {
        let mut stored = self.ledger.transactions.iter().flat_map(|stored| &stored.attempts);
        assert!(stored.any(|attempt| attempt.hash == hash), "sent and not stored");
        self.between()?;
        let unknown = SendAnswer::Unknown(String::new());
        if self.troubled && self.dice.percent(4) {
            return Ok(unknown);
        }
        if self.troubled && self.dice.percent(1) {
            return Ok(SendAnswer::Rejected(String::new()));
        }
        let answer = self.chain.send(self.signed[&hash].clone());
        self.between()?;
        Ok(if self.troubled && self.dice.percent(4) { unknown } else { answer })
    }

    /// Signs bytes for a nonce; they are not stored yet.
    pub(super) fn sign(
        &mut self,
        (nonce, number): (u64, u32),
        kind: AttemptKind,
        fees: Fees,
        calls: Vec<usize>,
    ) -> StoredAttempt {
        assert!(fees.max_fee <= CAP, "an offer above the cap");
        let hash = self.chain.new_hash();
        let calls = calls.into_iter().map(Call::Pay).collect();
        let sent = Sent { hash, nonce: Some(nonce), max_fee: fees.max_fee, calls };
        self.signed.insert(hash, sent);
        StoredAttempt {
            number,
            kind,
            hash,
            raw: Vec::new(),
            max_fee_per_gas: fees.max_fee,
            max_priority_fee_per_gas: fees.priority,
            signed_at_block: self.chain.head(0).number,
        }
    }

    pub(super) fn new_transaction(
        &mut self,
        nonce: u64,
        attempt: StoredAttempt,
        items: Vec<PaymentId>,
    ) -> OpenTransaction {
        self.names += 1;
        OpenTransaction {
            id: TransactionId::new(Uuid::from_u128(self.names)),
            signer: SignerId::new(Uuid::from_u128(1)),
            nonce,
            target: Address::ZERO,
            input: Vec::new(),
            gas_limit: 1,
            state: TransactionState::Open,
            attempts: vec![attempt],
            items,
        }
    }

    /// The payments that these bytes pay.
    pub(super) fn calls_of(&self, hash: B256) -> Vec<usize> {
        let index = |call: &Call| match call {
            Call::Pay(index) | Call::Cancel(index) | Call::Empty(index) | Call::Fund(index) => {
                *index
            }
        };
        self.signed[&hash].calls.iter().map(index).collect()
    }

    pub(super) fn fees(&self) -> Option<Fees> {
        Fees::quote(self.chain.base_fee, 1, CAP)
    }

    /// An offer that is taken in the place of this one.
    pub(super) fn raised(&self, old: &StoredAttempt) -> Option<Fees> {
        let old = Fees { max_fee: old.max_fee_per_gas, priority: old.max_priority_fee_per_gas };
        Fees::bump(old, self.fees()?, CAP)
    }

    /// The payments whose bells have rung.
    pub(super) fn rung(&mut self) -> Vec<PaymentId> {
        let (dice, troubled) = (&mut self.dice, self.troubled);
        let open = self.ledger.payments.iter().filter(|payment| !payment.state.is_terminal());
        let rung = open.filter(|_| !troubled || dice.percent(60));
        rung.map(|payment| payment.id).collect()
    }

    pub(super) fn index(&self, id: PaymentId) -> usize {
        self.ledger.payments.iter().position(|payment| payment.id == id).unwrap()
    }

    pub(super) fn holds(&mut self, number: u64, hash: B256) -> Result<Option<bool>, Stop> {
        let block = self.ask(|world, lag| world.chain.block(number, lag))?;
        Ok(block.map(|block| block.hash == hash))
    }

    pub(super) fn is_final(&mut self, number: u64) -> Result<bool, Stop> {
        let head = self.ask(|world, lag| world.chain.head(lag))?;
        Ok(number + self.policy.confirmations - 1 <= head.number)
    }

    pub(super) fn final_block_time(&mut self) -> Result<i64, Stop> {
        let above = self.policy.confirmations - 1;
        self.ask(|world, lag| {
            let number = world.chain.head(lag).number.saturating_sub(above);
            world.chain.block(number, lag).map_or(0, |block| block.timestamp)
        })
    }
}
