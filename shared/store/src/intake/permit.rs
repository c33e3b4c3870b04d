//! Permits of tokens (EIP-2612) that came beside payments by Permit2.

use std::collections::HashMap;

use domain::{Amount, PaymentId, Signature, TokenPermit};
use sqlx::{PgExecutor, PgTransaction};
use uuid::Uuid;

use crate::StoreError;
use crate::row::parse;

/// Writes down the permits of payments that the transaction has just written. Where none has one,
/// nothing is asked of the ledger.
pub(super) async fn write_permits(
    tx: &mut PgTransaction<'_>,
    permits: impl Iterator<Item = (PaymentId, &TokenPermit)>,
) -> Result<(), StoreError> {
    let (payments, permits): (Vec<Uuid>, Vec<&TokenPermit>) =
        permits.map(|(payment, permit)| (payment.uuid(), permit)).unzip();
    if payments.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into token_permits (payment_id, nonce, deadline, signature)
         select payment_id, nonce::numeric, deadline::numeric, signature
         from unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[])
             as new (payment_id, nonce, deadline, signature)",
        &payments,
        &permits.iter().map(|it| it.nonce.to_string()).collect::<Vec<_>>(),
        &permits.iter().map(|it| it.deadline.to_string()).collect::<Vec<_>>(),
        &permits.iter().map(|it| it.signature.reveal().to_vec()).collect::<Vec<_>>(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The permits of those of these payments that have one.
pub(crate) async fn permits(
    executor: impl PgExecutor<'_>,
    payments: &[Uuid],
) -> Result<HashMap<Uuid, TokenPermit>, StoreError> {
    let rows = sqlx::query!(
        r#"select payment_id, nonce::text as "nonce!", deadline::text as "deadline!", signature
           from token_permits where payment_id = any($1)"#,
        payments,
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter()
        .map(|row| {
            let permit = TokenPermit {
                nonce: parse::<Amount>(&row.nonce, "nonce of a permit")?.units(),
                deadline: parse::<Amount>(&row.deadline, "deadline of a permit")?.units(),
                signature: Signature::new(row.signature),
            };
            Ok((row.payment_id, permit))
        })
        .collect()
}
