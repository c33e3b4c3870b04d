//! Authorizations: each of them in the ledger once, for ever.

use std::collections::{HashMap, HashSet};

use domain::{Authorization, AuthorizationKey, PaymentState, Timestamp, schedule};
use sqlx::PgTransaction;
use uuid::Uuid;

use super::Intake;
use crate::StoreError;
use crate::row::{address, chain, hash};

/// Who has each authorization that was there before: by its key, the payment and its account.
pub(super) type Owners = HashMap<AuthorizationKey, (Uuid, Uuid)>;

/// Writes the payments whose authorization is new, and says which those are.
pub(super) async fn write_payments(
    tx: &mut PgTransaction<'_>,
    open: &[&Intake],
) -> Result<HashSet<Uuid>, StoreError> {
    fn column<T>(open: &[&Intake], value: impl Fn(&Intake) -> T) -> Vec<T> {
        open.iter().map(|intake| value(intake)).collect()
    }
    let due = |intake: &Intake| {
        schedule::due_at(&PaymentState::Accepted, 0, intake.accepted_at).map(Timestamp::to_datetime)
    };
    let written = sqlx::query_scalar!(
        r#"insert into payments (
             id, account_id, chain_id, asset, payer, nonce, pay_to, amount, valid_after,
             valid_before, signature, x402_version, finality, reference, metadata, request_id,
             created_at, updated_at, due_at, version, state, resource_host
           )
           select id, account_id, chain_id, asset, payer, nonce, pay_to, amount::numeric,
                  valid_after, valid_before, signature, x402_version, finality, reference,
                  metadata::json, request_id, accepted_at, accepted_at, due_at, 1, 'accepted',
                  resource_host
           from unnest(
             $1::uuid[], $2::uuid[], $3::bigint[], $4::bytea[], $5::bytea[], $6::bytea[],
             $7::bytea[], $8::text[], $9::bigint[], $10::bigint[], $11::bytea[], $12::smallint[],
             $13::text[], $14::text[], $15::text[], $16::text[], $17::timestamptz[],
             $18::timestamptz[], $19::text[]
           ) with ordinality as new (
             id, account_id, chain_id, asset, payer, nonce, pay_to, amount, valid_after,
             valid_before, signature, x402_version, finality, reference, metadata, request_id,
             accepted_at, due_at, resource_host, place
           )
           order by chain_id, asset, payer, nonce, place
           on conflict on constraint payments_one_authorization do nothing
           returning id"#,
        &column(open, |i| i.id.uuid()),
        &column(open, |i| i.account.uuid()),
        &column(open, |i| i.authorization.chain.as_i64()),
        &column(open, |i| i.authorization.asset.to_vec()),
        &column(open, |i| i.authorization.payer.to_vec()),
        &column(open, |i| i.authorization.nonce.to_vec()),
        &column(open, |i| i.authorization.pay_to.to_vec()),
        &column(open, |i| i.authorization.amount.to_string()),
        &column(open, |i| i.authorization.valid_after),
        &column(open, |i| i.authorization.valid_before),
        &column(open, |i| i.signature.reveal().to_vec()),
        &column(open, |i| i16::from(i.x402_version)),
        &column(open, |i| i.finality.as_str().to_owned()),
        &column(open, |i| i.reference.clone()) as _,
        &column(open, |i| i.metadata.as_ref().map(ToString::to_string)) as _,
        &column(open, |i| i.request_id.clone()),
        &column(open, |i| i.accepted_at.to_datetime()),
        &column(open, due) as _,
        &column(open, |i| i.resource_host.clone()) as _,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(written.into_iter().collect())
}

/// Looks up whose the authorizations are that were not written.
pub(super) async fn find_owners(
    tx: &mut PgTransaction<'_>,
    open: &[&Intake],
    written: &HashSet<Uuid>,
) -> Result<Owners, StoreError> {
    let taken: Vec<&Authorization> = open
        .iter()
        .filter(|intake| !written.contains(&intake.id.uuid()))
        .map(|intake| &intake.authorization)
        .collect();
    if taken.is_empty() {
        return Ok(Owners::new());
    }
    let chains: Vec<i64> = taken.iter().map(|a| a.chain.as_i64()).collect();
    let assets: Vec<Vec<u8>> = taken.iter().map(|a| a.asset.to_vec()).collect();
    let payers: Vec<Vec<u8>> = taken.iter().map(|a| a.payer.to_vec()).collect();
    let nonces: Vec<Vec<u8>> = taken.iter().map(|a| a.nonce.to_vec()).collect();
    let rows = sqlx::query!(
        "select p.id, p.account_id, p.chain_id, p.asset, p.payer, p.nonce
         from payments p
         join (
             select distinct * from unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::bytea[])
                 as u (chain_id, asset, payer, nonce)
         ) wanted on wanted.chain_id = p.chain_id and wanted.asset = p.asset
             and wanted.payer = p.payer and wanted.nonce = p.nonce",
        &chains,
        &assets,
        &payers,
        &nonces,
    )
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter()
        .map(|row| {
            let key = AuthorizationKey {
                chain: chain(row.chain_id)?,
                asset: address(&row.asset)?,
                payer: address(&row.payer)?,
                nonce: hash(&row.nonce)?,
            };
            Ok((key, (row.id, row.account_id)))
        })
        .collect()
}
