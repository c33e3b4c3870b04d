//! Transactions: stored before they are sent, followed until they are final.

use std::collections::HashMap;

use domain::{Address, B256, PaymentId, SignerId, Timestamp, TransactionId};
use sqlx::PgTransaction;
use uuid::Uuid;

use crate::advance::{Advance, Advanced, Change, advance};
use crate::row::{address, hash, parse, signed, unreadable, unsigned};
use crate::signer::{Lane, hold};
use crate::{Store, StoreError};

/// What an attempt does with its nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptKind {
    /// Carries the items.
    Payload,
    /// Moves nothing; it only uses the nonce up.
    Filler,
}

/// Signed bytes, about to be stored.
#[derive(Clone, Debug)]
pub struct NewAttempt {
    /// What it does.
    pub kind: AttemptKind,
    /// The transaction's hash.
    pub hash: B256,
    /// The signed transaction as it is sent (EIP-2718).
    pub raw: Vec<u8>,
    /// Wei per gas, at most.
    pub max_fee_per_gas: u128,
    /// Wei per gas for the block's producer, at most.
    pub max_priority_fee_per_gas: u128,
    /// The chain's height when it was signed.
    pub signed_at_block: u64,
}

/// A signed transaction with the payments it is to carry, about to be stored.
#[derive(Clone, Debug)]
pub struct Round {
    /// The transaction's name.
    pub transaction: TransactionId,
    /// Its nonce: the lane's next.
    pub nonce: u64,
    /// The contract it calls.
    pub target: Address,
    /// What it calls it with.
    pub input: Vec<u8>,
    /// The most gas it may use.
    pub gas_limit: u64,
    /// Its first attempt.
    pub attempt: NewAttempt,
    /// The change of each payment that it carries, in the order of the calls.
    pub changes: Vec<Change>,
}

/// What became of a round.
#[derive(Clone, Debug)]
pub enum Stored {
    /// It is committed and may be sent.
    Committed(Advance),
    /// Nothing was stored: somebody else has the signer now.
    LeaseLost,
    /// Nothing was stored: the signer's next nonce is this one.
    NonceMoved(u64),
    /// Nothing was stored: these payments moved meanwhile.
    Overtaken(Vec<PaymentId>),
}

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

