//! The journal of a payment.

use std::collections::HashMap;

use domain::schema::Hash;
use domain::{
    B256, EventId, EventType, FailureCode, Payment, PaymentId, Standing, StateName, Timestamp,
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sqlx::PgTransaction;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::feed::standing;
use crate::payment::uuids;
use crate::row::{count, moment};
use crate::{Store, StoreError};

/// One change of a payment, as its timeline shows it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TimelineEntry {
    /// The version that the change made.
    #[schema(minimum = 1)]
    pub version: u32,
    /// The state that it led to.
    #[schema(value_type = StateName)]
    pub status: String,
    /// What happened.
    #[schema(value_type = EventType)]
    pub r#type: String,
    /// When.
    pub at: Timestamp,
    /// What the change brought to light.
    #[serde(flatten)]
    #[schema(value_type = TimelineDetail)]
    pub detail: Value,
}

/// What a change brings to light, as far as it does.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its shape matters: the journal keeps it as JSON")]
struct TimelineDetail {
    /// The transaction that carries the payment since then.
    #[schema(value_type = Hash, required = false)]
    tx_hash: B256,
    /// The block that holds it.
    #[schema(required = false)]
    block_number: u64,
    #[schema(value_type = Hash, required = false)]
    block_hash: B256,
    /// Where its `Transfer` stands in the block's logs.
    #[schema(required = false)]
    log_index: u64,
    #[schema(required = false)]
    failure: FailureCode,
}

impl TimelineEntry {
    /// How the payment stood after the change.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] when the journal says what no payment can be.
    pub fn standing(&self) -> Result<Standing, StoreError> {
        standing(&self.status, self.version, self.at, &self.detail)
    }
}

impl Store {
    /// Every change of a payment, oldest first.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn timeline(&self, payment: PaymentId) -> Result<Vec<TimelineEntry>, StoreError> {
        Ok(self.timelines(&[payment]).await?.remove(&payment).unwrap_or_default())
    }

    /// Every change of each of these payments, oldest first.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn timelines(
        &self,
        payments: &[PaymentId],
    ) -> Result<HashMap<PaymentId, Vec<TimelineEntry>>, StoreError> {
        let rows = sqlx::query!(
            "select payment_id, version, type, state, at, detail from payment_events
             where payment_id = any($1) order by payment_id, version",
            &uuids(payments),
        )
        .fetch_all(&self.pool)
        .await?;
        let mut timelines: HashMap<PaymentId, Vec<TimelineEntry>> = HashMap::new();
        for row in rows {
            timelines.entry(PaymentId::new(row.payment_id)).or_default().push(TimelineEntry {
                version: count(row.version)?,
                status: row.state,
                r#type: row.r#type,
                at: moment(row.at),
                detail: row.detail,
            });
        }
        Ok(timelines)
    }
}

/// A change that is being committed.
pub(crate) struct NewEvent<'a> {
    pub(crate) id: EventId,
    pub(crate) kind: EventType,
    pub(crate) payment: &'a Payment,
    pub(crate) carrier: Option<B256>,
}

impl NewEvent<'_> {
    /// What the change brought to light, for the timeline.
    fn detail(&self) -> Value {
        let mut detail = Map::new();
        if let Some(inclusion) = self.payment.state.inclusion() {
            detail.insert("tx_hash".to_owned(), json!(inclusion.tx_hash));
            detail.insert("log_index".to_owned(), json!(inclusion.log_index));
            detail.insert("block_number".to_owned(), json!(inclusion.block_number));
            detail.insert("block_hash".to_owned(), json!(inclusion.block_hash));
        } else if let Some(hash) = self.carrier {
            detail.insert("tx_hash".to_owned(), json!(hash));
        }
        if let Some(code) = self.payment.state.failure() {
            detail.insert("failure".to_owned(), json!(code));
        }
        Value::Object(detail)
    }
}

/// Writes the journal rows of changes.
pub(crate) async fn record_events(
    tx: &mut PgTransaction<'_>,
    events: &[NewEvent<'_>],
) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    let payments: Vec<Uuid> = events.iter().map(|event| event.payment.id.uuid()).collect();
    let versions: Vec<i32> = events
        .iter()
        .map(|event| i32::try_from(event.payment.version).unwrap_or(i32::MAX))
        .collect();
    let ids: Vec<Uuid> = events.iter().map(|event| event.id.uuid()).collect();
    let accounts: Vec<Uuid> = events.iter().map(|event| event.payment.account.uuid()).collect();
    let types: Vec<String> = events.iter().map(|event| event.kind.as_str().to_owned()).collect();
    let states: Vec<String> =
        events.iter().map(|event| event.payment.state.name().as_str().to_owned()).collect();
    let times: Vec<_> = events.iter().map(|event| event.payment.updated_at.to_datetime()).collect();
    let details: Vec<Value> = events.iter().map(NewEvent::detail).collect();
    sqlx::query!(
        "insert into payment_events (payment_id, version, id, account_id, type, state, at, detail)
         select * from unnest(
             $1::uuid[], $2::integer[], $3::uuid[], $4::uuid[], $5::text[], $6::text[],
             $7::timestamptz[], $8::jsonb[]
         )",
        &payments,
        &versions,
        &ids,
        &accounts,
        &types,
        &states,
        &times,
        &details,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
