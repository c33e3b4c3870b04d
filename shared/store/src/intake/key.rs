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
    /// Nothing: it has no key, or all of them are new and its own now.
    Open,
    /// A key stands for this payment, for the same request.
    Same(Uuid),
    /// A key stands for another request.
    Other {
        /// The key.
        key: String,
        /// That request's payment.
        payment: Uuid,
        /// When the key was used for it.
        first_used_at: Timestamp,
    },
    /// A key was there and is forgotten now: to be claimed again.
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
        let used = Idempotency { key: key.to_owned(), body_digest: *body_digest };
        Ok(self.find_by_keys(&[(account, used)]).await?.pop().flatten())
    }

    /// The same for many keys, each of an account; in their order.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn find_by_keys(
        &self,
        wanted: &[(AccountId, Idempotency)],
    ) -> Result<Vec<Option<Payment>>, StoreError> {
        let accounts: Vec<Uuid> = wanted.iter().map(|(account, _)| account.uuid()).collect();
        let keys: Vec<String> = wanted.iter().map(|(_, used)| used.key.clone()).collect();
        let digests: Vec<Vec<u8>> =
            wanted.iter().map(|(_, used)| used.body_digest.to_vec()).collect();
        let rows = sqlx::query!(
            r#"select u.place as "place!", k.payment_id
               from unnest($1::uuid[], $2::text[], $3::bytea[]) with ordinality
                   as u (account_id, key, body_sha256, place)
               join idempotency_keys k on k.account_id = u.account_id and k.key = u.key
                   and k.body_sha256 = u.body_sha256"#,
            &accounts,
            &keys,
            &digests,
        )
        .fetch_all(&self.pool)
        .await?;
        let mut found: Vec<Option<Payment>> = vec![None; wanted.len()];
        if rows.is_empty() {
            return Ok(found);
        }
        let ids: Vec<Uuid> = rows.iter().map(|row| row.payment_id).collect();
        let payments: HashMap<Uuid, Payment> = load(&self.pool, &ids)
            .await?
            .into_iter()
            .map(|payment| (payment.id.uuid(), payment))
            .collect();
        for row in rows {
            let place = usize::try_from(row.place).ok().and_then(|place| place.checked_sub(1));
            if let Some(slot) = place.and_then(|place| found.get_mut(place)) {
                *slot = payments.get(&row.payment_id).cloned();
            }
        }
        Ok(found)
    }

    /// Whether a key of the account was used for another request than this.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn is_key_of_another(
        &self,
        account: AccountId,
        key: &str,
        body_digest: &[u8; 32],
    ) -> Result<bool, StoreError> {
        let found = sqlx::query_scalar!(
            "select 1 from idempotency_keys
             where account_id = $1 and key = $2 and body_sha256 <> $3",
            account.uuid(),
            key,
            body_digest.as_slice(),
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(found.is_some())
    }
}

/// One key of an intake.
struct Keyed<'a> {
    intake: &'a Intake,
    key: &'a Idempotency,
}

fn keyed<'a>(intakes: impl IntoIterator<Item = &'a Intake>) -> Vec<Keyed<'a>> {
    let of = |intake: &'a Intake| intake.idempotency.iter().map(move |key| Keyed { intake, key });
    intakes.into_iter().flat_map(of).collect()
}

/// Claims each new key for its intake, and looks up what the others stand for.
///
/// An intake has either all of its keys or none: where one of them has an answer, those that it
/// claimed are let go again. Keys, and then authorizations, are always locked in ascending order, so
/// that batches at the same instant wait for each other but never in a circle.
pub(super) async fn claim_keys(
    tx: &mut PgTransaction<'_>,
    batch: &[&Intake],
) -> Result<Vec<Claim>, StoreError> {
    let all = keyed(batch.iter().copied());
    if all.is_empty() {
        return Ok(batch.iter().map(|_| Claim::Open).collect());
    }
    insert_keys(tx, &all).await?;
    let stored = read_keys(tx, &all).await?;
    let mut places = all.iter().zip(stored);
    let claims: Vec<Claim> = batch
        .iter()
        .map(|intake| {
            let own = places.by_ref().take(intake.idempotency.len());
            Claim::of(intake, &own.collect::<Vec<_>>())
        })
        .collect();
    let answered = batch.iter().zip(&claims).filter(|(_, claim)| !matches!(claim, Claim::Open));
    let_go(tx, &keyed(answered.map(|(intake, _)| *intake))).await?;
    Ok(claims)
}

