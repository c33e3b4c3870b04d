//! What buyers' agents handed over with payments, for an engine to judge them by.

use std::collections::HashMap;

use domain::{PaymentId, RequestTrace, RiskContext};

use crate::payment::uuids;
use crate::row::unreadable;
use crate::{Store, StoreError};

impl Store {
    /// What came with these payments; nothing of those with which nothing came.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn risk_contexts(
        &self,
        payments: &[PaymentId],
    ) -> Result<HashMap<PaymentId, RiskContext>, StoreError> {
        let rows = sqlx::query!(
            "select payment_id, session_id, trace_id, traceparent, tracestate, mandate
             from risk_contexts where payment_id = any($1)",
            &uuids(payments),
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                let mandate = row.mandate.map(serde_json::from_value).transpose();
                let context = RiskContext {
                    session: row.session_id,
                    trace: row.trace_id,
                    request: row
                        .traceparent
                        .map(|parent| RequestTrace { parent, state: row.tracestate }),
                    mandate: mandate.map_err(|_| unreadable("mandate"))?,
                };
                Ok((PaymentId::new(row.payment_id), context))
            })
            .collect()
    }
}