/// Stored bytes.
#[derive(Clone, Debug)]
pub struct StoredAttempt {
    /// Which attempt: the highest is the newest.
    pub number: u32,
    /// What it does.
    pub kind: AttemptKind,
    /// The transaction's hash.
    pub hash: B256,
    /// The signed transaction as it is sent.
    pub raw: Vec<u8>,
    /// Wei per gas, at most.
    pub max_fee_per_gas: u128,
    /// Wei per gas for the block's producer, at most.
    pub max_priority_fee_per_gas: u128,
    /// The chain's height when it was signed.
    pub signed_at_block: u64,
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

/// What the chain said about a transaction, to be recorded with what follows for its payments.
#[derive(Clone, Debug)]
pub struct FollowUp {
    /// The transaction.
    pub transaction: TransactionId,
    /// Where it stood when the chain was asked.
    pub from: TransactionState,
    /// Where it stands now.
    pub to: TransactionState,
    /// What follows for its payments.
    pub changes: Vec<Change>,
}

impl AttemptKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Payload => "payload",
            Self::Filler => "filler",
        }
    }
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
    /// Stores a round: the transaction, its bytes, its items, and each payment's submission, under
    /// the lane's lease and next nonce; all of it or nothing.
    ///
    /// # Errors
    /// [`StoreError`] when nothing was committed, or, after a lost connection, when that is
    /// unknown: nothing may be sent, and a new lease finds out what is stored.
    pub async fn store_round(
        &self,
        lane: &Lane,
        round: Round,
        now: Timestamp,
    ) -> Result<Stored, StoreError> {
        let mut tx = self.pool.begin().await?;
        let Some(next) = hold(&mut tx, lane).await? else {
            return Ok(Stored::LeaseLost);
        };
        if next != round.nonce {
            return Ok(Stored::NonceMoved(next));
        }
        sqlx::query!(
            "update signers set next_nonce = next_nonce + 1 where id = $1",
            lane.signer.uuid(),
        )
        .execute(&mut *tx)
        .await?;
        insert_transaction(&mut tx, lane, &round, now).await?;
        insert_attempt(&mut tx, round.transaction, 1, &round.attempt, now).await?;
        let payments: Vec<PaymentId> =
            round.changes.iter().map(|change| change.payment.id).collect();
        let advance = advance(&mut tx, round.changes, now).await?;
        let overtaken: Vec<PaymentId> = payments
            .iter()
            .zip(&advance.outcomes)
            .filter(|(_, outcome)| !matches!(outcome, Advanced::Moved(_)))
            .map(|(id, _)| *id)
            .collect();
        if !overtaken.is_empty() {
            return Ok(Stored::Overtaken(overtaken));
        }
        insert_items(&mut tx, round.transaction, &payments).await?;
        tx.commit().await?;
        Ok(Stored::Committed(advance))
    }

    /// Stores another attempt for an open transaction's nonce; false when the lease was lost or
    /// the transaction is not open any more, and then it must not be sent.
    ///
    /// # Errors
    /// [`StoreError`] when that is unknown: it must not be sent.
    pub async fn store_attempt(
        &self,
        lane: &Lane,
        transaction: TransactionId,
        attempt: &NewAttempt,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin().await?;
        if hold(&mut tx, lane).await?.is_none() {
            return Ok(false);
        }
        let newest = sqlx::query_scalar!(
            r#"select max(a.number) as "newest!"
               from chain_transactions t join transaction_attempts a on a.transaction_id = t.id
               where t.id = $1 and t.state = 'open' group by t.id"#,
            transaction.uuid(),
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(newest) = newest else {
            return Ok(false);
        };
        insert_attempt(&mut tx, transaction, newest.saturating_add(1), attempt, now).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Stores a filler for a nonce below the next one that nothing was ever stored for; false when
    /// the lease was lost, and then it must not be sent.
    ///
    /// # Errors
    /// [`StoreError`] when that is unknown: it must not be sent.
    pub async fn store_filler(
        &self,
        lane: &Lane,
        round: Round,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin().await?;
        if hold(&mut tx, lane).await?.is_none() {
            return Ok(false);
        }
        insert_transaction(&mut tx, lane, &round, now).await?;
        insert_attempt(&mut tx, round.transaction, 1, &round.attempt, now).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Notes what a node said when the attempt of this hash was sent to it.
    ///
    /// # Errors
    /// [`StoreError`] when it was not noted, which harms nothing.
    pub async fn note_broadcast(
        &self,
        attempt: B256,
        answer: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "update transaction_attempts set broadcast_at = $2, answer = $3 where hash = $1",
            attempt.as_slice(),
            now.to_datetime(),
            answer,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

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

    async fn attempts(
        &self,
        transactions: &[Uuid],
    ) -> Result<HashMap<Uuid, Vec<StoredAttempt>>, StoreError> {
        let rows = sqlx::query!(
            r#"select transaction_id, number, kind, hash, raw, signed_at_block,
                      max_fee_per_gas::text as "max_fee!",
                      max_priority_fee_per_gas::text as "priority_fee!"
               from transaction_attempts where transaction_id = any($1)
               order by transaction_id, number"#,
            transactions,
        )
        .fetch_all(&self.pool)
        .await?;
        let mut attempts: HashMap<Uuid, Vec<StoredAttempt>> = HashMap::new();
        for row in rows {
            attempts.entry(row.transaction_id).or_default().push(StoredAttempt {
                number: crate::row::count(row.number)?,
                kind: match row.kind.as_str() {
                    "payload" => AttemptKind::Payload,
                    "filler" => AttemptKind::Filler,
                    _ => return Err(unreadable("kind of attempt")),
                },
                hash: hash(&row.hash)?,
                raw: row.raw,
                max_fee_per_gas: parse(&row.max_fee, "fee")?,
                max_priority_fee_per_gas: parse(&row.priority_fee, "fee")?,
                signed_at_block: unsigned(row.signed_at_block)?,
            });
        }
        Ok(attempts)
    }

    async fn items(
        &self,
        transactions: &[Uuid],
    ) -> Result<HashMap<Uuid, Vec<PaymentId>>, StoreError> {
        let rows = sqlx::query!(
            "select transaction_id, payment_id from transaction_items
             where transaction_id = any($1) order by transaction_id, position",
            transactions,
        )
        .fetch_all(&self.pool)
        .await?;
        let mut items: HashMap<Uuid, Vec<PaymentId>> = HashMap::new();
        for row in rows {
            items.entry(row.transaction_id).or_default().push(PaymentId::new(row.payment_id));
        }
        Ok(items)
    }

    /// Records what the chain said about a transaction, and what follows for its payments,
    /// together; `None` when the transaction does not stand where it stood, and then nothing was
    /// recorded.
    ///
    /// # Errors
    /// [`StoreError`] when nothing was committed, or that is unknown: look again.
    pub async fn follow_up(
        &self,
        follow_up: FollowUp,
        now: Timestamp,
    ) -> Result<Option<Advance>, StoreError> {
        let FollowUp { transaction, from, to, changes } = follow_up;
        let mut tx = self.pool.begin().await?;
        let block = to.block();
        let done = sqlx::query!(
            "update chain_transactions
             set state = $2, mined_hash = $3, block_number = $4, block_hash = $5, updated_at = $6
             where id = $1 and state = $7 and block_hash is not distinct from $8",
            transaction.uuid(),
            to.name(),
            block.map(|(mined, _, _)| mined.to_vec()),
            block.map(|(_, number, _)| signed(number)),
            block.map(|(_, _, hash)| hash.to_vec()),
            now.to_datetime(),
            from.name(),
            from.block().map(|(_, _, hash)| hash.to_vec()),
        )
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(None);
        }
        let advance = advance(&mut tx, changes, now).await?;
        // An item is open exactly as long as its payment rests on this transaction.
        sqlx::query!(
            "update transaction_items i set open = false
             from payments p
             where i.transaction_id = $1 and i.open and p.id = i.payment_id
               and p.transaction_id is distinct from i.transaction_id",
            transaction.uuid(),
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Some(advance))
    }

    /// The newest hash of each of these transactions.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn newest_hashes(
        &self,
        transactions: &[TransactionId],
    ) -> Result<HashMap<TransactionId, B256>, StoreError> {
        let ids: Vec<Uuid> = transactions.iter().map(|id| id.uuid()).collect();
        let rows = sqlx::query!(
            "select distinct on (transaction_id) transaction_id, hash from transaction_attempts
             where transaction_id = any($1) order by transaction_id, number desc",
            &ids,
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| Ok((TransactionId::new(row.transaction_id), hash(&row.hash)?)))
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

async fn insert_transaction(
    tx: &mut PgTransaction<'_>,
    lane: &Lane,
    round: &Round,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into chain_transactions (
             id, signer_id, chain_id, nonce, target, input, gas_limit, state, signed_at_block,
             created_at, updated_at
         )
         values ($1, $2, $3, $4, $5, $6, $7, 'open', $8, $9, $9)",
        round.transaction.uuid(),
        lane.signer.uuid(),
        lane.chain.as_i64(),
        signed(round.nonce),
        round.target.as_slice(),
        round.input,
        signed(round.gas_limit),
        signed(round.attempt.signed_at_block),
        now.to_datetime(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn insert_attempt(
    tx: &mut PgTransaction<'_>,
    transaction: TransactionId,
    number: i32,
    attempt: &NewAttempt,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into transaction_attempts (
             transaction_id, number, kind, hash, raw, max_fee_per_gas, max_priority_fee_per_gas,
             signed_at_block, created_at
         )
         values ($1, $2, $3, $4, $5, $6::text::numeric, $7::text::numeric, $8, $9)",
        transaction.uuid(),
        number,
        attempt.kind.as_str(),
        attempt.hash.as_slice(),
        attempt.raw,
        attempt.max_fee_per_gas.to_string(),
        attempt.max_priority_fee_per_gas.to_string(),
        signed(attempt.signed_at_block),
        now.to_datetime(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn insert_items(
    tx: &mut PgTransaction<'_>,
    transaction: TransactionId,
    payments: &[PaymentId],
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = payments.iter().map(|id| id.uuid()).collect();
    let positions: Vec<i32> =
        (0..payments.len()).map(|at| i32::try_from(at).unwrap_or(i32::MAX)).collect();
    sqlx::query!(
        "insert into transaction_items (transaction_id, position, payment_id, open)
         select $1, position, payment_id, true
         from unnest($2::integer[], $3::uuid[]) as new (position, payment_id)",
        transaction.uuid(),
        &positions,
        &ids,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
