//! Authorizations: each of them in the ledger once, for ever.

use std::collections::{HashMap, HashSet};

use domain::{Authorization, PaymentState, Timestamp, schedule};
use sqlx::PgTransaction;
use uuid::Uuid;

use super::Intake;
use crate::StoreError;

/// Who has each authorization that was there before: by the name of the payment that was not written,
/// the payment that was and its account.
pub(super) type Owners = HashMap<Uuid, (Uuid, Uuid)>;

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
             created_at, updated_at, due_at, version, state, resource_host, permit2_spender,
             upto_sender, upto_amount
           )
           select id, account_id, chain_id, asset, payer, nonce, pay_to, amount::numeric,
                  valid_after, valid_before, signature, x402_version, finality, reference,
                  metadata::json, request_id, accepted_at, accepted_at, due_at, 1, 'accepted',
                  resource_host, permit2_spender, upto_sender, upto_amount::numeric
           from unnest(
             $1::uuid[], $2::uuid[], $3::bigint[], $4::bytea[], $5::bytea[], $6::bytea[],
             $7::bytea[], $8::text[], $9::bigint[], $10::bigint[], $11::bytea[], $12::smallint[],
             $13::text[], $14::text[], $15::text[], $16::text[], $17::timestamptz[],
             $18::timestamptz[], $19::text[], $20::bytea[], $21::bytea[], $22::text[]
           ) with ordinality as new (
             id, account_id, chain_id, asset, payer, nonce, pay_to, amount, valid_after,
             valid_before, signature, x402_version, finality, reference, metadata, request_id,
             accepted_at, due_at, resource_host, permit2_spender, upto_sender, upto_amount, place
           )
           order by chain_id, payer, nonce, asset, place
           on conflict do nothing
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
        &column(open, |i| spender(&i.authorization)) as _,
        &column(open, |i| i.authorization.method.sender().map(|sender| sender.to_vec())) as _,
        &column(open, |i| i.authorization.method.most().map(|most| most.to_string())) as _,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(written.into_iter().collect())
}

/// Whom the payer lets redeem it by Permit2.
fn spender(authorization: &Authorization) -> Option<Vec<u8>> {
    authorization.method.spender().map(|spender| spender.to_vec())
}

/// Looks up whose the authorizations are that were not written. Permit2 takes a nonce once for
/// whichever token, and the token and Permit2 are not told apart where asset, payer and nonce are
/// the same: no wallet does that but to deceive.
pub(super) async fn find_owners(
    tx: &mut PgTransaction<'_>,
    open: &[&Intake],
    written: &HashSet<Uuid>,
) -> Result<Owners, StoreError> {
    let taken: Vec<&Intake> =
        open.iter().copied().filter(|intake| !written.contains(&intake.id.uuid())).collect();
    if taken.is_empty() {
        return Ok(Owners::new());
    }
    let column = |value: fn(&Authorization) -> Vec<u8>| -> Vec<Vec<u8>> {
        taken.iter().map(|intake| value(&intake.authorization)).collect()
    };
    let names: Vec<Uuid> = taken.iter().map(|intake| intake.id.uuid()).collect();
    let chains: Vec<i64> = taken.iter().map(|intake| intake.authorization.chain.as_i64()).collect();
    let by_permit2: Vec<bool> =
        taken.iter().map(|intake| spender(&intake.authorization).is_some()).collect();
    let rows = sqlx::query!(
        // Each is looked up by itself: in a join, all that Permit2 makes may be walked through.
        r#"with wanted as (
             select * from unnest(
               $1::uuid[], $2::bigint[], $3::bytea[], $4::bytea[], $5::bytea[], $6::boolean[]
             ) as u (name, chain_id, asset, payer, nonce, by_permit2)
           )
           select wanted.name as "name!", p.id as "id!", p.account_id as "account_id!"
           from wanted cross join lateral (
             select id, account_id from payments
             where chain_id = wanted.chain_id and asset = wanted.asset and payer = wanted.payer
               and nonce = wanted.nonce limit 1
           ) p
           union all
           select wanted.name, p.id, p.account_id
           from wanted cross join lateral (
             select id, account_id from payments
             where chain_id = wanted.chain_id and payer = wanted.payer and nonce = wanted.nonce
               and permit2_spender is not null limit 1
           ) p
           where wanted.by_permit2"#,
        &names,
        &chains,
        &column(|a| a.asset.to_vec()),
        &column(|a| a.payer.to_vec()),
        &column(|a| a.nonce.to_vec()),
        &by_permit2,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().map(|row| (row.name, (row.id, row.account_id))).collect())
}
