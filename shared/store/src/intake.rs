//! Accepting payments: many at once, each of them once.

mod authorization;
mod key;
mod permit;

use std::collections::{HashMap, HashSet};

use domain::{
    AccountId, Authorization, EventId, EventType, Finality, Payment, PaymentId, PaymentState,
    RiskContext, Signature, Timestamp, TokenPermit,
};
use sqlx::PgTransaction;
use uuid::Uuid;

use self::authorization::{Owners, find_owners, write_payments};
use self::key::{Claim, claim_keys, repoint_keys};
pub(crate) use self::permit::permits;
use self::permit::write_permits;
use crate::delivery::announce;
use crate::payment::load;
use crate::risk::write_contexts;
use crate::row::unreadable;
use crate::timeline::{NewEvent, record_events};
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
    /// What lets Permit2 move the money, where the buyer signed that as well (EIP-2612).
    pub permit: Option<TokenPermit>,
    /// The version of the protocol it came in.
    pub x402_version: u8,
    /// When the seller wants it called settled.
    pub finality: Finality,
    /// The seller's own name for it.
    pub reference: Option<String>,
    /// The seller's own notes: a JSON object.
    pub metadata: Option<serde_json::Value>,
    /// The host of what is paid for, if the payment names it: at most 253 characters.
    pub resource_host: Option<String>,
    /// What the buyer's agent handed over for a risk engine.
    pub risk_context: RiskContext,
    /// The request that submitted it.
    pub request_id: String,
    /// The keys under which the request may be repeated; of one that was used for another request,
    /// the first is told. No two are the same.
    pub idempotency: Vec<Idempotency>,
    /// When it was accepted.
    pub accepted_at: Timestamp,
}

/// A key under which a request may be repeated.
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
    /// A key was used before, for the same request: this payment.
    Replayed(Payment),
    /// The authorization was submitted before by the same account: this payment.
    Existing(Payment),
    /// The authorization was submitted before by another account.
    AnotherAccounts,
    /// A key was used before, for another request.
    KeyReused {
        /// The key.
        key: String,
        /// The payment of that request.
        payment: PaymentId,
        /// When that was.
        first_used_at: Timestamp,
    },
}

impl Store {
    /// Accepts a batch; the answers stand in the order of the batch.
    ///
    /// A thousand submissions of one authorization, in one batch or in many at the same instant,
    /// make one payment; within a batch the first has it. When this returns, what it says is
    /// committed.
    ///
    /// The batch is one transaction, with one exception: a submission one of whose keys was taken, in
    /// this very batch, by one that came to nothing is decided in a transaction after that.
    ///
    /// # Errors
    /// [`StoreError`] when nothing, or at most a part, was committed, or, after a lost connection,
    /// when that is unknown; the whole batch can be given again.
    pub async fn accept(&self, batch: Vec<Intake>) -> Result<Vec<Acceptance>, StoreError> {
        let mut answers: Vec<Option<Acceptance>> = vec![None; batch.len()];
        // The first that is undecided finds its keys free, or taken by an earlier batch, so no batch
        // needs more passes than it has members; one more is for keys that were forgotten at the
        // same instant.
        for _ in 0..=batch.len() {
            let open: Vec<usize> = (0..batch.len()).filter(|&at| answers[at].is_none()).collect();
            if open.is_empty() {
                break;
            }
            let intakes: Vec<&Intake> = open.iter().map(|&at| &batch[at]).collect();
            for (at, answer) in open.iter().zip(self.accept_once(&intakes).await?) {
                answers[*at] = answer;
            }
        }
        answers.into_iter().collect::<Option<_>>().ok_or_else(|| unreadable("idempotency keys"))
    }

    /// One transaction of [`Store::accept`]. What has no answer depends on a key that stands for
    /// nothing by now, and has left nothing.
    async fn accept_once(&self, batch: &[&Intake]) -> Result<Vec<Option<Acceptance>>, StoreError> {
        let mut tx = self.pool.begin().await?;
        let claims = claim_keys(&mut tx, batch).await?;
        let open: Vec<&Intake> = batch
            .iter()
            .zip(&claims)
            .filter_map(|(intake, claim)| matches!(claim, Claim::Open).then_some(*intake))
            .collect();
        let written = write_payments(&mut tx, &open).await?;
        let owners = find_owners(&mut tx, &open, &written).await?;
        let mut fates: Fates =
            batch.iter().map(|intake| (intake.id.uuid(), Fate::Answered)).collect();
        for intake in &open {
            fates.insert(intake.id.uuid(), Fate::of(intake, &written, &owners)?);
        }
        repoint_keys(&mut tx, &open, &fates).await?;
        let new: Vec<&Intake> = open
            .iter()
            .filter(|intake| fates.get(&intake.id.uuid()) == Some(&Fate::New))
            .copied()
            .collect();
        write_contexts(&mut tx, new.iter().map(|intake| (intake.id, &intake.risk_context))).await?;
        let permits = new.iter().filter_map(|intake| Some((intake.id, intake.permit.as_ref()?)));
        write_permits(&mut tx, permits).await?;
        announce_new(&mut tx, &new).await?;
        let answers = answer(&mut tx, batch, &claims, &fates).await?;
        tx.commit().await?;
        Ok(answers)
    }
}

