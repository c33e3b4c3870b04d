//! Accepting payments: many at once, each of them once.

use std::collections::HashMap;

use domain::{
    AccountId, Authorization, EventId, EventType, Finality, Payment, PaymentId, PaymentState,
    Signature, Timestamp,
};
use sqlx::PgTransaction;
use uuid::Uuid;

use crate::advance::{NewEvent, announce, record_events};
use crate::payment::load;
use crate::row::{hash, moment, unreadable};
use crate::{Store, StoreError};

/// A checked submission, to be accepted.
#[derive(Clone, Debug)]
pub struct Intake {
    /// The name it gets if it is new.
    pub id: PaymentId,
    /// The name of the event that says so.
    pub event: EventId,
    /// Who submitted it.
    pub account: AccountId,
    /// What the buyer signed.
    pub authorization: Authorization,
    /// The buyer's signature.
    pub signature: Signature,
    /// The version of the protocol it came in.
    pub x402_version: u8,
    /// When the seller wants it called settled.
    pub finality: Finality,
    /// The seller's own name for it.
    pub reference: Option<String>,
    /// The seller's own notes: a JSON object.
    pub metadata: Option<serde_json::Value>,
    /// The request that submitted it.
    pub request_id: String,
    /// The request's `Idempotency-Key`, if it had one.
    pub idempotency: Option<Idempotency>,
    /// When it was accepted.
    pub accepted_at: Timestamp,
}

/// A key under which the seller may repeat a request.
#[derive(Clone, Debug)]
pub struct Idempotency {
    /// The key, unique within the account.
    pub key: String,
    /// What the request said: the same key may only ever say the same.
    pub body_digest: [u8; 32],
}

/// What became of a submission.
#[derive(Clone, Debug)]
pub enum Acceptance {
    /// It is a new payment.
    New(Payment),
    /// The key was used before, for the same request: this payment.
    Replayed(Payment),
    /// The authorization was submitted before by the same account: this payment.
    Existing(Payment),
    /// The authorization was submitted before by another account.
    AnotherAccounts,
    /// The key was used before, for another request.
    KeyReused {
        /// The payment of that request.
        payment: PaymentId,
        /// When that was.
        first_used_at: Timestamp,
    },
}

/// What is known about an intake before its payment is written.
enum Claim {
    /// To be written.
    Open,
    /// Settled by what its key says already.
    Answered(KeyAnswer),
}

enum KeyAnswer {
    Same(Uuid),
    Other { payment: Uuid, first_used_at: Timestamp },
}

impl Store {
    /// Accepts a batch in one transaction; the answers stand in the order of the batch.
    ///
    /// A thousand submissions of one authorization, in one batch or in many at the same instant,
    /// make one payment. When this returns, what it says is committed.
    ///
    /// # Errors
    /// [`StoreError`] when nothing was committed, or, after a lost connection, when that is
    /// unknown; the whole batch can be given again.
    pub async fn accept(&self, batch: Vec<Intake>) -> Result<Vec<Acceptance>, StoreError> {
        let mut tx = self.pool.begin().await?;
        let claims = claim_keys(&mut tx, &batch).await?;
        let open: Vec<&Intake> = batch
            .iter()
            .zip(&claims)
            .filter_map(|(intake, claim)| matches!(claim, Claim::Open).then_some(intake))
            .collect();
        let written = write_payments(&mut tx, &open).await?;
        let owners = find_owners(&mut tx, &open, &written).await?;
        repoint_keys(&mut tx, &open, &owners).await?;
        announce_new(&mut tx, &open, &written).await?;
        let answers = answer(&mut tx, &batch, claims, &written, &owners).await?;
        tx.commit().await?;
        Ok(answers)
    }
}

/// Claims each new key for its intake, and looks up what the others stand for.
///
/// Keys, and then authorizations, are always locked in ascending order, so that batches at the
/// same instant wait for each other but never in a circle.
async fn claim_keys(
    tx: &mut PgTransaction<'_>,
    batch: &[Intake],
) -> Result<Vec<Claim>, StoreError> {
    let keyed: Vec<(&Intake, &Idempotency)> = batch
        .iter()
        .filter_map(|intake| intake.idempotency.as_ref().map(|key| (intake, key)))
        .collect();
    if keyed.is_empty() {
        return Ok(batch.iter().map(|_| Claim::Open).collect());
    }
    insert_keys(tx, &keyed).await?;
    let stored = read_keys(tx, &keyed).await?;
    batch
        .iter()
        .map(|intake| {
            let Some(key) = &intake.idempotency else {
                return Ok(Claim::Open);
            };
            let row = stored
                .get(&(intake.account.uuid(), key.key.clone()))
                .ok_or_else(|| unreadable("idempotency key"))?;
            Ok(if row.payment == intake.id.uuid() {
                Claim::Open
            } else if row.body_sha256 == key.body_digest {
                Claim::Answered(KeyAnswer::Same(row.payment))
            } else {
                let KeyRow { payment, first_used_at, .. } = *row;
                Claim::Answered(KeyAnswer::Other { payment, first_used_at })
            })
        })
        .collect()
}

