//! What the chain says about a transaction, recorded with what follows.

use domain::{Timestamp, TransactionId};

use super::TransactionState;
use crate::advance::{Advance, Change, advance};
use crate::row::signed;
use crate::{Store, StoreError};

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

impl Store {
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
        tx.commit().await?;
        Ok(Some(advance))
    }
}
