//! The transactions of this process's lanes that are not final.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::{Address, B256, SignerId, TransactionId};
use store::{AttemptKind, OpenTransaction, StoredAttempt, TransactionState};
use tokio::sync::{Notify, OwnedSemaphorePermit};

use crate::lane::Lane;

/// A transaction that is followed, and whose lane it is.
#[derive(Debug)]
struct Tracked {
    transaction: OpenTransaction,
    lane: Arc<Lane>,
    /// The lane's room in flight; given back when a block holds the transaction.
    room: Option<OwnedSemaphorePermit>,
    /// The height at which the chain was first seen to have used the nonce, without a receipt.
    spent_at: Option<u64>,
    /// The end, in Unix seconds, of the first window to close among its payments.
    closes_at: Option<i64>,
    /// Whether it may be in a block that was read before it was followed.
    unseen: bool,
}

/// Everything that is followed here. Rounds put transactions in before they are sent, so that no
/// block can go by unseen.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    tracked: Mutex<HashMap<TransactionId, Tracked>>,
    filled: Notify,
}

impl Tracker {
    pub(crate) fn follow(
        &self,
        transaction: OpenTransaction,
        lane: Arc<Lane>,
        room: Option<OwnedSemaphorePermit>,
        closes_at: Option<i64>,
    ) {
        let tracked = Tracked { transaction, lane, room, spent_at: None, closes_at, unseen: false };
        self.lock().insert(tracked.transaction.id, tracked);
        self.filled.notify_one();
    }

    /// Notes whether a transaction may be in a block that was read before it was followed.
    pub(crate) fn note_unseen(&self, id: TransactionId, unseen: bool) {
        if let Some(tracked) = self.lock().get_mut(&id) {
            tracked.unseen = unseen;
        }
    }

    /// Whether a transaction may be in a block that was read before it was followed.
    pub(crate) fn is_unseen(&self, id: TransactionId) -> bool {
        self.lock().get(&id).is_some_and(|tracked| tracked.unseen)
    }

    /// The height after which the first of all attempts was signed; 0 while there is none.
    pub(crate) fn first_signed_at(&self) -> u64 {
        let tracked = self.lock();
        let attempts = tracked.values().flat_map(|tracked| &tracked.transaction.attempts);
        attempts.map(|attempt| attempt.signed_at_block).min().unwrap_or(0)
    }

