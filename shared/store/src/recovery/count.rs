//! What a recovery would put on its way.

use super::RecoverySpec;
use crate::row::{first_id, unsigned};
use crate::{Store, StoreError};

/// How much a recovery would put on its way, each counted up to the caller's bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryCount {
    /// Deliveries that would be made again.
    pub again: u64,
    /// Events of which the endpoint was never told.
    pub untold: u64,
}

impl Store {
    /// How much such a recovery would put on its way now.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn count_recovery(
        &self,
        spec: &RecoverySpec,
        most: i64,
    ) -> Result<RecoveryCount, StoreError> {
        let again = sqlx::query_scalar!(
            r#"select count(*) as "count!" from (
                   select from webhook_deliveries
                   where endpoint_id = $1 and account_id = $2 and id > $3
                     and created_at >= $4 and created_at < $5 and kind <> 'test'
                     and (state in ('exhausted', 'aborted') or ($6 and state = 'delivered'))
                   limit $7
               ) found"#,
            spec.endpoint.uuid(),
            spec.account.uuid(),
            first_id(spec.since),
            spec.since.to_datetime(),
            spec.until.to_datetime(),
            spec.delivered_too,
            most,
        )
        .fetch_one(&self.pool)
        .await?;
        let untold = if spec.untold_too { self.count_untold(spec, most).await? } else { 0 };
        Ok(RecoveryCount { again: unsigned(again)?, untold: unsigned(untold)? })
    }

    async fn count_untold(&self, spec: &RecoverySpec, most: i64) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"select count(*) as "count!" from (
                   select from payment_events p
                   join webhook_endpoints e on e.id = $1 and p.type = any(e.event_types)
                   where p.account_id = $2 and p.at >= $4 and p.at < $5
                     and p.written_by >= coalesce((
                         select min(written_by::text::bigint)::text::xid8 from (
                             select written_by from payment_events
                             where id >= $3 order by id limit 1000
                         ) then_on
                     ), '0')
                     and not exists (
                         select from webhook_deliveries d
                         where d.event_id = p.id and d.endpoint_id = $1
                     )
                   limit $6
               ) found"#,
            spec.endpoint.uuid(),
            spec.account.uuid(),
            first_id(spec.since),
            spec.since.to_datetime(),
            spec.until.to_datetime(),
            most,
        )
        .fetch_one(&self.pool)
        .await?)
    }
}
