//! Reading payments.

mod listing;

use domain::{
    AccountId, Amount, Authorization, FailureCode, Inclusion, Payment, PaymentId, PaymentState,
    Signature, StateName, Submission, TokenPermit, TransactionId, TransferMethod,
};
use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

pub use self::listing::PaymentFilter;
use crate::intake::permits;
use crate::row::{address, chain, count, hash, moment, parse, unreadable, unsigned};
use crate::{Store, StoreError};

/// A payment with the signatures that can move its money; for risk and settlement alone.
#[derive(Clone, Debug)]
pub struct SignedPayment {
    /// The payment.
    pub payment: Payment,
    /// The buyer's signature.
    pub signature: Signature,
    /// What lets Permit2 move the money, where the buyer signed that as well (EIP-2612).
    pub permit: Option<TokenPermit>,
}

/// A row of `payments` without its signature.
pub(crate) struct PaymentRow {
    id: Uuid,
    account_id: Uuid,
    chain_id: i64,
    asset: Vec<u8>,
    payer: Vec<u8>,
    nonce: Vec<u8>,
    pay_to: Vec<u8>,
    amount: String,
    valid_after: i64,
    valid_before: i64,
    finality: String,
    reference: Option<String>,
    metadata: Option<serde_json::Value>,
    request_id: String,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
    version: i32,
    state: String,
    held_until: Option<OffsetDateTime>,
    approved_until: Option<OffsetDateTime>,
    transaction_id: Option<Uuid>,
    tx_hash: Option<Vec<u8>>,
    log_index: Option<i64>,
    block_number: Option<i64>,
    block_hash: Option<Vec<u8>>,
    failure_code: Option<String>,
    permit2_spender: Option<Vec<u8>>,
    upto_sender: Option<Vec<u8>>,
    upto_amount: Option<String>,
}

impl PaymentRow {
    pub(crate) fn into_payment(self) -> Result<Payment, StoreError> {
        Ok(Payment {
            id: PaymentId::new(self.id),
            account: AccountId::new(self.account_id),
            authorization: Authorization {
                method: self.method()?,
                chain: chain(self.chain_id)?,
                asset: address(&self.asset)?,
                payer: address(&self.payer)?,
                pay_to: address(&self.pay_to)?,
                amount: parse::<Amount>(&self.amount, "amount")?,
                valid_after: self.valid_after,
                valid_before: self.valid_before,
                nonce: hash(&self.nonce)?,
            },
            finality: parse(&self.finality, "finality")?,
            created_at: moment(self.created_at),
            updated_at: moment(self.updated_at),
            version: count(self.version)?,
            state: self.state()?,
            reference: self.reference,
            metadata: self.metadata,
            request_id: self.request_id,
        })
    }

    fn method(&self) -> Result<TransferMethod, StoreError> {
        let Some(spender) = &self.permit2_spender else { return Ok(TransferMethod::Eip3009) };
        let spender = address(spender)?;
        Ok(match (&self.upto_sender, &self.upto_amount) {
            (None, None) => TransferMethod::Permit2 { spender },
            (Some(sender), Some(most)) => TransferMethod::Upto {
                spender,
                sender: address(sender)?,
                most: parse(most, "bound of an amount")?,
            },
            _ => return Err(unreadable("bound of an amount")),
        })
    }

    fn state(&self) -> Result<PaymentState, StoreError> {
        Ok(match parse::<StateName>(&self.state, "state")? {
            StateName::Accepted => PaymentState::Accepted,
            StateName::Held => PaymentState::Held {
                until: self.held_until.map(moment).ok_or_else(|| unreadable("hold"))?,
            },
            StateName::Approved => PaymentState::Approved {
                until: self.approved_until.map(moment).ok_or_else(|| unreadable("approval"))?,
            },
            StateName::Submitted => {
                PaymentState::Submitted(self.submission().ok_or_else(|| unreadable("submission"))?)
            }
            StateName::Confirmed => PaymentState::Confirmed {
                inclusion: self.inclusion()?,
                submission: self.submission(),
            },
            StateName::Settled => PaymentState::Settled { inclusion: self.inclusion()? },
            StateName::Rejected => PaymentState::Rejected(self.failure()?),
            StateName::Canceled => PaymentState::Canceled,
            StateName::Expired => PaymentState::Expired,
            StateName::Failed => PaymentState::Failed(self.failure()?),
        })
    }

