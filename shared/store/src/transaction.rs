//! Transactions: stored before they are sent, followed until they are final.

mod attempt;
mod follow_up;
mod item;
mod round;

use domain::{Address, B256, PaymentId, SignerId, TransactionId};
use uuid::Uuid;

pub use self::attempt::{AttemptKind, NewAttempt, StoredAttempt};
pub use self::follow_up::FollowUp;
pub(crate) use self::item::close_items;
pub use self::round::{Round, Stored};
use crate::row::{address, hash, signed, unreadable, unsigned};
use crate::{Store, StoreError};

/// Where a transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionState {
    /// No block is known to hold it.
    Open,
    /// A block holds one of its attempts.
    Mined {
        /// The attempt.
        hash: B256,
        /// The block's height.
        block_number: u64,
        /// The block's hash.
        block_hash: B256,
    },
    /// That block is final; nothing about it changes any more.
    Final {
        /// The attempt.
        hash: B256,
        /// The block's height.
        block_number: u64,
        /// The block's hash.
        block_hash: B256,
    },
    /// A transaction that is none of ours used the nonce, in a final block: no attempt can ever
    /// be mined.
    Dropped,
}

/// A transaction that is not final.
#[derive(Clone, Debug)]
pub struct OpenTransaction {
    /// Its name.
    pub id: TransactionId,
    /// Who signed it.
    pub signer: SignerId,
    /// Its nonce.
    pub nonce: u64,
    /// The contract it calls.
    pub target: Address,
    /// What it calls it with.
    pub input: Vec<u8>,
    /// The most gas it may use.
    pub gas_limit: u64,
    /// Where it stands.
    pub state: TransactionState,
    /// Everything signed for its nonce, oldest first; never empty.
    pub attempts: Vec<StoredAttempt>,
    /// The payments it carries, in the order of the calls.
    pub items: Vec<PaymentId>,
}

impl TransactionState {
    const fn name(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Mined { .. } => "mined",
            Self::Final { .. } => "final",
            Self::Dropped => "dropped",
        }
    }

    const fn block(&self) -> Option<(B256, u64, B256)> {
        match *self {
            Self::Open | Self::Dropped => None,
            Self::Mined { hash, block_number, block_hash }
            | Self::Final { hash, block_number, block_hash } => {
                Some((hash, block_number, block_hash))
            }
        }
    }
}

impl Store {
    /// The signer's transactions that are not final, by nonce.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn open_transactions(
        &self,
        signer: SignerId,
    ) -> Result<Vec<OpenTransaction>, StoreError> {
        let ids = sqlx::query_scalar!(
            "select id from chain_transactions
             where signer_id = $1 and state in ('open', 'mined') order by nonce",
            signer.uuid(),
        )
        .fetch_all(&self.pool)
        .await?;
        self.transactions(&ids).await
    }

    /// Every transaction of the signer from this nonce on, final or not, by nonce.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn transactions_from(
        &self,
        signer: SignerId,
        nonce: u64,
    ) -> Result<Vec<OpenTransaction>, StoreError> {
        let ids = sqlx::query_scalar!(
            "select id from chain_transactions where signer_id = $1 and nonce >= $2 order by nonce",
            signer.uuid(),
            signed(nonce),
        )
        .fetch_all(&self.pool)
        .await?;
        self.transactions(&ids).await
    }

    /// One transaction, final or not.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn find_transaction(
        &self,
        id: TransactionId,
    ) -> Result<Option<OpenTransaction>, StoreError> {
        Ok(self.transactions(&[id.uuid()]).await?.pop())
    }

    async fn transactions(&self, ids: &[Uuid]) -> Result<Vec<OpenTransaction>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows = sqlx::query!(
            "select id, signer_id, nonce, target, input, gas_limit, state, mined_hash,
                    block_number, block_hash
             from chain_transactions where id = any($1) order by signer_id, nonce",
            ids,
        )
        .fetch_all(&self.pool)
        .await?;
        let mut attempts = self.attempts(ids).await?;
        let mut items = self.items(ids).await?;
        rows.into_iter()
            .map(|row| {
                let block = row.mined_hash.zip(row.block_number).zip(row.block_hash);
                let block = block
                    .map(|((mined, number), block)| {
                        Ok::<_, StoreError>((hash(&mined)?, unsigned(number)?, hash(&block)?))
                    })
                    .transpose()?;
                Ok(OpenTransaction {
                    id: TransactionId::new(row.id),
                    signer: SignerId::new(row.signer_id),
                    nonce: unsigned(row.nonce)?,
                    target: address(&row.target)?,
                    input: row.input,
                    gas_limit: unsigned(row.gas_limit)?,
                    state: state(&row.state, block)?,
                    attempts: attempts.remove(&row.id).unwrap_or_default(),
                    items: items.remove(&row.id).unwrap_or_default(),
                })
            })
            .collect()
    }
}

fn state(name: &str, block: Option<(B256, u64, B256)>) -> Result<TransactionState, StoreError> {
    match (name, block) {
        ("open", None) => Ok(TransactionState::Open),
        ("dropped", None) => Ok(TransactionState::Dropped),
        ("mined", Some((hash, block_number, block_hash))) => {
            Ok(TransactionState::Mined { hash, block_number, block_hash })
        }
        ("final", Some((hash, block_number, block_hash))) => {
            Ok(TransactionState::Final { hash, block_number, block_hash })
        }
        _ => Err(unreadable("transaction state")),
    }
}