async fn insert_keys(
    tx: &mut PgTransaction<'_>,
    keyed: &[(&Intake, &Idempotency)],
) -> Result<(), StoreError> {
    let accounts: Vec<Uuid> = keyed.iter().map(|(intake, _)| intake.account.uuid()).collect();
    let keys: Vec<String> = keyed.iter().map(|(_, key)| key.key.clone()).collect();
    let digests: Vec<Vec<u8>> = keyed.iter().map(|(_, key)| key.body_digest.to_vec()).collect();
    let payments: Vec<Uuid> = keyed.iter().map(|(intake, _)| intake.id.uuid()).collect();
    let times: Vec<_> = keyed.iter().map(|(intake, _)| intake.accepted_at.to_datetime()).collect();
    sqlx::query!(
        "insert into idempotency_keys (account_id, key, body_sha256, payment_id, created_at)
         select * from unnest($1::uuid[], $2::text[], $3::bytea[], $4::uuid[], $5::timestamptz[])
             as new (account_id, key, body_sha256, payment_id, created_at)
         order by account_id, key
         on conflict (account_id, key) do nothing",
        &accounts,
        &keys,
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

async fn read_keys(
    tx: &mut PgTransaction<'_>,
    keyed: &[(&Intake, &Idempotency)],
) -> Result<HashMap<(Uuid, String), KeyRow>, StoreError> {
    let accounts: Vec<Uuid> = keyed.iter().map(|(intake, _)| intake.account.uuid()).collect();
    let keys: Vec<String> = keyed.iter().map(|(_, key)| key.key.clone()).collect();
    let rows = sqlx::query!(
        "select k.account_id, k.key, k.body_sha256, k.payment_id, k.created_at
         from idempotency_keys k
         join (select distinct * from unnest($1::uuid[], $2::text[]) as u (account_id, key)) wanted
             on wanted.account_id = k.account_id and wanted.key = k.key",
        &accounts,
        &keys,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let first_used_at = moment(row.created_at);
            let stored =
                KeyRow { payment: row.payment_id, body_sha256: row.body_sha256, first_used_at };
            ((row.account_id, row.key), stored)
        })
        .collect())
}

/// Writes the payments whose authorization is new, and says which those are.
async fn write_payments(
    tx: &mut PgTransaction<'_>,
    open: &[&Intake],
) -> Result<Vec<Uuid>, StoreError> {
    fn column<T>(open: &[&Intake], value: impl Fn(&Intake) -> T) -> Vec<T> {
        open.iter().map(|intake| value(intake)).collect()
    }
    let due = |intake: &Intake| {
        domain::schedule::due_at(&PaymentState::Accepted, 0, intake.accepted_at)
            .map(Timestamp::to_datetime)
    };
    let written = sqlx::query_scalar!(
        r#"insert into payments (
             id, account_id, chain_id, asset, payer, nonce, pay_to, amount, valid_after,
             valid_before, signature, x402_version, finality, reference, metadata, request_id,
             created_at, updated_at, due_at, version, state
           )
           select id, account_id, chain_id, asset, payer, nonce, pay_to, amount::numeric,
                  valid_after, valid_before, signature, x402_version, finality, reference,
                  metadata, request_id, accepted_at, accepted_at, due_at, 1, 'accepted'
           from unnest(
             $1::uuid[], $2::uuid[], $3::bigint[], $4::bytea[], $5::bytea[], $6::bytea[],
             $7::bytea[], $8::text[], $9::bigint[], $10::bigint[], $11::bytea[], $12::smallint[],
             $13::text[], $14::text[], $15::jsonb[], $16::text[], $17::timestamptz[],
             $18::timestamptz[]
           ) as new (
             id, account_id, chain_id, asset, payer, nonce, pay_to, amount, valid_after,
             valid_before, signature, x402_version, finality, reference, metadata, request_id,
             accepted_at, due_at
           )
           order by chain_id, asset, payer, nonce
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
        &column(open, |i| i.metadata.clone()) as _,
        &column(open, |i| i.request_id.clone()),
        &column(open, |i| i.accepted_at.to_datetime()),
        &column(open, due) as _,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(written)
}

/// Who has each authorization that was there before: by its key, the payment and its account.
type Owners = HashMap<domain::AuthorizationKey, (Uuid, Uuid)>;

