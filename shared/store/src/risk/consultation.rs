//! What an engine was asked about payments, and what it has said.

use std::collections::{HashMap, HashSet};

use domain::risk_engine::{RiskDecision, RiskLevel};
use domain::{Consultation, EngineAnswer, EngineKind, PaymentId, Progress, Timestamp};
use sqlx::PgTransaction;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::row::{count, moment, unreadable};
use crate::{Store, StoreError};

/// What came of asking an engine about a payment.
#[derive(Clone, Debug)]
pub struct EngineReply {
    /// The payment.
    pub payment: PaymentId,
    /// How the engine was spoken to.
    pub engine: EngineKind,
    /// What it said.
    pub said: EngineSaid,
    /// The hash of what was sent, where something was.
    pub request_sha256: Option<[u8; 32]>,
    /// The hash of what was answered, where it was read to its end.
    pub response_sha256: Option<[u8; 32]>,
}

/// What an engine said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineSaid {
    /// A decision.
    Answered(EngineAnswer),
    /// Nothing that counts, and it is asked again.
    Again {
        /// Not before this time.
        at: Timestamp,
        /// So many tries have come to nothing.
        tries: u32,
        /// Why this one has.
        why: &'static str,
    },
    /// Nothing that counts, and it is not asked again.
    Undecided(&'static str),
}

/// A payment's consultation as it stands in the ledger, with what is kept as evidence of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Recorded {
    pub(super) consultation: Consultation,
    pub(super) x402_version: Option<u32>,
    pub(super) engine: Option<String>,
    pub(super) no_decision: Option<String>,
    pub(super) request_sha256: Option<Vec<u8>>,
    pub(super) response_sha256: Option<Vec<u8>>,
}

impl Store {
    /// Writes down what an engine said. A decision that holds is not replaced: what was answered late,
    /// or twice, changes nothing, and nothing is heard of a payment that has been decided on meanwhile.
    /// Payments that are to be asked about again are due then.
    ///
    /// # Errors
    /// [`StoreError`] when nothing was written, or, after a lost connection, when that is unknown.
    pub async fn hear_engine(
        &self,
        replies: &[EngineReply],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut replies = one_each(replies);
        if replies.is_empty() {
            return Ok(());
        }
        let mut tx = self.pool.begin().await?;
        let undecided = lock_payments(&mut tx, &replies).await?;
        replies.retain(|reply| undecided.contains(&reply.payment.uuid()));
        let again: Vec<(Uuid, Timestamp)> = replies
            .iter()
            .filter_map(|reply| match reply.said {
                EngineSaid::Again { at, .. } => Some((reply.payment.uuid(), at)),
                EngineSaid::Answered(_) | EngineSaid::Undecided(_) => None,
            })
            .collect();
        put_off(&mut tx, &again).await?;
        write(&mut tx, &replies, now).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// One reply for each payment, in the order of their names: the gravest, where there are several.
fn one_each(replies: &[EngineReply]) -> Vec<&EngineReply> {
    let gravity = |reply: &EngineReply| match &reply.said {
        EngineSaid::Again { .. } => 0,
        EngineSaid::Undecided(_) => 1,
        EngineSaid::Answered(answer) => match answer.decision {
            RiskDecision::Allow => 2,
            RiskDecision::Review => 3,
            RiskDecision::Deny => 4,
        },
    };
    let mut replies: Vec<&EngineReply> = replies.iter().collect();
    replies.sort_by_key(|reply| (reply.payment, std::cmp::Reverse(gravity(reply))));
    replies.dedup_by_key(|reply| reply.payment);
    replies
}

/// Payments first, as whoever decides does it; says which of them nobody has decided on. What the others
/// were decided by is evidence, and no word that comes late may take its place.
async fn lock_payments(
    tx: &mut PgTransaction<'_>,
    replies: &[&EngineReply],
) -> Result<HashSet<Uuid>, StoreError> {
    let payments: Vec<Uuid> = replies.iter().map(|reply| reply.payment.uuid()).collect();
    let locked = sqlx::query!(
        "select id, state from payments where id = any($1) order by id for update",
        &payments,
    )
    .fetch_all(&mut **tx)
    .await?;
    let undecided = locked.into_iter().filter(|row| matches!(&*row.state, "accepted" | "held"));
    Ok(undecided.map(|row| row.id).collect())
}

async fn write(
    tx: &mut PgTransaction<'_>,
    replies: &[&EngineReply],
    now: Timestamp,
) -> Result<(), StoreError> {
    let rows: Vec<Columns<'_>> = replies.iter().map(|reply| Columns::of(reply, now)).collect();
    sqlx::query!(
        "insert into risk_answers (
             payment_id, state, engine, tries, ask_at, no_decision, decision, decision_id, level,
             reasons, valid_until, request_sha256, response_sha256
         )
         select payment_id, state, engine, tries, ask_at, no_decision, decision, decision_id, level,
                case when decision is not null
                    then array(select jsonb_array_elements_text(reasons)) end,
                valid_until, request, response
         from unnest(
             $1::uuid[], $2::text[], $3::text[], $4::integer[], $5::timestamptz[], $6::text[],
             $7::text[], $8::text[], $9::text[], $10::jsonb[], $11::timestamptz[], $12::bytea[],
             $13::bytea[]
         ) as new (
             payment_id, state, engine, tries, ask_at, no_decision, decision, decision_id, level,
             reasons, valid_until, request, response
         )
         on conflict (payment_id) do update set
             state = excluded.state, engine = excluded.engine, tries = excluded.tries,
             ask_at = excluded.ask_at, no_decision = excluded.no_decision,
             decision = excluded.decision, decision_id = excluded.decision_id,
             level = excluded.level, reasons = excluded.reasons,
             valid_until = excluded.valid_until, request_sha256 = excluded.request_sha256,
             response_sha256 = excluded.response_sha256
         where risk_answers.state <> 'answered'
            or (risk_answers.decision = 'allow' and risk_answers.valid_until <= $14)",
        &rows.iter().map(|row| row.payment).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.state.to_owned()).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.engine.to_owned()).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.tries).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.ask_at).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.no_decision).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.answer.map(|it| it.decision.as_str())).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.answer.map(|it| &*it.decision_id)).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.answer.map(|it| it.level.as_str())).collect::<Vec<_>>() as _,
        &rows.iter().map(Columns::reasons).collect::<Vec<_>>(),
        &rows.iter().map(Columns::valid_until).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.request).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.response).collect::<Vec<_>>() as _,
        now.to_datetime(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A reply as a row.
struct Columns<'a> {
    payment: Uuid,
    state: &'static str,
    engine: &'static str,
    tries: i32,
    ask_at: OffsetDateTime,
    no_decision: Option<&'static str>,
    answer: Option<&'a EngineAnswer>,
    request: Option<&'a [u8]>,
    response: Option<&'a [u8]>,
}

