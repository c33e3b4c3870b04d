//! Rounds: a signed transaction and the payments it carries, stored together.

use domain::{Address, PaymentId, Timestamp, TransactionId};
use sqlx::PgTransaction;

use super::NewAttempt;
use super::attempt::insert_attempt;
use super::item::insert_items;
use crate::advance::{Advance, Advanced, Change, advance};
use crate::row::signed;
use crate::signer::{Lane, hold};
use crate::{Store, StoreError};

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
    /// Nothing was stored: an operator has taken the signer out of use.
    Paused,
    /// Nothing was stored: the signer's next nonce is this one.
    NonceMoved(u64),
    /// Nothing was stored: these payments moved meanwhile, or are another signer's to send.
    Overtaken(Vec<PaymentId>),
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
        if let Some(refused) = of_others(lane, &round) {
            return Ok(refused);
        }
        let mut tx = self.pool.begin().await?;
        let next = match hold_for_work(&mut tx, lane).await? {
            Ok(next) => next,
            Err(refused) => return Ok(refused),
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
        submit(tx, round, now).await
    }

    /// Stores a round for a nonce below the next one that nothing was ever stored for; otherwise as
    /// [`Store::store_round`].
    ///
    /// # Errors
    /// As [`Store::store_round`].
    pub async fn store_in_hole(
        &self,
        lane: &Lane,
        round: Round,
        now: Timestamp,
    ) -> Result<Stored, StoreError> {
        if let Some(refused) = of_others(lane, &round) {
            return Ok(refused);
        }
        let mut tx = self.pool.begin().await?;
        let next = match hold_for_work(&mut tx, lane).await? {
            Ok(next) => next,
            Err(refused) => return Ok(refused),
        };
        if round.nonce >= next || is_used(&mut tx, lane, round.nonce).await? {
            return Ok(Stored::NonceMoved(next));
        }
        insert_transaction(&mut tx, lane, &round, now).await?;
        insert_attempt(&mut tx, round.transaction, 1, &round.attempt, now).await?;
        submit(tx, round, now).await
    }

    /// Gives the nonce of an open transaction, on which no payment rests any more, to the payments
    /// of this round: it becomes the transaction's payload, and its bytes the next attempt. The gas
    /// limit is never lowered, because an earlier attempt may still be the one that is mined.
    ///
    /// [`Stored::NonceMoved`] when the transaction is not open any more, or carries something.
    ///
    /// # Errors
    /// As [`Store::store_round`].
    pub async fn store_refill(
        &self,
        lane: &Lane,
        round: Round,
        now: Timestamp,
    ) -> Result<Stored, StoreError> {
        if let Some(refused) = of_others(lane, &round) {
            return Ok(refused);
        }
        let mut tx = self.pool.begin().await?;
        let next = match hold_for_work(&mut tx, lane).await? {
            Ok(next) => next,
            Err(refused) => return Ok(refused),
        };
        let newest = sqlx::query_scalar!(
            r#"update chain_transactions t
               set target = $4, input = $5, gas_limit = greatest(gas_limit, $6), updated_at = $7
               where id = $1 and signer_id = $2 and nonce = $3 and state = 'open'
                 and not exists (
                     select from transaction_items i where i.transaction_id = t.id and i.open
                 )
               returning (
                   select max(number) from transaction_attempts a where a.transaction_id = t.id
               ) as "newest!""#,
            round.transaction.uuid(),
            lane.signer.uuid(),
            signed(round.nonce),
            round.target.as_slice(),
            round.input,
            signed(round.gas_limit),
            now.to_datetime(),
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(newest) = newest else {
            return Ok(Stored::NonceMoved(next));
        };
        let number = newest.saturating_add(1);
        insert_attempt(&mut tx, round.transaction, number, &round.attempt, now).await?;
        submit(tx, round, now).await
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
}

/// Refuses a round with payments that another signer alone can make: they would fail on chain.
fn of_others(lane: &Lane, round: &Round) -> Option<Stored> {
    let payments = round.changes.iter().map(|change| &change.payment);
    let others: Vec<PaymentId> = payments
        .filter(|it| it.authorization.method.sender().is_some_and(|by| by != lane.address))
        .map(|payment| payment.id)
        .collect();
    (!others.is_empty()).then_some(Stored::Overtaken(others))
}

/// The signer's next nonce if new work may be stored under this lease, or why nothing is.
async fn hold_for_work(
    tx: &mut PgTransaction<'_>,
    lane: &Lane,
) -> Result<Result<u64, Stored>, StoreError> {
    let Some(next) = hold(tx, lane).await? else { return Ok(Err(Stored::LeaseLost)) };
    // The row is locked by now, so that the answer holds until the commit.
    let paused = sqlx::query_scalar!(
        r#"select paused_reason is not null as "paused!" from signers where id = $1"#,
        lane.signer.uuid(),
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(if paused { Err(Stored::Paused) } else { Ok(next) })
}

/// Moves the round's payments into its transaction and commits; commits nothing when some of them
/// have moved meanwhile.
async fn submit(
    mut tx: PgTransaction<'_>,
    round: Round,
    now: Timestamp,
) -> Result<Stored, StoreError> {
    let payments: Vec<PaymentId> = round.changes.iter().map(|change| change.payment.id).collect();
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

async fn is_used(tx: &mut PgTransaction<'_>, lane: &Lane, nonce: u64) -> Result<bool, StoreError> {
    let used = sqlx::query_scalar!(
        r#"select exists (
               select from chain_transactions where signer_id = $1 and nonce = $2
           ) as "used!""#,
        lane.signer.uuid(),
        signed(nonce),
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(used)
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
