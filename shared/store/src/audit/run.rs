//! Who makes the regular audit of a network, and what came of the last one.
//!
//! Leases and intervals are judged by the database's clock, the one that all reconcilers share.

use std::time::Duration;

use domain::{ChainId, Timestamp};
use uuid::Uuid;

use super::BlockRange;
use crate::row::{moment, signed, unsigned};
use crate::{Store, StoreError};

/// The right to make the next audit of a network, while the lease lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditClaim {
    run: Uuid,
    owner: Uuid,
    /// The last block of the audit before, if there was one.
    pub since: Option<u64>,
}

/// What an audit looked at and found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditResult {
    /// The blocks.
    pub range: BlockRange,
    /// Whether the last of them was the newest final one; if not, the next audit is due at once.
    pub caught_up: bool,
    /// Settled payments that were looked at.
    pub payments: u64,
    /// Uses of authorizations that were looked at.
    pub uses: u64,
    /// How often ledger and chain differ.
    pub differences: u64,
}

/// The newest audit of a network that was finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastAudit {
    /// The last block it looked at.
    pub to: u64,
    /// When it was finished.
    pub finished_at: Timestamp,
}

impl Store {
    /// Claims the audit of a network for `lease`, if it is due and nobody is making it: when the
    /// last one was finished `interval` ago or did not catch up, or somebody's lease on an
    /// unfinished one has run out.
    ///
    /// # Errors
    /// [`StoreError`] when nothing was claimed, or that is unknown: the lease then runs out.
    pub async fn claim_audit(
        &self,
        chain: ChainId,
        owner: Uuid,
        interval: Duration,
        lease: Duration,
    ) -> Result<Option<AuditClaim>, StoreError> {
        let taken_over = sqlx::query_scalar!(
            "update audit_runs set owner = $2, lease_until = now() + make_interval(secs => $3)
             where chain_id = $1 and finished_at is null and lease_until <= now() returning id",
            chain.as_i64(),
            owner,
            lease.as_secs_f64(),
        )
        .fetch_optional(&self.pool)
        .await?;
        let run = match taken_over {
            Some(run) => Some(run),
            None => self.open_audit(chain, owner, interval, lease).await?,
        };
        let Some(run) = run else { return Ok(None) };
        let since = self.last_audit(chain).await?.map(|last| last.to);
        Ok(Some(AuditClaim { run, owner, since }))
    }

    async fn open_audit(
        &self,
        chain: ChainId,
        owner: Uuid,
        interval: Duration,
        lease: Duration,
    ) -> Result<Option<Uuid>, StoreError> {
        let mut tx = self.pool.begin().await?;
        let opened = sqlx::query_scalar!(
            "insert into audit_runs (id, chain_id, owner, lease_until, started_at)
             values (gen_random_uuid(), $1, $2, now() + make_interval(secs => $3), now())
             on conflict (chain_id) where finished_at is null do nothing
             returning id",
            chain.as_i64(),
            owner,
            lease.as_secs_f64(),
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(run) = opened else { return Ok(None) };
        // Judged only now, when nobody else can open one: while the insert waited, the audit that
        // it waited for may have been finished.
        let due = sqlx::query_scalar!(
            r#"select coalesce((
                   select not caught_up or finished_at <= now() - make_interval(secs => $2)
                   from audit_runs where chain_id = $1 and finished_at is not null
                   order by finished_at desc limit 1
               ), true) as "due!""#,
            chain.as_i64(),
            interval.as_secs_f64(),
        )
        .fetch_one(&mut *tx)
        .await?;
        if !due {
            return Ok(None);
        }
        tx.commit().await?;
        Ok(Some(run))
    }

    /// Prolongs a claim; false when somebody else took it over or finished it.
    ///
    /// # Errors
    /// [`StoreError`] when that is unknown: the lease may run out.
    pub async fn renew_audit(
        &self,
        claim: &AuditClaim,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "update audit_runs set lease_until = now() + make_interval(secs => $3)
             where id = $1 and owner = $2 and finished_at is null",
            claim.run,
            claim.owner,
            lease.as_secs_f64(),
        )
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Records what an audit found; false when somebody else took it over meanwhile.
    ///
    /// # Errors
    /// [`StoreError`] when that is unknown: it may have to be made again.
    pub async fn finish_audit(
        &self,
        claim: &AuditClaim,
        result: &AuditResult,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "update audit_runs
             set finished_at = now(), from_block = $3, to_block = $4, caught_up = $5,
                 payments = $6, uses = $7, differences = $8
             where id = $1 and owner = $2 and finished_at is null",
            claim.run,
            claim.owner,
            signed(result.range.from),
            signed(result.range.to),
            result.caught_up,
            signed(result.payments),
            signed(result.uses),
            signed(result.differences),
        )
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// The newest audit of a network that was finished.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn last_audit(&self, chain: ChainId) -> Result<Option<LastAudit>, StoreError> {
        let row = sqlx::query!(
            r#"select to_block as "to_block!", finished_at as "finished_at!" from audit_runs
               where chain_id = $1 and finished_at is not null
               order by finished_at desc limit 1"#,
            chain.as_i64(),
        )
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| {
            Ok(LastAudit { to: unsigned(row.to_block)?, finished_at: moment(row.finished_at) })
        })
        .transpose()
    }
}