impl Claim {
    /// What the keys of an intake say together. One that was used for something else says the most.
    fn of(intake: &Intake, keys: &[(&Keyed<'_>, Option<KeyRow>)]) -> Self {
        let (mut same, mut vanished) = (None, false);
        for (keyed, stored) in keys {
            match stored {
                None => vanished = true,
                Some(row) if row.payment == intake.id.uuid() => {}
                Some(row) if row.body_sha256 == keyed.key.body_digest => {
                    same.get_or_insert(row.payment);
                }
                Some(row) => {
                    return Self::Other {
                        key: keyed.key.key.clone(),
                        payment: row.payment,
                        first_used_at: row.first_used_at,
                    };
                }
            }
        }
        match same {
            _ if vanished => Self::Vanished,
            Some(payment) => Self::Same(payment),
            None => Self::Open,
        }
    }
}

fn accounts(keyed: &[Keyed<'_>]) -> Vec<Uuid> {
    keyed.iter().map(|it| it.intake.account.uuid()).collect()
}

fn names(keyed: &[Keyed<'_>]) -> Vec<String> {
    keyed.iter().map(|it| it.key.key.clone()).collect()
}

fn payments(keyed: &[Keyed<'_>]) -> Vec<Uuid> {
    keyed.iter().map(|it| it.intake.id.uuid()).collect()
}

async fn insert_keys(tx: &mut PgTransaction<'_>, keyed: &[Keyed<'_>]) -> Result<(), StoreError> {
    let digests: Vec<Vec<u8>> = keyed.iter().map(|it| it.key.body_digest.to_vec()).collect();
    let times: Vec<_> = keyed.iter().map(|it| it.intake.accepted_at.to_datetime()).collect();
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
        &payments(keyed),
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

/// What is stored under each of these keys, in their order.
async fn read_keys(
    tx: &mut PgTransaction<'_>,
    keyed: &[Keyed<'_>],
) -> Result<Vec<Option<KeyRow>>, StoreError> {
    let rows = sqlx::query!(
        r#"select wanted.place as "place!", k.body_sha256, k.payment_id, k.created_at
           from unnest($1::uuid[], $2::text[]) with ordinality as wanted (account_id, key, place)
           join idempotency_keys k on k.account_id = wanted.account_id and k.key = wanted.key"#,
        &accounts(keyed),
        &names(keyed),
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut stored: HashMap<i64, KeyRow> = rows
        .into_iter()
        .map(|row| {
            let first_used_at = moment(row.created_at);
            let stored =
                KeyRow { payment: row.payment_id, body_sha256: row.body_sha256, first_used_at };
            (row.place, stored)
        })
        .collect();
    // SQL counts from 1.
    Ok((1..).take(keyed.len()).map(|place| stored.remove(&place)).collect())
}

/// Keys of intakes that found their authorization taken: they stand for the payment that has it,
/// or, where that is another account's, for nothing.
pub(super) async fn repoint_keys(
    tx: &mut PgTransaction<'_>,
    open: &[&Intake],
    fates: &Fates,
) -> Result<(), StoreError> {
    let (mut existing, mut now_for, mut nothing) = (Vec::new(), Vec::new(), Vec::new());
    for it in keyed(open.iter().copied()) {
        match fates.get(&it.intake.id.uuid()) {
            // A batch that is given again finds its own payments, and its keys as they should be.
            Some(&Fate::Existing(payment)) if payment != it.intake.id.uuid() => {
                existing.push(it);
                now_for.push(payment);
            }
            Some(Fate::AnotherAccounts) => nothing.push(it),
            Some(Fate::New | Fate::Existing(_) | Fate::Answered) | None => {}
        }
    }
    if !existing.is_empty() {
        sqlx::query!(
            "update idempotency_keys k set payment_id = u.payment_id
             from unnest($1::uuid[], $2::text[], $3::uuid[]) as u (account_id, key, payment_id)
             where k.account_id = u.account_id and k.key = u.key",
            &accounts(&existing),
            &names(&existing),
            &now_for,
        )
        .execute(&mut **tx)
        .await?;
    }
    let_go(tx, &nothing).await
}

/// Forgets those of these keys that their intakes have claimed.
async fn let_go(tx: &mut PgTransaction<'_>, keyed: &[Keyed<'_>]) -> Result<(), StoreError> {
    if keyed.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "delete from idempotency_keys k
         using unnest($1::uuid[], $2::text[], $3::uuid[]) as u (account_id, key, payment_id)
         where k.account_id = u.account_id and k.key = u.key and k.payment_id = u.payment_id",
        &accounts(keyed),
        &names(keyed),
        &payments(keyed),
    )
    .execute(&mut **tx)
    .await?;
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