    /// Whether any transaction may be.
    pub(crate) fn has_unseen(&self) -> bool {
        self.lock().values().any(|tracked| tracked.unseen)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Follows a transaction as it is stored now: with what its nonce was given to meanwhile, and
    /// with every attempt that was known here already.
    pub(crate) fn follow_anew(&self, mut transaction: OpenTransaction, closes_at: Option<i64>) {
        if let Some(tracked) = self.lock().get_mut(&transaction.id) {
            let mut known = std::mem::take(&mut tracked.transaction.attempts);
            known.retain(|attempt| {
                transaction.attempts.iter().all(|stored| stored.hash != attempt.hash)
            });
            transaction.attempts.extend(known);
            transaction.attempts.sort_by_key(|attempt| attempt.number);
            tracked.transaction = transaction;
            tracked.closes_at = closes_at;
        }
    }

    /// Notes which window of a transaction's payments closes next.
    pub(crate) fn note_closes_at(&self, id: TransactionId, closes_at: Option<i64>) {
        if let Some(tracked) = self.lock().get_mut(&id) {
            tracked.closes_at = closes_at;
        }
    }

    /// The end, in Unix seconds, of the first window to close among a transaction's payments.
    pub(crate) fn closes_at(&self, id: TransactionId) -> Option<i64> {
        self.lock().get(&id)?.closes_at
    }

    /// Waits until there is something to follow.
    pub(crate) async fn filled(&self) {
        while self.lock().is_empty() {
            self.filled.notified().await;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(crate) fn has(&self, transaction: TransactionId) -> bool {
        self.lock().contains_key(&transaction)
    }

    /// A transaction that is followed, as it stands now.
    pub(crate) fn get(&self, id: TransactionId) -> Option<(OpenTransaction, Arc<Lane>)> {
        let tracked = self.lock();
        let tracked = tracked.get(&id)?;
        Some((tracked.transaction.clone(), Arc::clone(&tracked.lane)))
    }

    /// Whether a transaction is followed and no block is known to hold it.
    pub(crate) fn is_open(&self, transaction: TransactionId) -> bool {
        let tracked = self.lock();
        let tracked = tracked.get(&transaction);
        tracked.is_some_and(|tracked| matches!(tracked.transaction.state, TransactionState::Open))
    }

    /// Whether a transaction with this nonce of the signer is followed, and waits for a block.
    pub(crate) fn waits_for(&self, signer: SignerId, nonce: u64) -> bool {
        self.lock().values().any(|Tracked { transaction, .. }| {
            transaction.signer == signer
                && transaction.nonce == nonce
                && matches!(transaction.state, TransactionState::Open)
        })
    }

    /// How many transactions of each signer no block holds.
    pub(crate) fn open_by_signer(&self) -> HashMap<Address, usize> {
        let mut open: HashMap<Address, usize> = HashMap::new();
        for Tracked { transaction, lane, .. } in self.lock().values() {
            let waits = matches!(transaction.state, TransactionState::Open);
            let count = open.entry(lane.address()).or_default();
            *count = count.saturating_add(usize::from(waits));
        }
        open
    }

    /// Whether anything of the signer is followed.
    pub(crate) fn follows(&self, signer: SignerId) -> bool {
        self.lock().values().any(|tracked| tracked.transaction.signer == signer)
    }

    /// Whether anything of the signer waits for a block.
    pub(crate) fn waits(&self, signer: SignerId) -> bool {
        self.lock().values().any(|Tracked { transaction, .. }| {
            transaction.signer == signer && matches!(transaction.state, TransactionState::Open)
        })
    }

    /// Everything that is followed, in the order of the nonces.
    pub(crate) fn all(&self) -> Vec<(OpenTransaction, Arc<Lane>)> {
        let mut all: Vec<_> = self
            .lock()
            .values()
            .map(|tracked| (tracked.transaction.clone(), Arc::clone(&tracked.lane)))
            .collect();
        all.sort_by_key(|(transaction, _)| (transaction.signer, transaction.nonce));
        all
    }

    /// The transaction that one of these bytes belong to.
    pub(crate) fn by_hash(&self, hash: B256) -> Option<OpenTransaction> {
        let tracked = self.lock();
        let found = tracked.values().find(|tracked| {
            tracked.transaction.attempts.iter().any(|attempt| attempt.hash == hash)
        });
        found.map(|tracked| tracked.transaction.clone())
    }

    /// Notes where a transaction stands now; a final or dropped one is not followed any more.
    pub(crate) fn note_state(&self, id: TransactionId, state: TransactionState) {
        let mut tracked = self.lock();
        match state {
            TransactionState::Final { .. } | TransactionState::Dropped => {
                tracked.remove(&id);
            }
            TransactionState::Open => {
                if let Some(tracked) = tracked.get_mut(&id) {
                    tracked.transaction.state = state;
                }
            }
            TransactionState::Mined { .. } => {
                if let Some(tracked) = tracked.get_mut(&id) {
                    tracked.transaction.state = state;
                    tracked.room = None;
                }
            }
        }
    }

    /// Notes which nonce of its signer the chain expects next, as of this height. If that lies
    /// beyond the transaction's, says for how many blocks it has done so.
    pub(crate) fn note_next_nonce(&self, id: TransactionId, next: u64, head: u64) -> Option<u64> {
        let mut tracked = self.lock();
        let tracked = tracked.get_mut(&id)?;
        if next <= tracked.transaction.nonce {
            tracked.spent_at = None;
            return None;
        }
        Some(head.saturating_sub(*tracked.spent_at.get_or_insert(head)))
    }

    /// Notes another attempt for a transaction's nonce.
    pub(crate) fn note_attempt(&self, id: TransactionId, attempt: StoredAttempt) {
        if let Some(tracked) = self.lock().get_mut(&id) {
            tracked.transaction.attempts.push(attempt);
        }
    }

    /// Stops following what belongs to a lane that is not held any more.
    pub(crate) fn forget_lane(&self, lane: &Lane) {
        self.lock().retain(|_, tracked| tracked.transaction.signer != lane.signer());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TransactionId, Tracked>> {
        self.tracked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The newest bytes for a transaction's nonce.
pub(crate) fn newest(transaction: &OpenTransaction) -> Option<&StoredAttempt> {
    transaction.attempts.last()
}

/// Whether the nonce is only being used up.
pub(crate) fn is_filled(transaction: &OpenTransaction) -> bool {
    newest(transaction).is_some_and(|attempt| attempt.kind == AttemptKind::Filler)
}