/// What became of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Its payment is written, under its own name.
    New,
    /// The same account has a payment of its authorization: this one.
    Existing(Uuid),
    /// Another account has.
    AnotherAccounts,
    /// A key has answered it, or will when it is asked again.
    Answered,
}

/// By the name that the submission would have given its payment.
type Fates = HashMap<Uuid, Fate>;

impl Fate {
    fn of(intake: &Intake, written: &HashSet<Uuid>, owners: &Owners) -> Result<Self, StoreError> {
        if written.contains(&intake.id.uuid()) {
            return Ok(Self::New);
        }
        let (payment, account) =
            owners.get(&intake.id.uuid()).ok_or_else(|| unreadable("owner of an authorization"))?;
        let own = *account == intake.account.uuid();
        Ok(if own { Self::Existing(*payment) } else { Self::AnotherAccounts })
    }
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

async fn announce_new(tx: &mut PgTransaction<'_>, new: &[&Intake]) -> Result<(), StoreError> {
    let payments: Vec<(EventId, Payment)> =
        new.iter().map(|intake| (intake.event, as_payment(intake))).collect();
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

/// What a key stands for once the batch is written: a payment, or, where whoever took it in this
/// very batch came to nothing, nothing.
fn stands_for(payment: Uuid, fates: &Fates) -> Option<Uuid> {
    match fates.get(&payment) {
        None | Some(Fate::New) => Some(payment),
        Some(Fate::Existing(other)) => Some(*other),
        Some(Fate::AnotherAccounts | Fate::Answered) => None,
    }
}

async fn answer(
    tx: &mut PgTransaction<'_>,
    batch: &[&Intake],
    claims: &[Claim],
    fates: &Fates,
) -> Result<Vec<Option<Acceptance>>, StoreError> {
    let fate = |intake: &Intake| fates.get(&intake.id.uuid()).copied();
    let known: Vec<Uuid> = batch
        .iter()
        .zip(claims)
        .filter_map(|(intake, claim)| match claim {
            Claim::Same(payment) => stands_for(*payment, fates),
            Claim::Open => match fate(intake)? {
                Fate::Existing(payment) => Some(payment),
                Fate::New | Fate::AnotherAccounts | Fate::Answered => None,
            },
            Claim::Other { .. } | Claim::Vanished => None,
        })
        .collect();
    let loaded: HashMap<Uuid, Payment> = if known.is_empty() {
        HashMap::new()
    } else {
        let payments = load(&mut **tx, &known).await?;
        payments.into_iter().map(|payment| (payment.id.uuid(), payment)).collect()
    };
    let find = |id: Uuid| loaded.get(&id).cloned().ok_or_else(|| unreadable("payment"));
    batch
        .iter()
        .zip(claims)
        .map(|(intake, claim)| {
            Ok(match claim {
                Claim::Open => match fate(intake).ok_or_else(|| unreadable("submission"))? {
                    Fate::New => Some(Acceptance::New(as_payment(intake))),
                    Fate::Existing(payment) => Some(Acceptance::Existing(find(payment)?)),
                    Fate::AnotherAccounts => Some(Acceptance::AnotherAccounts),
                    Fate::Answered => None,
                },
                Claim::Same(payment) => stands_for(*payment, fates)
                    .map(|payment| find(payment).map(Acceptance::Replayed))
                    .transpose()?,
                Claim::Other { key, payment, first_used_at } => {
                    stands_for(*payment, fates).map(|payment| Acceptance::KeyReused {
                        key: key.clone(),
                        payment: PaymentId::new(payment),
                        first_used_at: *first_used_at,
                    })
                }
                Claim::Vanished => None,
            })
        })
        .collect()
}
