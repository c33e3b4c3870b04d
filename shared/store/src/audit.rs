//! What the audit compares with the chain, and the audits that were made.

mod run;

use std::collections::HashSet;

use domain::{Address, B256, ChainId, Payment, PaymentId, TransactionId};
use uuid::Uuid;

pub use self::run::{AuditClaim, AuditResult, LastAudit};
use crate::payment::load;
use crate::row::{hash, signed, unreadable, unsigned};
use crate::{Store, StoreError};

/// Some blocks of a network, the first and the last included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRange {
    /// The network.
    pub chain: ChainId,
    /// The height of the first.
    pub from: u64,
    /// The height of the last.
    pub to: u64,
}

/// Something that the ledger says happened in a block.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// The height of the block.
    pub block_number: u64,
    /// Which row says so.
    id: Uuid,
    /// What happened.
    pub fact: RecordedFact,
}

/// What the ledger says happened.
#[derive(Clone, Debug, PartialEq)]
pub enum RecordedFact {
    /// A payment was settled.
    Settled(Box<Payment>),
    /// A transaction of ours was mined.
    Mined(MinedTransaction),
}

/// A transaction of ours that the ledger knows to be in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinedTransaction {
    /// Its name.
    pub id: TransactionId,
    /// The attempt that was mined.
    pub hash: B256,
    /// The block's height.
    pub block_number: u64,
    /// The block's hash.
    pub block_hash: B256,
    /// The most gas it may have used.
    pub gas_limit: u64,
}

/// Settled payments that name the same place on chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedPlace {
    /// The transaction.
    pub tx_hash: B256,
    /// Where in its block's logs.
    pub log_index: u64,
    /// The payments: two or more.
    pub payments: Vec<PaymentId>,
}

/// An authorization without what it authorizes: asset, payer, nonce.
pub type AuthorizationKey = (Address, Address, B256);

impl Store {
    /// Up to `limit` payments settled and transactions mined in these blocks, in the order of the
    /// blocks, from behind `after` on: the last of the page before.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn recorded_in(
        &self,
        range: BlockRange,
        after: Option<&Recorded>,
        limit: i64,
    ) -> Result<Vec<Recorded>, StoreError> {
        let (block, id) = after
            .map_or((signed(range.from), Uuid::nil()), |last| (signed(last.block_number), last.id));
        let rows = sqlx::query!(
            r#"(select block_number as "block_number!", id as "id!", true as "is_payment!"
                from payments
                where chain_id = $1 and block_number is not null and block_number <= $2
                  and (block_number, id) > ($3, $4) and state = 'settled'
                order by block_number, id limit $5)
               union all
               (select block_number, id, false
                from chain_transactions
                where chain_id = $1 and block_number is not null and block_number <= $2
                  and (block_number, id) > ($3, $4) and state in ('mined', 'final')
                order by block_number, id limit $5)
               order by 1, 2 limit $5"#,
            range.chain.as_i64(),
            signed(range.to),
            block,
            id,
            limit,
        )
        .fetch_all(&self.pool)
        .await?;
        let ids = |payments: bool| -> Vec<Uuid> {
            rows.iter().filter(|row| row.is_payment == payments).map(|row| row.id).collect()
        };
        let mut facts: Vec<(Uuid, RecordedFact)> = load(&self.pool, &ids(true))
            .await?
            .into_iter()
            .map(|payment| (payment.id.uuid(), RecordedFact::Settled(Box::new(payment))))
            .collect();
        let mined = self.mined(&ids(false)).await?.into_iter();
        facts.extend(mined.map(|mined| (mined.id.uuid(), RecordedFact::Mined(mined))));
        let mut facts: std::collections::HashMap<Uuid, RecordedFact> = facts.into_iter().collect();
        rows.into_iter()
            .map(|row| {
                let fact = facts.remove(&row.id).ok_or_else(|| unreadable("recorded block"))?;
                Ok(Recorded { block_number: unsigned(row.block_number)?, id: row.id, fact })
            })
            .collect()
    }

    async fn mined(&self, ids: &[Uuid]) -> Result<Vec<MinedTransaction>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows = sqlx::query!(
            r#"select id, mined_hash as "mined_hash!", block_number as "block_number!",
                      block_hash as "block_hash!", gas_limit
               from chain_transactions where id = any($1) and block_number is not null"#,
            ids,
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(MinedTransaction {
                    id: TransactionId::new(row.id),
                    hash: hash(&row.mined_hash)?,
                    block_number: unsigned(row.block_number)?,
                    block_hash: hash(&row.block_hash)?,
                    gas_limit: unsigned(row.gas_limit)?,
                })
            })
            .collect()
    }

    /// The places in these blocks that more than one settled payment names.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn shared_places(&self, range: BlockRange) -> Result<Vec<SharedPlace>, StoreError> {
        let rows = sqlx::query!(
            r#"select tx_hash as "tx_hash!", log_index as "log_index!",
                      array_agg(id order by id) as "payments!"
               from payments
               where chain_id = $1 and block_number is not null and block_number between $2 and $3
                 and state = 'settled'
               group by tx_hash, log_index having count(*) > 1
               order by min(block_number), log_index"#,
            range.chain.as_i64(),
            signed(range.from),
            signed(range.to),
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(SharedPlace {
                    tx_hash: hash(&row.tx_hash)?,
                    log_index: unsigned(row.log_index)?,
                    payments: row.payments.into_iter().map(PaymentId::new).collect(),
                })
            })
            .collect()
    }

    /// Those of these transactions that we signed.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn signed_by_us(&self, hashes: &[B256]) -> Result<HashSet<B256>, StoreError> {
        let hashes: Vec<Vec<u8>> = hashes.iter().map(|hash| hash.to_vec()).collect();
        let rows = sqlx::query_scalar!(
            "select hash from transaction_attempts where hash = any($1)",
            &hashes,
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|bytes| hash(bytes)).collect()
    }

    /// The payments of these authorizations of EIP-3009 that there are, in no particular order.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn payments_of(
        &self,
        chain: ChainId,
        authorizations: &[AuthorizationKey],
    ) -> Result<Vec<Payment>, StoreError> {
        let column = |part: fn(&AuthorizationKey) -> Vec<u8>| -> Vec<Vec<u8>> {
            authorizations.iter().map(part).collect()
        };
        let ids = sqlx::query_scalar!(
            // Each is looked up by itself: with all in one join, a ledger that was small when this was
            // planned is walked through by its chain when it is large.
            "select p.id from unnest($2::bytea[], $3::bytea[], $4::bytea[]) as u (asset, payer, nonce)
             cross join lateral (
                 select id from payments
                 where chain_id = $1 and asset = u.asset and payer = u.payer and nonce = u.nonce
                   and permit2_spender is null
                 limit 1
             ) p",
            chain.as_i64(),
            &column(|(asset, _, _)| asset.to_vec()),
            &column(|(_, payer, _)| payer.to_vec()),
            &column(|(_, _, nonce)| nonce.to_vec()),
        )
        .fetch_all(&self.pool)
        .await?;
        if ids.is_empty() { Ok(Vec::new()) } else { load(&self.pool, &ids).await }
    }
}