impl<'a> Columns<'a> {
    fn of(reply: &'a EngineReply, now: Timestamp) -> Self {
        let nothing = Self {
            payment: reply.payment.uuid(),
            state: "open",
            engine: reply.engine.as_str(),
            tries: 0,
            ask_at: now.to_datetime(),
            no_decision: None,
            answer: None,
            request: reply.request_sha256.as_ref().map(<[u8; 32]>::as_slice),
            response: reply.response_sha256.as_ref().map(<[u8; 32]>::as_slice),
        };
        match &reply.said {
            EngineSaid::Answered(answer) => {
                Self { state: "answered", answer: Some(answer), ..nothing }
            }
            EngineSaid::Again { at, tries, why } => Self {
                tries: i32::try_from(*tries).unwrap_or(i32::MAX),
                ask_at: at.to_datetime(),
                no_decision: Some(why),
                ..nothing
            },
            EngineSaid::Undecided(why) => {
                Self { state: "undecided", no_decision: Some(why), ..nothing }
            }
        }
    }

    fn reasons(&self) -> serde_json::Value {
        self.answer.map_or(serde_json::Value::Null, |answer| answer.reasons.clone().into())
    }

    fn valid_until(&self) -> Option<OffsetDateTime> {
        self.answer.map(|answer| answer.valid_until.to_datetime())
    }
}

