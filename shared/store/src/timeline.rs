//! The journal of a payment.

use domain::{PaymentId, Timestamp};
use serde::Serialize;

use crate::row::{count, moment};
use crate::{Store, StoreError};

/// One change of a payment, as its timeline shows it.
#[derive(Clone, Debug, Serialize)]
pub struct TimelineEntry {
    /// The version that the change made.
    pub version: u32,
    /// The state that it led to.
    pub status: String,
    /// What happened.
    pub r#type: String,
    /// When.
    pub at: Timestamp,
    /// What the change brought to light.
    #[serde(flatten)]
    pub detail: serde_json::Value,
}

impl Store {
    /// Every change of a payment, oldest first.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn timeline(&self, payment: PaymentId) -> Result<Vec<TimelineEntry>, StoreError> {
        let rows = sqlx::query!(
            "select version, type, state, at, detail from payment_events
             where payment_id = $1 order by version",
            payment.uuid(),
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(TimelineEntry {
                    version: count(row.version)?,
                    status: row.state,
                    r#type: row.r#type,
                    at: moment(row.at),
                    detail: row.detail,
                })
            })
            .collect()
    }
}
