//! One history: what happens, what stands still, and what must be true in the end.

use std::collections::HashMap;
use std::time::Duration;

use alloy_primitives::Address;
use chain::AuthorizationUse;
use domain::{
    AccountId, Amount, Authorization, B256, ChainId, Event, Finality, Payment, PaymentId,
    PaymentState, Timestamp, TransferMethod, U256,
};
use store::{Change, TransactionState};
use testkit::Dice;
use uuid::Uuid;

use super::chain::{Call, Chain, Sent};
use super::ledger::Ledger;
use super::process::{Process, decide};
use crate::policy::Policy;
use crate::policy::tests::policy;

/// Why a process's step ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It was killed: it forgets everything.
    Crashed,
    /// A node did not say.
    Failed,
    /// The ledger said no, or its answer was lost, whatever it did.
    OutOfStep,
    /// Somebody else has the signer.
    LeaseLost,
}

pub(super) struct World {
    pub(super) dice: Dice,
    pub(super) chain: Chain,
    pub(super) ledger: Ledger,
    pub(super) policy: Policy,
    pub(super) now: Timestamp,
    processes: Vec<Process>,
    /// Everything ever signed.
    pub(super) signed: HashMap<B256, Sent>,
    pub(super) names: u128,
    /// Whether anything may go wrong.
    pub(super) troubled: bool,
    /// How deep inside one another steps of processes stand still.
    pub(super) depth: u32,
}

/// Blocks that may pass in the end until everything must be over.
const CALM_BLOCKS: u32 = 150;

/// Wei per gas, at most.
pub(super) const CAP: u128 = 1_000;

impl World {
    pub(super) fn begin(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let count = 1 + dice.index(5);
        let authorizations: Vec<_> = (0..count).map(|at| authorization(at, &mut dice)).collect();
        let funded = (0..count).map(|_| dice.percent(90)).collect();
        let payments = authorizations.iter().enumerate();
        let payments = payments.map(|(at, authorization)| accepted(at, authorization)).collect();
        let ledger = Ledger { payments, transactions: Vec::new(), next_nonce: 0, epoch: 0 };
        let policy = Policy {
            bump_after_blocks: 1 + dice.below(2),
            min_remaining_secs: 2,
            confirmations: 1 + dice.below(3),
            max_fee_per_gas: CAP,
            ..policy(4)
        };
        Self {
            chain: Chain::new(authorizations, funded),
            ledger,
            policy,
            now: Timestamp::from_unix_ms(1_000),
            processes: (0..3).map(|_| Process::default()).collect(),
            signed: HashMap::new(),
            names: 1_000,
            troubled: true,
            depth: 0,
            dice,
        }
    }

    /// Tells the history to its end.
    pub(super) fn tell(mut self) {
        for _ in 0..(20 + self.dice.below(60)) {
            self.happen();
            self.assert_proven();
        }
        self.calm_down();
        self.assert_proven();
        self.assert_books();
    }

    /// Something happens.
    pub(super) fn happen(&mut self) {
        match self.dice.below(20) {
            0..=3 => self.mine(),
            4 => {
                let blocks = 1 + self.dice.below(2);
                self.chain.undo(blocks, self.policy.confirmations, &mut self.dice);
                if self.dice.percent(70) {
                    self.mine();
                }
            }
            5 => self.chain.forget_pending(),
            6 => self.interfere(),
            7 => self.chain.base_fee = [10, 10, 25, 400][self.dice.index(4)],
            8 => {
                let seconds = 1 + self.dice.below(5);
                self.pass(seconds);
            }
            9 => self.cancel(),
            10 | 11 => self.judge(),
            _ => self.let_one_act(),
        }
    }

    fn mine(&mut self) {
        let takes_all = self.dice.percent(60);
        self.chain.mine(&mut self.dice, takes_all);
        let seconds = u64::from(self.dice.percent(80));
        self.pass(seconds);
    }

    /// Time goes on; no clock is behind the chain's.
    fn pass(&mut self, seconds: u64) {
        let chain = Timestamp::from_unix_ms(self.chain.head(0).timestamp * 1_000);
        self.now = self.now.plus(Duration::from_secs(seconds)).max(chain);
    }

    /// Somebody else acts on an authorization, or uses our key.
    fn interfere(&mut self) {
        let index = self.dice.index(self.ledger.payments.len());
        let (nonce, calls) = match self.dice.below(11) {
            0..=2 => (None, vec![Call::Pay(index)]),
            3 | 4 => (None, vec![Call::Cancel(index)]),
            5..=7 => (None, vec![Call::Empty(index)]),
            8 | 9 => (None, vec![Call::Fund(index)]),
            _ => (Some(self.chain.pending_nonce()), Vec::new()),
        };
        let hash = self.chain.new_hash();
        self.chain.send(Sent { hash, nonce, max_fee: CAP * 2, calls });
    }

