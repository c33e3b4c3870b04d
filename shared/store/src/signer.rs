//! Signers, and the leases under which their nonces are handed out.

use std::time::Duration;

use domain::{Address, ChainId, SignerId, Timestamp};
use sqlx::PgTransaction;
use uuid::Uuid;

use crate::row::{address, chain, moment, signed, unsigned};
use crate::{Store, StoreError};

/// A signer under lease: its holder alone hands out the signer's nonces.
///
/// Leases are judged by the database's clock, the one that all holders share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane {
    /// The signer.
    pub signer: SignerId,
    /// The network it signs for.
    pub chain: ChainId,
    /// Its address.
    pub address: Address,
    /// Who holds the lease.
    pub owner: Uuid,
    /// Which lease this is; every write under it says so.
    pub epoch: i64,
    /// The nonce of the next transaction, as of the moment the lease was taken.
    pub next_nonce: u64,
}

/// Which signers somebody would like to lease.
#[derive(Clone, Debug)]
pub struct LaneRequest {
    /// Who.
    pub owner: Uuid,
    /// On which network.
    pub chain: ChainId,
    /// Any of these, whose keys it has.
    pub addresses: Vec<Address>,
    /// At most so many.
    pub limit: i64,
    /// For so long, until it is renewed.
    pub lease: Duration,
}

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
    /// Who holds it, and until when.
    pub lease: Option<(Uuid, Timestamp)>,
    /// How often it changed hands.
    pub epoch: i64,
    /// Why it is not used, if it is not.
    pub paused_reason: Option<String>,
}

impl Store {
    /// Makes a signer known, if it is not.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot take it.
    pub async fn register_signer(
        &self,
        id: SignerId,
        chain: ChainId,
        address: Address,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into signers (id, chain_id, address) values ($1, $2, $3)
             on conflict on constraint signers_one_address do nothing",
            id.uuid(),
            chain.as_i64(),
            address.as_slice(),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Leases up to as many of these signers as wanted, that nobody holds and nobody paused.
    ///
    /// # Errors
    /// [`StoreError`] when nothing was leased, or that is unknown: the leases then run out.
    pub async fn take_lanes(&self, wanted: &LaneRequest) -> Result<Vec<Lane>, StoreError> {
        let addresses: Vec<Vec<u8>> =
            wanted.addresses.iter().map(|address| address.to_vec()).collect();
        let rows = sqlx::query!(
            // Set apart, because a subquery could be run more than once, and take more each time.
            "with free as (
                 select id from signers
                 where chain_id = $3 and address = any($4) and paused_reason is null
                   and (lease_until is null or lease_until < now())
                 order by id limit $5 for update skip locked
             )
             update signers s
             set lease_owner = $1, lease_epoch = lease_epoch + 1,
                 lease_until = now() + make_interval(secs => $2)
             from free where s.id = free.id
             returning s.id, s.chain_id, s.address, s.lease_epoch, s.next_nonce",
            wanted.owner,
            wanted.lease.as_secs_f64(),
            wanted.chain.as_i64(),
            &addresses,
            wanted.limit,
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(Lane {
                    signer: SignerId::new(row.id),
                    chain: chain(row.chain_id)?,
                    address: address(&row.address)?,
                    owner: wanted.owner,
                    epoch: row.lease_epoch,
                    next_nonce: unsigned(row.next_nonce)?,
                })
            })
            .collect()
    }

    /// Prolongs a lease; false when it was lost, or the signer was paused.
    ///
    /// # Errors
    /// [`StoreError`] when that is unknown: the holder must stop when the lease would have ended.
    pub async fn renew_lane(&self, lane: &Lane, lease: Duration) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "update signers set lease_until = now() + make_interval(secs => $3)
             where id = $1 and lease_epoch = $2 and lease_owner = $4 and paused_reason is null",
            lane.signer.uuid(),
            lane.epoch,
            lease.as_secs_f64(),
            lane.owner,
        )
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Gives a lease back, if it is still held.
    ///
    /// # Errors
    /// [`StoreError`] when that is unknown: the lease then runs out.
    pub async fn release_lane(&self, lane: &Lane) -> Result<(), StoreError> {
        sqlx::query!(
            "update signers set lease_owner = null, lease_until = null
             where id = $1 and lease_epoch = $2 and lease_owner = $3",
            lane.signer.uuid(),
            lane.epoch,
            lane.owner,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Raises the signer's next nonce to at least `chain_next`, what the chain expects, and to
    /// above every nonce ever stored; `None` when the lease was lost.
    ///
    /// # Errors
    /// [`StoreError`] when nothing changed.
    pub async fn align_nonce(
        &self,
        lane: &Lane,
        chain_next: u64,
    ) -> Result<Option<u64>, StoreError> {
        let mut tx = self.pool.begin().await?;
        if hold(&mut tx, lane).await?.is_none() {
            return Ok(None);
        }
        let next = sqlx::query_scalar!(
            r#"update signers set next_nonce = greatest(next_nonce, $2, (
                   select coalesce(max(nonce) + 1, 0) from chain_transactions where signer_id = $1
               ))
               where id = $1 returning next_nonce"#,
            lane.signer.uuid(),
            signed(chain_next),
        )
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        unsigned(next).map(Some)
    }

    /// Takes a signer out of use, for this reason.
    ///
    /// # Errors
    /// [`StoreError`] when nothing changed.
    pub async fn pause_signer(&self, id: SignerId, reason: &str) -> Result<(), StoreError> {
        sqlx::query!("update signers set paused_reason = $2 where id = $1", id.uuid(), reason)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Puts a signer back into use.
    ///
    /// # Errors
    /// [`StoreError`] when nothing changed.
    pub async fn resume_signer(&self, id: SignerId) -> Result<(), StoreError> {
        sqlx::query!("update signers set paused_reason = null where id = $1", id.uuid())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Every signer there is.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn list_signers(&self) -> Result<Vec<SignerRow>, StoreError> {
        let rows = sqlx::query!(
            "select id, chain_id, address, next_nonce, lease_owner, lease_until, lease_epoch,
                    paused_reason
             from signers order by chain_id, id",
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
                    lease: row.lease_owner.zip(row.lease_until.map(moment)),
                    epoch: row.lease_epoch,
                    paused_reason: row.paused_reason,
                })
            })
            .collect()
    }
}

/// Locks the signer's row if the lease still holds, and says which nonce is next.
pub(crate) async fn hold(
    tx: &mut PgTransaction<'_>,
    lane: &Lane,
) -> Result<Option<u64>, StoreError> {
    let next = sqlx::query_scalar!(
        "select next_nonce from signers
         where id = $1 and lease_epoch = $2 and lease_owner = $3 and lease_until > now()
         for update",
        lane.signer.uuid(),
        lane.epoch,
        lane.owner,
    )
    .fetch_optional(&mut **tx)
    .await?;
    next.map(unsigned).transpose()
}
