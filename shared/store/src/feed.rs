//! An account's events, one after the other, for readers who must not miss any.

use domain::{
    AccountId, B256, EventId, EventType, FailureCode, PaymentId, Standing, Timestamp,
    TransactionResource,
};
use serde::Deserialize;
use serde_json::Value;
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::row::{count, moment, parse, signed, unreadable, unsigned};
use crate::{Store, StoreError};

/// A place in an account's feed: behind an event, or before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeedPosition {
    /// The number of the transaction that wrote the event.
    pub written_by: u64,
    /// The event among those.
    pub event: Uuid,
}

/// What happened to a payment, and where that stands in the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedEvent {
    /// From here on the next one is read.
    pub position: FeedPosition,
    /// The `webhook-id` by which endpoints were told of it.
    pub id: EventId,
    /// What happened.
    pub kind: EventType,
    /// To which payment.
    pub payment: PaymentId,
    /// How it stood then.
    pub standing: Standing,
}

impl Store {
    /// An account's events behind a position, in the order of the feed: at most `most` of them.
    ///
    /// An event is there as soon as every transaction that began before its own is over. From then
    /// on it is never passed by another: who reads on from the last position misses none, whatever
    /// is committed meanwhile, and in whichever order.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn feed(
        &self,
        account: AccountId,
        after: FeedPosition,
        most: u32,
    ) -> Result<Vec<FeedEvent>, StoreError> {
        page(&self.pool, account, after, most).await
    }

    /// The end of the feed as it is now: every event that is not in it yet comes behind this.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn feed_end(&self) -> Result<FeedPosition, StoreError> {
        end(&self.pool).await
    }

    /// Whether the account has events that are committed but not in the feed yet, because an older
    /// transaction still runs: looking again soon is worth it.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn feed_is_held_back(&self, account: AccountId) -> Result<bool, StoreError> {
        is_held_back(&self.pool, account).await
    }

    /// One event of an account, whether it is in the feed yet or not.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn find_event(
        &self,
        account: AccountId,
        id: EventId,
    ) -> Result<Option<FeedEvent>, StoreError> {
        let row = sqlx::query_as!(
            FeedRow,
            r#"select written_by::text::bigint as "written_by!", id, payment_id, version, type as kind, state, at, detail
               from payment_events
               where id = $1 and account_id = $2"#,
            id.uuid(),
            account.uuid(),
        )
        .fetch_optional(&self.pool)
        .await?;
        row.map(FeedRow::into_event).transpose()
    }
}

/// An account's events behind a position, as [`Store::feed`] gives them.
pub(crate) async fn page(
    executor: impl PgExecutor<'_>,
    account: AccountId,
    after: FeedPosition,
    most: u32,
) -> Result<Vec<FeedEvent>, StoreError> {
    let rows = sqlx::query_as!(
        FeedRow,
        r#"select written_by::text::bigint as "written_by!", id, payment_id, version, type as kind, state, at, detail
           from payment_events
           where account_id = $1 and (written_by, id) > ($2::bigint::text::xid8, $3)
             and written_by < pg_snapshot_xmin(pg_current_snapshot())
           order by written_by, id
           limit $4"#,
        account.uuid(),
        signed(after.written_by),
        after.event,
        i64::from(most),
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(FeedRow::into_event).collect()
}

/// As [`Store::feed_end`].
pub(crate) async fn end(executor: impl PgExecutor<'_>) -> Result<FeedPosition, StoreError> {
    let end = sqlx::query_scalar!(
        r#"select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as "end!""#
    )
    .fetch_one(executor)
    .await?;
    Ok(FeedPosition { written_by: unsigned(end)?, event: Uuid::nil() })
}

/// As [`Store::feed_is_held_back`].
async fn is_held_back(
    executor: impl PgExecutor<'_>,
    account: AccountId,
) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select exists (
               select from payment_events
               where account_id = $1 and written_by >= pg_snapshot_xmin(pg_current_snapshot())
           ) as "held_back!""#,
        account.uuid(),
    )
    .fetch_one(executor)
    .await?)
}

struct FeedRow {
    written_by: i64,
    id: Uuid,
    payment_id: Uuid,
    version: i32,
    kind: String,
    state: String,
    at: time::OffsetDateTime,
    detail: Value,
}

impl FeedRow {
    fn into_event(self) -> Result<FeedEvent, StoreError> {
        let version = count(self.version)?;
        Ok(FeedEvent {
            position: FeedPosition { written_by: unsigned(self.written_by)?, event: self.id },
            id: EventId::new(self.id),
            kind: parse(&self.kind, "event type")?,
            payment: PaymentId::new(self.payment_id),
            standing: standing(&self.state, version, moment(self.at), &self.detail)?,
        })
    }
}

/// What a change brought to light, as far as a payment shows it.
#[derive(Deserialize)]
struct Detail {
    tx_hash: Option<B256>,
    block_number: Option<u64>,
    log_index: Option<u64>,
    failure: Option<String>,
}

/// How a payment stood after a change, from the journal's row of it.
pub(crate) fn standing(
    state: &str,
    version: u32,
    since: Timestamp,
    detail: &Value,
) -> Result<Standing, StoreError> {
    let Detail { tx_hash, block_number, log_index, failure } =
        Detail::deserialize(detail).map_err(|_| unreadable("detail of an event"))?;
    let failure = failure.map(|code| parse::<FailureCode>(&code, "failure code")).transpose()?;
    Ok(Standing {
        status: parse(state, "state")?,
        version,
        since,
        transaction: tx_hash.map(|hash| TransactionResource { hash, block_number, log_index }),
        failure,
    })
}