async fn find_owners(
    tx: &mut PgTransaction<'_>,
    open: &[&Intake],
    written: &[Uuid],
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
            let key = domain::AuthorizationKey {
                chain: crate::row::chain(row.chain_id)?,
                asset: crate::row::address(&row.asset)?,
                payer: crate::row::address(&row.payer)?,
                nonce: hash(&row.nonce)?,
            };
            Ok((key, (row.id, row.account_id)))
        })
        .collect()
}

/// Keys of intakes that found their authorization taken: they stand for the payment that has it,
/// or, where that is another account's, for nothing.
async fn repoint_keys(
    tx: &mut PgTransaction<'_>,
    open: &[&Intake],
    owners: &Owners,
) -> Result<(), StoreError> {
    let claimed = open.iter().filter_map(|intake| {
        intake.idempotency.as_ref()?;
        let (payment, account) = owners.get(&intake.authorization.key())?;
        let own = *account == intake.account.uuid();
        Some((intake.id.uuid(), own.then_some(*payment)))
    });
    let (claims, payments): (Vec<Uuid>, Vec<Option<Uuid>>) = claimed.unzip();
    if claims.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update idempotency_keys k set payment_id = u.payment_id
         from unnest($1::uuid[], $2::uuid[]) as u (claim, payment_id)
         where k.payment_id = u.claim and u.payment_id is not null",
        &claims,
        &payments as _,
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "delete from idempotency_keys k
         using unnest($1::uuid[], $2::uuid[]) as u (claim, payment_id)
         where k.payment_id = u.claim and u.payment_id is null",
        &claims,
        &payments as _,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

fn as_payment(intake: &Intake) -> Payment {
    Payment {
        id: intake.id,
        account: intake.account,
        authorization: intake.authorization.clone(),
        finality: intake.finality,
        reference: intake.reference.clone(),
        metadata: intake.metadata.clone(),
        request_id: intake.request_id.clone(),
        created_at: intake.accepted_at,
        updated_at: intake.accepted_at,
        version: 1,
        state: PaymentState::Accepted,
    }
}

async fn announce_new(
    tx: &mut PgTransaction<'_>,
    open: &[&Intake],
    written: &[Uuid],
) -> Result<(), StoreError> {
    let payments: Vec<(EventId, Payment)> = open
        .iter()
        .filter(|intake| written.contains(&intake.id.uuid()))
        .map(|intake| (intake.event, as_payment(intake)))
        .collect();
    let events: Vec<NewEvent<'_>> = payments
        .iter()
        .map(|(id, payment)| NewEvent {
            id: *id,
            kind: EventType::Accepted,
            payment,
            carrier: None,
        })
        .collect();
    record_events(tx, &events).await?;
    announce(tx, &events).await?;
    Ok(())
}

async fn answer(
    tx: &mut PgTransaction<'_>,
    batch: &[Intake],
    claims: Vec<Claim>,
    written: &[Uuid],
    owners: &Owners,
) -> Result<Vec<Acceptance>, StoreError> {
    let known: Vec<Uuid> = owners
        .values()
        .map(|(payment, _)| *payment)
        .chain(claims.iter().filter_map(|claim| match claim {
            Claim::Answered(KeyAnswer::Same(payment)) => Some(*payment),
            Claim::Answered(KeyAnswer::Other { .. }) | Claim::Open => None,
        }))
        .collect();
    let loaded: HashMap<Uuid, Payment> = if known.is_empty() {
        HashMap::new()
    } else {
        let payments = load(&mut **tx, &known).await?;
        payments.into_iter().map(|payment| (payment.id.uuid(), payment)).collect()
    };
    let find = |id: &Uuid| loaded.get(id).cloned().ok_or_else(|| unreadable("payment"));
    batch
        .iter()
        .zip(claims)
        .map(|(intake, claim)| match claim {
            Claim::Answered(KeyAnswer::Other { payment, first_used_at }) => {
                Ok(Acceptance::KeyReused { payment: PaymentId::new(payment), first_used_at })
            }
            Claim::Answered(KeyAnswer::Same(payment)) => {
                // The key may have been claimed in this very batch, by an intake that found its
                // authorization taken: then it stands for the payment that has it.
                find(&payment)
                    .map(Acceptance::Replayed)
                    .or_else(|_| existing(intake, owners, &find))
            }
            Claim::Open if written.contains(&intake.id.uuid()) => {
                Ok(Acceptance::New(as_payment(intake)))
            }
            Claim::Open => existing(intake, owners, &find),
        })
        .collect()
}

fn existing(
    intake: &Intake,
    owners: &Owners,
    find: &impl Fn(&Uuid) -> Result<Payment, StoreError>,
) -> Result<Acceptance, StoreError> {
    let (payment, account) = owners
        .get(&intake.authorization.key())
        .ok_or_else(|| unreadable("owner of an authorization"))?;
    if *account == intake.account.uuid() {
        find(payment).map(Acceptance::Existing)
    } else {
        Ok(Acceptance::AnotherAccounts)
    }
}
