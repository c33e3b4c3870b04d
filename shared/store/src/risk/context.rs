//! What buyers' agents handed over with payments, for an engine to judge them by.

use std::collections::HashMap;

use domain::{PaymentId, RequestTrace, RiskContext};
use sqlx::types::Json;
use sqlx::{PgExecutor, PgTransaction};
use uuid::Uuid;

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
        contexts(&self.pool, &uuids(payments)).await
    }
}

/// What came with these payments; nothing of those with which nothing came.
pub(crate) async fn contexts(
    executor: impl PgExecutor<'_>,
    payments: &[Uuid],
) -> Result<HashMap<PaymentId, RiskContext>, StoreError> {
    let rows = sqlx::query!(
        "select payment_id, session_id, trace_id, traceparent, tracestate, mandate
         from risk_contexts where payment_id = any($1)",
        payments,
    )
    .fetch_all(executor)
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

/// Writes down what came with payments that the transaction has just written. Those with which
/// nothing came have no row, and where there are no others nothing is asked of the ledger.
pub(crate) async fn write_contexts(
    tx: &mut PgTransaction<'_>,
    contexts: impl Iterator<Item = (PaymentId, &RiskContext)>,
) -> Result<(), StoreError> {
    let (payments, contexts): (Vec<Uuid>, Vec<&RiskContext>) = contexts
        .filter(|(_, context)| !context.is_empty())
        .map(|(payment, context)| (payment.uuid(), context))
        .unzip();
    if payments.is_empty() {
        return Ok(());
    }
    let parents = contexts.iter().map(|it| it.request.as_ref().map(|request| &*request.parent));
    let states = contexts.iter().map(|it| it.request.as_ref()?.state.as_deref());
    sqlx::query!(
        "insert into risk_contexts (
             payment_id, session_id, trace_id, traceparent, tracestate, mandate
         )
         select payment_id, session_id, trace_id, traceparent, tracestate, mandate
         from unnest(
             $1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::jsonb[]
         ) as new (payment_id, session_id, trace_id, traceparent, tracestate, mandate)",
        &payments,
        &contexts.iter().map(|it| it.session).collect::<Vec<_>>() as _,
        &contexts.iter().map(|it| it.trace).collect::<Vec<_>>() as _,
        &parents.collect::<Vec<_>>() as _,
        &states.collect::<Vec<_>>() as _,
        &contexts.iter().map(|it| it.mandate.as_ref().map(Json)).collect::<Vec<_>>() as _,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
