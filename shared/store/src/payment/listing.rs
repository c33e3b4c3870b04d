//! Payments as their seller sees them: page by page.

use domain::{AccountId, Address, B256, ChainId, Payment, PaymentId, StateName, Timestamp};
use time::OffsetDateTime;
use uuid::Uuid;

use super::load;
use crate::row::{first_id, last_id};
use crate::{Store, StoreError};

/// Which payments of an account to list, newest first.
#[derive(Clone, Debug, Default)]
pub struct PaymentFilter {
    /// In this state.
    pub state: Option<StateName>,
    /// From this payer.
    pub payer: Option<Address>,
    /// On this network.
    pub chain: Option<ChainId>,
    /// With this reference.
    pub reference: Option<String>,
    /// Paid by this transaction.
    pub tx_hash: Option<B256>,
    /// With this nonce.
    pub nonce: Option<B256>,
    /// Accepted then or later.
    pub created_gte: Option<Timestamp>,
    /// Accepted before then.
    pub created_lt: Option<Timestamp>,
    /// Submitted before this one: the keyset of the page.
    pub before: Option<PaymentId>,
}

/// A filter's columns, none where it does not matter.
struct Columns<'a> {
    state: Option<&'static str>,
    payer: Option<&'a [u8]>,
    chain: Option<i64>,
    reference: Option<&'a str>,
    tx_hash: Option<&'a [u8]>,
    nonce: Option<&'a [u8]>,
    created_gte: Option<OffsetDateTime>,
    created_lt: Option<OffsetDateTime>,
    /// Between these ids, which follow the time of acceptance.
    from: Uuid,
    before: Option<Uuid>,
}

impl<'a> Columns<'a> {
    fn of(filter: &'a PaymentFilter) -> Self {
        Self {
            state: filter.state.map(StateName::as_str),
            payer: filter.payer.as_ref().map(|payer| payer.as_slice()),
            chain: filter.chain.map(ChainId::as_i64),
            reference: filter.reference.as_deref(),
            tx_hash: filter.tx_hash.as_ref().map(|hash| hash.as_slice()),
            nonce: filter.nonce.as_ref().map(|nonce| nonce.as_slice()),
            created_gte: filter.created_gte.map(Timestamp::to_datetime),
            created_lt: filter.created_lt.map(Timestamp::to_datetime),
            from: filter.created_gte.map_or(Uuid::nil(), first_id),
            before: [filter.before.map(PaymentId::uuid), filter.created_lt.map(last_id)]
                .into_iter()
                .flatten()
                .min(),
        }
    }
}

impl Store {
    /// A page of an account's payments, newest first.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn list_payments(
        &self,
        account: AccountId,
        filter: &PaymentFilter,
        limit: i64,
    ) -> Result<Vec<Payment>, StoreError> {
        let (account, columns) = (account.uuid(), Columns::of(filter));
        let ids = match filter.state {
            None | Some(StateName::Settled) => self.page_of_all(account, columns, limit).await?,
            Some(
                StateName::Accepted
                | StateName::Approved
                | StateName::Submitted
                | StateName::Confirmed,
            ) => self.page_of_open(account, columns, limit).await?,
            Some(
                StateName::Held
                | StateName::Rejected
                | StateName::Canceled
                | StateName::Expired
                | StateName::Failed,
            ) => self.page_of_astray(account, columns, limit).await?,
        };
        let mut payments = load(&self.pool, &ids).await?;
        payments.sort_by_key(|payment| std::cmp::Reverse(payment.id));
        Ok(payments)
    }

    /// Out of everything that the account ever had; nearly all of it is settled.
    async fn page_of_all(
        &self,
        account: Uuid,
        columns: Columns<'_>,
        limit: i64,
    ) -> Result<Vec<Uuid>, sqlx::Error> {
        sqlx::query_scalar!(
            "select id from payments
             where account_id = $1
               and ($2::text is null or state = $2)
               and ($3::bytea is null or payer = $3)
               and ($4::bigint is null or chain_id = $4)
               and ($5::text is null or reference = $5)
               and ($6::bytea is null or tx_hash = $6)
               and ($7::uuid is null or id < $7)
               and ($9::bytea is null or nonce = $9)
               and id >= $10 and ($11::timestamptz is null or created_at >= $11)
               and ($12::timestamptz is null or created_at < $12)
             order by id desc limit $8",
            account,
            columns.state,
            columns.payer,
            columns.chain,
            columns.reference,
            columns.tx_hash,
            columns.before,
            limit,
            columns.nonce,
            columns.from,
            columns.created_gte,
            columns.created_lt,
        )
        .fetch_all(&self.pool)
        .await
    }

    /// Out of what is under way. There is little of that at a time, whoever's it is; the fence keeps
    /// the planner from looking for it among everything that the account ever had.
    async fn page_of_open(
        &self,
        account: Uuid,
        columns: Columns<'_>,
        limit: i64,
    ) -> Result<Vec<Uuid>, sqlx::Error> {
        sqlx::query_scalar!(
            "select id from (select * from payments where due_at is not null offset 0) open
             where account_id = $1 and state = $2
               and ($3::bytea is null or payer = $3)
               and ($4::bigint is null or chain_id = $4)
               and ($5::text is null or reference = $5)
               and ($6::bytea is null or tx_hash = $6)
               and ($7::uuid is null or id < $7)
               and ($9::bytea is null or nonce = $9)
               and id >= $10 and ($11::timestamptz is null or created_at >= $11)
               and ($12::timestamptz is null or created_at < $12)
             order by id desc limit $8",
            account,
            columns.state,
            columns.payer,
            columns.chain,
            columns.reference,
            columns.tx_hash,
            columns.before,
            limit,
            columns.nonce,
            columns.from,
            columns.created_gte,
            columns.created_lt,
        )
        .fetch_all(&self.pool)
        .await
    }

    /// Out of what has left the usual way, which has an index of its own.
    async fn page_of_astray(
        &self,
        account: Uuid,
        columns: Columns<'_>,
        limit: i64,
    ) -> Result<Vec<Uuid>, sqlx::Error> {
        sqlx::query_scalar!(
            "select id from payments
             where account_id = $1 and state = $2
               and state in ('held', 'rejected', 'canceled', 'expired', 'failed')
               and ($3::bytea is null or payer = $3)
               and ($4::bigint is null or chain_id = $4)
               and ($5::text is null or reference = $5)
               and ($6::bytea is null or tx_hash = $6)
               and ($7::uuid is null or id < $7)
               and ($9::bytea is null or nonce = $9)
               and id >= $10 and ($11::timestamptz is null or created_at >= $11)
               and ($12::timestamptz is null or created_at < $12)
             order by id desc limit $8",
            account,
            columns.state,
            columns.payer,
            columns.chain,
            columns.reference,
            columns.tx_hash,
            columns.before,
            limit,
            columns.nonce,
            columns.from,
            columns.created_gte,
            columns.created_lt,
        )
        .fetch_all(&self.pool)
        .await
    }
}
