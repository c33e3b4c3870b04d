//! Signers, and the leases under which their nonces are handed out.

mod event;
mod registry;

use std::time::Duration;

use domain::{Address, ChainId, SignerId};
use sqlx::PgTransaction;
use uuid::Uuid;

use self::event::note;
pub use self::event::{SignerEvent, SignerEventRow};
pub use self::registry::SignerRow;
use crate::row::{address, chain, signed, unsigned};
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
    /// Whether an operator had taken the signer out of use at that moment.
    pub paused: bool,
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
    /// At most so many to work with. Paused ones come on top: whoever takes them only follows what
    /// they have sent.
    pub limit: i64,
    /// For so long, until it is renewed.
    pub lease: Duration,
}

/// What became of a lease that was to be prolonged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// It was prolonged.
    Held {
        /// Whether an operator has taken the signer out of use: then only what it has sent is
        /// followed.
        paused: bool,
    },
    /// Somebody else holds the signer, or nobody.
    Lost,
}

impl Store {
    /// Leases up to as many of these signers as wanted, that nobody holds and nobody paused: first
    /// those that have something to be followed. On top of that, all paused ones that have.
    ///
    /// # Errors
    /// [`StoreError`] when nothing was leased, or that is unknown: the leases then run out.
    pub async fn take_lanes(&self, wanted: &LaneRequest) -> Result<Vec<Lane>, StoreError> {
        let addresses: Vec<Vec<u8>> =
            wanted.addresses.iter().map(|address| address.to_vec()).collect();
        let mut tx = self.pool.begin().await?;
        let rows = sqlx::query!(
            // Set apart, because a subquery could be run more than once, and take more each time.
            r#"with free as (
                   select id, lease_owner, lease_epoch, paused_reason from signers s
                   where chain_id = $3 and address = any($4) and paused_reason is null
                     and (lease_until is null or lease_until < now())
                   order by not exists (
                       select from chain_transactions t
                       where t.signer_id = s.id and t.state in ('open', 'mined')
                   ), id
                   limit $5 for update skip locked
               ), unfinished as (
                   select id, lease_owner, lease_epoch, paused_reason from signers s
                   where chain_id = $3 and address = any($4) and paused_reason is not null
                     and (lease_until is null or lease_until < now())
                     and exists (
                         select from chain_transactions t
                         where t.signer_id = s.id and t.state in ('open', 'mined')
                     )
                   order by id for update skip locked
               ), taken as (
                   select * from free union all select * from unfinished
               )
               update signers s
               set lease_owner = $1, lease_epoch = s.lease_epoch + 1,
                   lease_until = now() + make_interval(secs => $2)
               from taken where s.id = taken.id
               returning s.id, s.chain_id, s.address, s.lease_epoch, s.next_nonce,
                   taken.paused_reason is not null as "paused!",
                   taken.lease_owner as former_owner, taken.lease_epoch as "former_epoch!""#,
            wanted.owner,
            wanted.lease.as_secs_f64(),
            wanted.chain.as_i64(),
            &addresses,
            wanted.limit,
        )
        .fetch_all(&mut *tx)
        .await?;
        let (mut lanes, mut events) = (Vec::with_capacity(rows.len()), Vec::new());
        for row in rows {
            if let Some(owner) = row.former_owner {
                events.push((row.id, SignerEvent::LeaseLost { owner, epoch: row.former_epoch }));
            }
            let (owner, epoch) = (wanted.owner, row.lease_epoch);
            events.push((row.id, SignerEvent::LeaseTaken { owner, epoch }));
            lanes.push(Lane {
                signer: SignerId::new(row.id),
                chain: chain(row.chain_id)?,
                address: address(&row.address)?,
                owner,
                epoch,
                next_nonce: unsigned(row.next_nonce)?,
                paused: row.paused,
            });
        }
        if !events.is_empty() {
            note(&mut tx, &events).await?;
            tx.commit().await?;
        }
        Ok(lanes)
    }

    /// Prolongs a lease.
    ///
    /// # Errors
    /// [`StoreError`] when that is unknown: the holder must stop when the lease would have ended.
    pub async fn renew_lane(&self, lane: &Lane, lease: Duration) -> Result<Renewal, StoreError> {
        let paused = sqlx::query_scalar!(
            r#"update signers set lease_until = now() + make_interval(secs => $3)
               where id = $1 and lease_epoch = $2 and lease_owner = $4
               returning paused_reason is not null as "paused!""#,
            lane.signer.uuid(),
            lane.epoch,
            lease.as_secs_f64(),
            lane.owner,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(paused.map_or(Renewal::Lost, |paused| Renewal::Held { paused }))
    }

    /// Gives a lease back; false when it is not held any more.
    ///
    /// # Errors
    /// [`StoreError`] when that is unknown: the lease then runs out.
    pub async fn release_lane(&self, lane: &Lane) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin().await?;
        let done = sqlx::query!(
            "update signers set lease_owner = null, lease_until = null
             where id = $1 and lease_epoch = $2 and lease_owner = $3",
            lane.signer.uuid(),
            lane.epoch,
            lane.owner,
        )
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        let event = SignerEvent::LeaseReleased { owner: lane.owner, epoch: lane.epoch };
        note(&mut tx, &[(lane.signer.uuid(), event)]).await?;
        tx.commit().await?;
        Ok(true)
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
