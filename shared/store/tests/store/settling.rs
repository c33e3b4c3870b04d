//! Signers, rounds and blocks, as settlement would make them.

use std::time::Duration;

use domain::{
    Address, B256, Event, Inclusion, Payment, PaymentState, SignerId, Submission, TransactionId,
};
use store::{
    AttemptKind, FollowUp, Lane, LaneRequest, NewAttempt, OpenTransaction, Round, Store, Stored,
    TransactionState,
};
use uuid::Uuid;

use crate::ledger::{Ledger, NOW, all_moved, chain, change, later, unique_address, unique_hash};

/// A lease that lasts for the whole test.
pub(crate) const LONG: Duration = Duration::from_secs(600);

/// A lease that is over as soon as it is taken.
pub(crate) const OVER: Duration = Duration::ZERO;

impl Ledger {
    /// A signer that nobody holds.
    pub(crate) async fn signer(&self) -> Address {
        let address = unique_address();
        let id = SignerId::new(Uuid::now_v7());
        self.store().register_signer(id, chain(), address).await.unwrap();
        address
    }

    /// A signer of its own, leased for the whole test.
    pub(crate) async fn lane(&self) -> Lane {
        let address = self.signer().await;
        take(self.store(), address, LONG).await.unwrap()
    }

    /// Stores a round that carries these approved payments under the lane's nonce.
    pub(crate) async fn carried(
        &self,
        lane: &Lane,
        nonce: u64,
        payments: &[Payment],
    ) -> (TransactionId, Vec<Payment>) {
        let round = round(nonce, payments);
        let transaction = round.transaction;
        match self.store().store_round(lane, round, NOW).await.unwrap() {
            Stored::Committed(advance) => (transaction, all_moved(advance)),
            other => panic!("the round was to be stored: {other:?}"),
        }
    }

    pub(crate) async fn transaction(&self, id: TransactionId) -> OpenTransaction {
        self.store().find_transaction(id).await.unwrap().unwrap()
    }

    /// Whether the items of this transaction are open, in the order of its calls.
    pub(crate) async fn open_items(&self, id: TransactionId) -> Vec<bool> {
        let query = format!(
            "select open from transaction_items where transaction_id = '{}' order by position",
            id.uuid(),
        );
        self.rows(&query).await.iter().map(|row| sqlx::Row::get(row, 0)).collect()
    }

    /// Fails unless items are open exactly where a payment rests on their transaction.
    pub(crate) async fn assert_items_are_true(&self) {
        let untrue = self
            .count(
                "transaction_items i join payments p on p.id = i.payment_id",
                "i.open is distinct from (p.transaction_id is not distinct from i.transaction_id)",
            )
            .await;
        assert_eq!(untrue, 0, "items that do not say what their payments say");
    }
}

/// The lease of this signer, if it is free.
pub(crate) async fn take(store: &Store, address: Address, lease: Duration) -> Option<Lane> {
    let wanted = LaneRequest {
        owner: Uuid::new_v4(),
        chain: chain(),
        addresses: vec![address],
        limit: 1,
        lease,
    };
    store.take_lanes(&wanted).await.unwrap().pop()
}

pub(crate) fn attempt(kind: AttemptKind) -> NewAttempt {
    NewAttempt {
        kind,
        hash: unique_hash(),
        raw: vec![2; 300],
        max_fee_per_gas: u128::MAX,
        max_priority_fee_per_gas: 1,
        signed_at_block: 100,
    }
}

/// A round that carries these approved payments.
pub(crate) fn round(nonce: u64, payments: &[Payment]) -> Round {
    let transaction = TransactionId::new(Uuid::now_v7());
    let attempt = attempt(AttemptKind::Payload);
    let changes = payments.iter().map(|payment| {
        let submission = Submission { transaction, approved_until: later(600) };
        let carrier = Some(attempt.hash);
        store::Change { carrier, ..change(payment, Event::Submitted(submission)) }
    });
    Round {
        transaction,
        nonce,
        target: unique_address(),
        input: vec![3; 500],
        gas_limit: 200_000,
        changes: changes.collect(),
        attempt,
    }
}

/// A block that holds an attempt.
pub(crate) fn mined(hash: B256) -> TransactionState {
    TransactionState::Mined { hash, block_number: 101, block_hash: unique_hash() }
}

pub(crate) fn finalized(mined: TransactionState) -> TransactionState {
    match mined {
        TransactionState::Mined { hash, block_number, block_hash } => {
            TransactionState::Final { hash, block_number, block_hash }
        }
        other => panic!("only what is mined becomes final: {other:?}"),
    }
}

pub(crate) fn inclusion() -> Inclusion {
    Inclusion { tx_hash: unique_hash(), log_index: 3, block_number: 101, block_hash: unique_hash() }
}

/// What follows for these payments, each of which takes one event.
pub(crate) fn follow_up(
    transaction: &OpenTransaction,
    to: TransactionState,
    payments: &[Payment],
    event: Event,
) -> FollowUp {
    let changes = payments.iter().map(|payment| change(payment, event)).collect();
    FollowUp { transaction: transaction.id, from: transaction.state, to, changes }
}

/// The transaction that the payment rests on.
pub(crate) fn rests_on(payment: &Payment) -> Option<TransactionId> {
    match payment.state {
        PaymentState::Submitted(submission)
        | PaymentState::Confirmed { submission: Some(submission), .. } => {
            Some(submission.transaction)
        }
        PaymentState::Accepted
        | PaymentState::Held { .. }
        | PaymentState::Approved { .. }
        | PaymentState::Confirmed { submission: None, .. }
        | PaymentState::Settled { .. }
        | PaymentState::Rejected(_)
        | PaymentState::Canceled
        | PaymentState::Expired
        | PaymentState::Failed(_) => None,
    }
}