/// Has these payments, which the transaction has locked, looked at when their engine may be asked again.
pub(super) async fn put_off(
    tx: &mut PgTransaction<'_>,
    payments: &[(Uuid, Timestamp)],
) -> Result<(), StoreError> {
    if payments.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update payments p set due_at = new.ask_at
         from unnest($1::uuid[], $2::timestamptz[]) as new (id, ask_at)
         where p.id = new.id and p.state in ('accepted', 'held')",
        &payments.iter().map(|(payment, _)| *payment).collect::<Vec<_>>(),
        &payments.iter().map(|(_, at)| at.to_datetime()).collect::<Vec<_>>(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Has nobody else ask about these payments for a while. Whoever asks may be killed meanwhile, and
/// then somebody else asks.
pub(super) async fn claim(
    tx: &mut PgTransaction<'_>,
    payments: &[Uuid],
    engine: EngineKind,
    until: Timestamp,
) -> Result<(), StoreError> {
    if payments.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into risk_answers (payment_id, state, engine, ask_at)
         select id, 'open', $2, $3 from unnest($1::uuid[]) as new (id) order by id
         on conflict (payment_id) do update set
             state = 'open', engine = excluded.engine, ask_at = excluded.ask_at,
             tries = case when risk_answers.state = 'open' then risk_answers.tries else 0 end,
             no_decision = case when risk_answers.state = 'open' then risk_answers.no_decision end,
             decision = null, decision_id = null, level = null, reasons = null,
             valid_until = null, request_sha256 = null, response_sha256 = null",
        payments,
        engine.as_str(),
        until.to_datetime(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Where these payments stand, whose rows the transaction has locked.
pub(super) async fn recorded(
    tx: &mut PgTransaction<'_>,
    payments: &[Uuid],
) -> Result<HashMap<Uuid, Recorded>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        r#"select p.id as "id!", p.x402_version as "x402_version!", c.session_id as "session_id?", a.state as "state?",
                  a.engine as "engine?", a.tries as "tries?", a.ask_at as "ask_at?",
                  a.no_decision, a.decision, a.decision_id, a.level, a.reasons, a.valid_until,
                  a.request_sha256, a.response_sha256
           from payments p
           left join risk_contexts c on c.payment_id = p.id
           left join risk_answers a on a.payment_id = p.id
           where p.id = any($1)"#,
        payments,
    )
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter().map(|row| Ok((row.id, row.into_recorded()?))).collect()
}

struct Row {
    id: Uuid,
    x402_version: i16,
    session_id: Option<Uuid>,
    state: Option<String>,
    engine: Option<String>,
    tries: Option<i32>,
    ask_at: Option<OffsetDateTime>,
    no_decision: Option<String>,
    decision: Option<String>,
    decision_id: Option<String>,
    level: Option<String>,
    reasons: Option<Vec<String>>,
    valid_until: Option<OffsetDateTime>,
    request_sha256: Option<Vec<u8>>,
    response_sha256: Option<Vec<u8>>,
}

impl Row {
    fn into_recorded(self) -> Result<Recorded, StoreError> {
        let progress = self.progress()?;
        let has_session = self.session_id.is_some();
        Ok(Recorded {
            consultation: Consultation { has_session, progress },
            x402_version: u32::try_from(self.x402_version).ok(),
            engine: self.engine,
            no_decision: self.no_decision,
            request_sha256: self.request_sha256,
            response_sha256: self.response_sha256,
        })
    }

    fn progress(&self) -> Result<Progress, StoreError> {
        match self.state.as_deref() {
            None => Ok(Progress::Unasked),
            Some("open") => Ok(Progress::Open {
                tries: self.tries.map(count).transpose()?.unwrap_or_default(),
                ask_at: self.ask_at.map(moment).ok_or_else(|| unreadable("ask_at"))?,
            }),
            Some("undecided") => Ok(Progress::Undecided),
            Some("answered") => self
                .answer()
                .map(Progress::Answered)
                .ok_or_else(|| unreadable("an engine's answer")),
            Some(_) => Err(unreadable("risk_answers.state")),
        }
    }

    fn answer(&self) -> Option<EngineAnswer> {
        Some(EngineAnswer {
            decision: match self.decision.as_deref()? {
                "allow" => RiskDecision::Allow,
                "review" => RiskDecision::Review,
                "deny" => RiskDecision::Deny,
                _ => return None,
            },
            decision_id: self.decision_id.clone()?,
            level: match self.level.as_deref()? {
                "low" => RiskLevel::Low,
                "medium" => RiskLevel::Medium,
                "high" => RiskLevel::High,
                _ => return None,
            },
            reasons: self.reasons.clone()?,
            valid_until: self.valid_until.map(moment)?,
        })
    }
}