    fn submission(&self) -> Option<Submission> {
        Some(Submission {
            transaction: TransactionId::new(self.transaction_id?),
            approved_until: moment(self.approved_until?),
        })
    }

    fn inclusion(&self) -> Result<Inclusion, StoreError> {
        let missing = || unreadable("inclusion");
        Ok(Inclusion {
            tx_hash: hash(self.tx_hash.as_ref().ok_or_else(missing)?)?,
            log_index: unsigned(self.log_index.ok_or_else(missing)?)?,
            block_number: unsigned(self.block_number.ok_or_else(missing)?)?,
            block_hash: hash(self.block_hash.as_ref().ok_or_else(missing)?)?,
        })
    }

    fn failure(&self) -> Result<FailureCode, StoreError> {
        let code = self.failure_code.as_deref().ok_or_else(|| unreadable("failure"))?;
        parse(code, "failure code")
    }
}

/// The payments of these ids that there are, in no particular order.
pub(crate) async fn load(
    executor: impl PgExecutor<'_>,
    ids: &[Uuid],
) -> Result<Vec<Payment>, StoreError> {
    let rows = sqlx::query_as!(
        PaymentRow,
        r#"select id, account_id, chain_id, asset, payer, nonce, pay_to, amount::text as "amount!",
                  valid_after, valid_before, finality, reference, metadata, request_id,
                  created_at, updated_at, version, state, held_until, approved_until,
                  transaction_id, tx_hash, log_index, block_number, block_hash, failure_code,
                  permit2_spender, upto_sender, upto_amount::text
           from payments where id = any($1)"#,
        ids,
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(PaymentRow::into_payment).collect()
}

fn is_by_permit2(payment: &Payment) -> bool {
    matches!(payment.authorization.method, TransferMethod::Permit2 { .. })
}

pub(crate) fn uuids(ids: &[PaymentId]) -> Vec<Uuid> {
    ids.iter().map(|id| id.uuid()).collect()
}

impl Store {
    /// The payments of these ids that there are, in no particular order.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn load(&self, ids: &[PaymentId]) -> Result<Vec<Payment>, StoreError> {
        load(&self.pool, &uuids(ids)).await
    }

    /// The payment of this id, if it belongs to this account.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn find_payment(
        &self,
        account: AccountId,
        id: PaymentId,
    ) -> Result<Option<Payment>, StoreError> {
        let found = self.load(&[id]).await?.pop();
        Ok(found.filter(|payment| payment.account == account))
    }

    /// The versions of those of the payments that there are, in no particular order.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn versions(&self, ids: &[PaymentId]) -> Result<Vec<(PaymentId, u32)>, StoreError> {
        let rows = sqlx::query!("select id, version from payments where id = any($1)", &uuids(ids))
            .fetch_all(&self.pool)
            .await?;
        rows.into_iter().map(|row| Ok((PaymentId::new(row.id), count(row.version)?))).collect()
    }

    /// The payments of these ids that there are, with their signatures.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn load_signed(&self, ids: &[PaymentId]) -> Result<Vec<SignedPayment>, StoreError> {
        let payments = self.load(ids).await?;
        let signatures =
            sqlx::query!("select id, signature from payments where id = any($1)", &uuids(ids),)
                .fetch_all(&self.pool)
                .await?;
        let mut by_id: std::collections::HashMap<Uuid, Vec<u8>> =
            signatures.into_iter().map(|row| (row.id, row.signature)).collect();
        let by_permit2 = payments.iter().filter(|payment| is_by_permit2(payment));
        let by_permit2: Vec<Uuid> = by_permit2.map(|payment| payment.id.uuid()).collect();
        let mut permits = match by_permit2.as_slice() {
            [] => std::collections::HashMap::new(),
            payments => permits(&self.pool, payments).await?,
        };
        payments
            .into_iter()
            .map(|payment| {
                let bytes =
                    by_id.remove(&payment.id.uuid()).ok_or_else(|| unreadable("signature"))?;
                let permit = permits.remove(&payment.id.uuid());
                Ok(SignedPayment { payment, signature: Signature::new(bytes), permit })
            })
            .collect()
    }
}