    /// The seller takes a payment back.
    fn cancel(&mut self) {
        let index = self.dice.index(self.ledger.payments.len());
        if self.dice.percent(30) {
            let payment = self.ledger.payments[index].clone();
            let change = Change { payment, event: Event::Canceled, carrier: None };
            self.ledger.apply(vec![change], self.now);
        }
    }

    /// Risk looks at what is accepted.
    fn judge(&mut self) {
        let accepted = |payment: &&Payment| matches!(payment.state, PaymentState::Accepted);
        let accepted: Vec<_> = self.ledger.payments.iter().filter(accepted).cloned().collect();
        for payment in accepted {
            // What is not known now is asked again.
            let _ = decide(self, payment, true);
        }
    }

    /// A process takes a step, or the signer over.
    fn let_one_act(&mut self) {
        let one = self.dice.index(self.processes.len());
        let mut process = std::mem::take(&mut self.processes[one]);
        if !process.has_lane() && self.dice.percent(30) {
            process = Process::take(self);
        }
        self.depth += 1;
        let stopped = process.act(self);
        self.depth -= 1;
        match stopped {
            Ok(()) | Err(Stop::Failed) => self.processes[one] = process,
            Err(Stop::OutOfStep) => {
                process.lose_step();
                self.processes[one] = process;
            }
            Err(Stop::Crashed | Stop::LeaseLost) => {}
        }
    }

    /// All is well from now on: everything must end.
    fn calm_down(&mut self) {
        self.troubled = false;
        // Dearer than what was offered before, or cheaper.
        self.chain.base_fee = [10, 100, 400][self.dice.index(3)];
        let mut process = Process::take(self);
        for _ in 0..CALM_BLOCKS {
            self.chain.mine(&mut self.dice, true);
            self.pass(1);
            self.judge();
            match process.act_calmly(self) {
                Ok(()) => {}
                Err(Stop::Failed | Stop::OutOfStep) => process.lose_step(),
                Err(stop @ (Stop::Crashed | Stop::LeaseLost)) => {
                    panic!("{stop:?} when all is well")
                }
            }
            if self.is_over() {
                return;
            }
        }
    }

    fn is_over(&self) -> bool {
        let is_final = |state| match state {
            TransactionState::Final { .. } | TransactionState::Dropped => true,
            TransactionState::Open | TransactionState::Mined { .. } => false,
        };
        self.ledger.payments.iter().all(|payment| payment.state.is_terminal())
            && self.ledger.transactions.iter().all(|transaction| is_final(transaction.state))
    }

    /// Whatever a payment is called now, the chain agrees.
    fn assert_proven(&self) {
        for (index, payment) in self.ledger.payments.iter().enumerate() {
            let found = self.chain.find_use(index, 0);
            if let PaymentState::Settled { inclusion } = payment.state {
                assert_eq!(found, AuthorizationUse::Paid(inclusion), "{payment:?}");
            }
            if payment.state.failure().is_some_and(domain::FailureCode::safe_to_resign) {
                let moved = matches!(found, AuthorizationUse::Paid(_));
                assert!(!moved && !self.chain.is_alive(index), "{found:?} {payment:?}");
            }
        }
    }

    /// Everything is over, nothing of ours is left in the way, and what we paid is settled.
    fn assert_books(&self) {
        assert!(self.is_over(), "{:?} {:?}", self.ledger.payments, self.ledger.transactions);
        // Who uses our key elsewhere may use more than we know of.
        assert!(self.chain.nonce(0) >= self.ledger.next_nonce, "a gap in the nonces");
        for (index, payment) in self.ledger.payments.iter().enumerate() {
            if let AuthorizationUse::Paid(inclusion) = self.chain.find_use(index, 0)
                && self.signed.contains_key(&inclusion.tx_hash)
            {
                assert_eq!(payment.state, PaymentState::Settled { inclusion });
            }
        }
    }
}

fn authorization(at: usize, dice: &mut Dice) -> Authorization {
    let word = U256::from(at + 1);
    Authorization {
        method: TransferMethod::Eip3009,
        chain: ChainId::new(1).unwrap(),
        asset: Address::repeat_byte(0xaa),
        payer: Address::from_word(B256::from(word)),
        pay_to: Address::repeat_byte(0x5e),
        amount: Amount::from(100u64 + at as u64),
        valid_after: 0,
        valid_before: 10 + i64::try_from(dice.below(60)).unwrap(),
        nonce: B256::from(word),
    }
}

fn accepted(at: usize, authorization: &Authorization) -> Payment {
    let begun = Timestamp::from_unix_ms(1_000);
    Payment {
        id: PaymentId::new(Uuid::from_u128(1 + at as u128)),
        account: AccountId::new(Uuid::from_u128(1)),
        authorization: authorization.clone(),
        finality: Finality::Confirmed,
        reference: None,
        metadata: None,
        request_id: String::new(),
        created_at: begun,
        updated_at: begun,
        version: 1,
        state: PaymentState::Accepted,
    }
}
