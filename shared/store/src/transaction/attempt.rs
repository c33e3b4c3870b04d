//! Attempts: every set of bytes that was signed for a transaction's nonce.

use std::collections::HashMap;

use domain::{B256, Timestamp, TransactionId};
use sqlx::PgTransaction;
use uuid::Uuid;

use crate::row::{count, hash, parse, signed, unreadable, unsigned};
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

impl AttemptKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Payload => "payload",
            Self::Filler => "filler",
        }
    }
}

impl Store {
    /// Stores another attempt for an open transaction's nonce; false when the lease was lost or
    /// the transaction is not an open one of this signer, and then it must not be sent.
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
               where t.id = $1 and t.signer_id = $2 and t.state = 'open' group by t.id"#,
            transaction.uuid(),
            lane.signer.uuid(),
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

    pub(super) async fn attempts(
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
                number: count(row.number)?,
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
}

pub(super) async fn insert_attempt(
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
