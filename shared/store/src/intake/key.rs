//! Idempotency keys: what each stands for.

use std::collections::HashMap;

use domain::{AccountId, Payment, Timestamp};
use sqlx::PgTransaction;
use uuid::Uuid;

use super::{Fate, Fates, Idempotency, Intake};
use crate::payment::load;
use crate::row::moment;
use crate::{Store, StoreError};

/// What an intake's key says about it before its payment is written.
pub(super) enum Claim {
    /// Nothing: it has no key, or the key is new and its own now.
    Open,
    /// The key stands for this payment, for the same request.
    Same(Uuid),
    /// The key stands for another request.
    Other {
        /// That request's payment.
        payment: Uuid,
        /// When the key was used for it.
        first_used_at: Timestamp,
    },
    /// The key was there and is forgotten now: to be claimed again.
    Vanished,
}

impl Store {
    /// The account's payment that a key stands for, where the key was used for this very request.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn find_by_key(
        &self,
        account: AccountId,
        key: &str,
        body_digest: &[u8; 32],
    ) -> Result<Option<Payment>, StoreError> {
        let payment = sqlx::query_scalar!(
            "select payment_id from idempotency_keys
             where account_id = $1 and key = $2 and body_sha256 = $3",
            account.uuid(),
            key,
            body_digest.as_slice(),
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(payment) = payment else { return Ok(None) };
        Ok(load(&self.pool, &[payment]).await?.pop())
    }
}

type Keyed<'a> = (&'a Intake, &'a Idempotency);

/// Claims each new key for its intake, and looks up what the others stand for.
///
/// Keys, and then authorizations, are always locked in ascending order, so that batches at the
/// same instant wait for each other but never in a circle.
pub(super) async fn claim_keys(
    tx: &mut PgTransaction<'_>,
    batch: &[&Intake],
) -> Result<Vec<Claim>, StoreError> {
    let keyed: Vec<Keyed<'_>> = batch
        .iter()
        .filter_map(|intake| intake.idempotency.as_ref().map(|key| (*intake, key)))
        .collect();
    if keyed.is_empty() {
        return Ok(batch.iter().map(|_| Claim::Open).collect());
    }
    insert_keys(tx, &keyed).await?;
    let stored = read_keys(tx, &keyed).await?;
    let claim = |intake: &&Intake| {
        let Some(key) = &intake.idempotency else {
            return Claim::Open;
        };
        match stored.get(&intake.id.uuid()) {
            None => Claim::Vanished,
            Some(row) if row.payment == intake.id.uuid() => Claim::Open,
            Some(row) if row.body_sha256 == key.body_digest => Claim::Same(row.payment),
            Some(&KeyRow { payment, first_used_at, .. }) => Claim::Other { payment, first_used_at },
        }
    };
    Ok(batch.iter().map(claim).collect())
}

fn accounts(keyed: &[Keyed<'_>]) -> Vec<Uuid> {
    keyed.iter().map(|(intake, _)| intake.account.uuid()).collect()
}

fn names(keyed: &[Keyed<'_>]) -> Vec<String> {
    keyed.iter().map(|(_, key)| key.key.clone()).collect()
}

async fn insert_keys(tx: &mut PgTransaction<'_>, keyed: &[Keyed<'_>]) -> Result<(), StoreError> {
    let digests: Vec<Vec<u8>> = keyed.iter().map(|(_, key)| key.body_digest.to_vec()).collect();
    let payments: Vec<Uuid> = keyed.iter().map(|(intake, _)| intake.id.uuid()).collect();
    let times: Vec<_> = keyed.iter().map(|(intake, _)| intake.accepted_at.to_datetime()).collect();
    sqlx::query!(
        "insert into idempotency_keys (account_id, key, body_sha256, payment_id, created_at)
         select account_id, key, body_sha256, payment_id, created_at
         from unnest($1::uuid[], $2::text[], $3::bytea[], $4::uuid[], $5::timestamptz[])
             with ordinality as new (account_id, key, body_sha256, payment_id, created_at, place)
         order by account_id, key, place
         on conflict (account_id, key) do nothing",
        &accounts(keyed),
        &names(keyed),
        &digests,
        &payments,
        &times,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

struct KeyRow {
    payment: Uuid,
    body_sha256: Vec<u8>,
    first_used_at: Timestamp,
}

/// What is stored under each intake's key, by the name that the intake would give its payment.
async fn read_keys(
    tx: &mut PgTransaction<'_>,
    keyed: &[Keyed<'_>],
) -> Result<HashMap<Uuid, KeyRow>, StoreError> {
    let claims: Vec<Uuid> = keyed.iter().map(|(intake, _)| intake.id.uuid()).collect();
    let rows = sqlx::query!(
        r#"select wanted.claim as "claim!", k.body_sha256, k.payment_id, k.created_at
           from unnest($1::uuid[], $2::text[], $3::uuid[]) as wanted (account_id, key, claim)
           join idempotency_keys k on k.account_id = wanted.account_id and k.key = wanted.key"#,
        &accounts(keyed),
        &names(keyed),
        &claims,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let first_used_at = moment(row.created_at);
            let stored =
                KeyRow { payment: row.payment_id, body_sha256: row.body_sha256, first_used_at };
            (row.claim, stored)
        })
        .collect())
}

/// Keys of intakes that found their authorization taken: they stand for the payment that has it,
/// or, where that is another account's, for nothing.
pub(super) async fn repoint_keys(
    tx: &mut PgTransaction<'_>,
    open: &[&Intake],
    fates: &Fates,
) -> Result<(), StoreError> {
    let (mut existing, mut payments, mut nothing) = (Vec::new(), Vec::new(), Vec::new());
    for intake in open {
        let Some(key) = &intake.idempotency else { continue };
        match fates.get(&intake.id.uuid()) {
            // A batch that is given again finds its own payments, and its keys as they should be.
            Some(&Fate::Existing(payment)) if payment != intake.id.uuid() => {
                existing.push((*intake, key));
                payments.push(payment);
            }
            Some(Fate::AnotherAccounts) => nothing.push((*intake, key)),
            Some(Fate::New | Fate::Existing(_)) | None => {}
        }
    }
    if !existing.is_empty() {
        sqlx::query!(
            "update idempotency_keys k set payment_id = u.payment_id
             from unnest($1::uuid[], $2::text[], $3::uuid[]) as u (account_id, key, payment_id)
             where k.account_id = u.account_id and k.key = u.key",
            &accounts(&existing),
            &names(&existing),
            &payments,
        )
        .execute(&mut **tx)
        .await?;
    }
    if !nothing.is_empty() {
        sqlx::query!(
            "delete from idempotency_keys k
             using unnest($1::uuid[], $2::text[]) as u (account_id, key)
             where k.account_id = u.account_id and k.key = u.key",
            &accounts(&nothing),
            &names(&nothing),
        )
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

impl Store {
    /// Forgets idempotency keys made before `before`, up to `limit` of them.
    ///
    /// # Errors
    /// [`StoreError`] when nothing was forgotten.
    pub async fn forget_idempotency_keys(
        &self,
        before: Timestamp,
        limit: i64,
    ) -> Result<u64, StoreError> {
        let done = sqlx::query!(
            // By place, because a join of unknown size would be planned as a walk through the table.
            "delete from idempotency_keys where ctid = any(array(
                 select ctid from idempotency_keys where created_at < $1
                 order by created_at limit $2 for update skip locked
             ))",
            before.to_datetime(),
            limit,
        )
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }
}
