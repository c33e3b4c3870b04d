//! Which signers there are, and which of them operators have taken out of use.

use domain::{Address, ChainId, SignerId, Timestamp};
use uuid::Uuid;

use super::event::{SignerEvent, note};
use crate::row::{address, chain, moment, unsigned};
use crate::{Store, StoreError};

/// A signer as operators see it.
#[derive(Clone, Debug)]
pub struct SignerRow {
    /// The signer.
    pub id: SignerId,
    /// The network it signs for.
    pub chain: ChainId,
    /// Its address.
    pub address: Address,
    /// The nonce of the next transaction.
    pub next_nonce: u64,
    /// Its transactions that are not final.
    pub in_flight: u64,
    /// Who holds it, and until when.
    pub lease: Option<(Uuid, Timestamp)>,
    /// How often it changed hands.
    pub epoch: i64,
    /// Why it takes no new work, if an operator said so.
    pub paused_reason: Option<String>,
}

impl Store {
    /// Makes a signer known; false when it is known already, whatever its id.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot take it.
    pub async fn register_signer(
        &self,
        id: SignerId,
        chain: ChainId,
        address: Address,
    ) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin().await?;
        let done = sqlx::query!(
            "insert into signers (id, chain_id, address) values ($1, $2, $3)
             on conflict on constraint signers_one_address do nothing",
            id.uuid(),
            chain.as_i64(),
            address.as_slice(),
        )
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        note(&mut tx, &[(id.uuid(), SignerEvent::Registered)]).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Takes a signer out of use, for this reason: nothing new is stored for it from here on. What
    /// it has sent is followed to the end. False when that was so already.
    ///
    /// # Errors
    /// [`StoreError`] when nothing changed, or, after a lost connection, when that is unknown.
    pub async fn pause_signer(&self, id: SignerId, reason: &str) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin().await?;
        let done = sqlx::query!(
            "update signers set paused_reason = $2
             where id = $1 and paused_reason is distinct from $2",
            id.uuid(),
            reason,
        )
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        let event = SignerEvent::Paused { reason: reason.to_owned() };
        note(&mut tx, &[(id.uuid(), event)]).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Puts a signer back into use; false when it was not paused.
    ///
    /// # Errors
    /// As [`Store::pause_signer`].
    pub async fn resume_signer(&self, id: SignerId) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin().await?;
        let done = sqlx::query!(
            "update signers set paused_reason = null where id = $1 and paused_reason is not null",
            id.uuid(),
        )
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        note(&mut tx, &[(id.uuid(), SignerEvent::Resumed)]).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Every signer there is.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn list_signers(&self) -> Result<Vec<SignerRow>, StoreError> {
        let rows = sqlx::query!(
            r#"select id, chain_id, address, next_nonce, lease_owner, lease_until, lease_epoch,
                      paused_reason,
                      (select count(*) from chain_transactions
                       where signer_id = signers.id and state in ('open', 'mined')) as "in_flight!"
               from signers order by chain_id, id"#,
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(SignerRow {
                    id: SignerId::new(row.id),
                    chain: chain(row.chain_id)?,
                    address: address(&row.address)?,
                    next_nonce: unsigned(row.next_nonce)?,
                    in_flight: unsigned(row.in_flight)?,
                    lease: row.lease_owner.zip(row.lease_until.map(moment)),
                    epoch: row.lease_epoch,
                    paused_reason: row.paused_reason,
                })
            })
            .collect()
    }
}
