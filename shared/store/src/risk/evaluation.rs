//! Why payments were decided on as they were.

use std::collections::HashMap;

use domain::{AccountId, Amount, Decision, Event, Payment, PaymentId, Progress, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sqlx::PgTransaction;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Candidate, Decided, DecisionTerms, Found, Known, Seen};
use crate::payment::uuids;
use crate::row::{count, hash, moment, parse, unreadable};
use crate::{Store, StoreError};

/// One decision, and what it rested on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RiskEvaluation)]
pub struct Evaluation {
    /// Its name: the engine's, where one was asked and has decided, and else ours.
    pub decision_id: String,
    /// When.
    pub at: Timestamp,
    /// `allow`, `deny` or `review`.
    pub decision: String,
    /// `low`, `medium` or `high`: how much there is to fear.
    pub level: String,
    /// Which rules made it so.
    pub reasons: Vec<String>,
    /// Until when an approval holds; afterwards the payment is judged anew.
    #[schema(required = true)]
    pub valid_until: Option<Timestamp>,
    /// The version of the policy that was read; none where the tenant has none.
    #[schema(required = true)]
    pub policy_version: Option<u32>,
    /// The time of the block that the balance is of.
    pub as_of: Timestamp,
    /// What the payer had.
    pub balance: Amount,
    /// What the payer's other open payments wanted of it.
    pub exposure: Amount,
    /// SHA-256 of everything that was decided on, in hexadecimal digits.
    pub inputs_sha256: String,
    /// What the engine had said; none where it was not asked.
    #[schema(required = true)]
    pub engine: Option<EngineEvidence>,
}

/// What a risk engine had said when a decision was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EngineEvidence {
    /// How it was spoken to: `local`, `trustline` or `score`.
    pub engine: String,
    /// `allow`, `deny` or `review`; none where it has not decided.
    #[schema(required = true)]
    pub decision: Option<String>,
    /// Its name for its decision.
    #[schema(required = true)]
    pub decision_id: Option<String>,
    /// `low`, `medium` or `high`.
    #[schema(required = true)]
    pub level: Option<String>,
    /// Why, in its words.
    pub reasons: Vec<String>,
    /// Until when its decision holds.
    #[schema(required = true)]
    pub valid_until: Option<Timestamp>,
    /// Why it has not decided.
    #[schema(required = true)]
    pub no_decision: Option<String>,
    /// SHA-256 of what it was sent, in hexadecimal digits.
    #[schema(required = true)]
    pub request_sha256: Option<String>,
    /// SHA-256 of what it answered, in hexadecimal digits.
    #[schema(required = true)]
    pub response_sha256: Option<String>,
}

impl Store {
    /// The newest decision on each of these payments that has one.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn newest_evaluations(
        &self,
        payments: &[PaymentId],
    ) -> Result<HashMap<PaymentId, Evaluation>, StoreError> {
        let rows = sqlx::query_as!(
            EvaluationRow,
            r#"select e.id, payment_id, at, decision, reasons, policy_version, as_of, engine,
                      valid_until, balance::text as "balance!", exposure::text as "exposure!",
                      encode(inputs_sha256, 'hex') as "inputs!"
               from unnest($1::uuid[]) as p (id)
               cross join lateral (
                   select * from risk_evaluations where payment_id = p.id order by id desc limit 1
               ) e"#,
            &uuids(payments),
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| Ok((PaymentId::new(row.payment_id), row.into_evaluation()?)))
            .collect()
    }

    /// The hosts of what is paid for with these payments, where they name them.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn resource_hosts(
        &self,
        payments: &[PaymentId],
    ) -> Result<HashMap<PaymentId, String>, StoreError> {
        let rows = sqlx::query!(
            r#"select id, resource_host as "host!" from payments
               where id = any($1) and resource_host is not null"#,
            &uuids(payments),
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|row| (PaymentId::new(row.id), row.host)).collect())
    }

    /// Every decision on the account's payment, oldest first.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn evaluations(
        &self,
        account: AccountId,
        payment: PaymentId,
    ) -> Result<Vec<Evaluation>, StoreError> {
        let rows = sqlx::query_as!(
            EvaluationRow,
            r#"select id, payment_id, at, decision, reasons, policy_version, as_of, engine,
                      valid_until, balance::text as "balance!", exposure::text as "exposure!", encode(inputs_sha256, 'hex') as "inputs!"
               from risk_evaluations where payment_id = $1 and account_id = $2 order by id"#,
            payment.uuid(),
            account.uuid(),
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(EvaluationRow::into_evaluation).collect()
    }
}

struct EvaluationRow {
    id: Uuid,
    payment_id: Uuid,
    at: OffsetDateTime,
    decision: String,
    reasons: Vec<String>,
    policy_version: Option<i32>,
    as_of: OffsetDateTime,
    balance: String,
    exposure: String,
    inputs: String,
    engine: Option<serde_json::Value>,
    valid_until: Option<OffsetDateTime>,
}

impl EvaluationRow {
    fn into_evaluation(self) -> Result<Evaluation, StoreError> {
        let engine = self.engine.map(serde_json::from_value::<EngineEvidence>).transpose();
        let engine = engine.map_err(|_| unreadable("an engine's evidence"))?;
        let said = engine.as_ref();
        Ok(Evaluation {
            decision_id: said
                .and_then(|said| said.decision_id.clone())
                .unwrap_or_else(|| self.id.to_string()),
            at: moment(self.at),
            level: said
                .and_then(|said| said.level.clone())
                .unwrap_or_else(|| level(&self.decision).to_owned()),
            decision: self.decision,
            reasons: self.reasons,
            valid_until: self.valid_until.map(moment),
            policy_version: self.policy_version.map(count).transpose()?,
            as_of: moment(self.as_of),
            balance: parse(&self.balance, "balance")?,
            exposure: parse(&self.exposure, "exposure")?,
            inputs_sha256: self.inputs,
            engine,
        })
    }
}

/// What is written of one decision.
struct Line<'a> {
    payment: &'a Payment,
    decision: &'static str,
    reasons: String,
    policy_version: Option<i32>,
    as_of: Timestamp,
    balance: Amount,
    exposure: Amount,
    inputs: Vec<u8>,
    engine: Option<serde_json::Value>,
    valid_until: Option<OffsetDateTime>,
}

impl<'a> Line<'a> {
    fn of(decided: &Decided<'a>, known: &Known, terms: &DecisionTerms) -> Self {
        let version = decided.policy.map(|policy| policy.version);
        Self {
            payment: &decided.candidate.payment,
            decision: name(&decided.decision),
            reasons: reasons(&decided.decision),
            policy_version: version.map(|it| i32::try_from(it).unwrap_or(i32::MAX)),
            as_of: decided.candidate.as_of,
            balance: decided.candidate.balance,
            exposure: exposure(decided),
            inputs: digest(decided, known),
            engine: evidence(decided),
            valid_until: approved_until(decided, terms),
        }
    }

    /// Of a payment that needed no rule to be rejected.
    fn of_rejected(found: &'a Found) -> Option<Self> {
        let (Event::Rejected(code), Some(seen)) = (&found.change.event, found.seen) else {
            return None;
        };
        let payment = &found.change.payment;
        let mut inputs = inputs(payment, seen);
        inputs["failure"] = code.as_str().into();
        Some(Self {
            payment,
            decision: "deny",
            reasons: code.as_str().to_owned(),
            policy_version: None,
            as_of: seen.as_of,
            balance: seen.balance,
            exposure: Amount::default(),
            inputs: sha256(&inputs),
            engine: None,
            valid_until: None,
        })
    }
}

/// Writes why these payments were decided on as they were.
pub(super) async fn record(
    tx: &mut PgTransaction<'_>,
    done: &[&Decided<'_>],
    known: &Known,
    terms: &DecisionTerms,
) -> Result<(), StoreError> {
    let lines: Vec<Line<'_>> = done.iter().map(|decided| Line::of(decided, known, terms)).collect();
    write(tx, &lines, terms.now).await
}

/// Writes why those of these payments were rejected that needed no rule for that.
pub(super) async fn record_rejected(
    tx: &mut PgTransaction<'_>,
    found: &[&Found],
    now: Timestamp,
) -> Result<(), StoreError> {
    let lines: Vec<Line<'_>> = found.iter().filter_map(|found| Line::of_rejected(found)).collect();
    write(tx, &lines, now).await
}

async fn write(
    tx: &mut PgTransaction<'_>,
    lines: &[Line<'_>],
    now: Timestamp,
) -> Result<(), StoreError> {
    if lines.is_empty() {
        return Ok(());
    }
    fn column<T>(lines: &[Line<'_>], value: impl Fn(&Line<'_>) -> T) -> Vec<T> {
        lines.iter().map(value).collect()
    }
    sqlx::query!(
        "insert into risk_evaluations (
             id, payment_id, account_id, at, decision, reasons, policy_version, as_of, balance,
             exposure, inputs_sha256, engine, valid_until
         )
         select id, payment_id, account_id, $4, decision, string_to_array(reasons, ','),
                policy_version, as_of, balance::numeric, exposure::numeric, inputs, engine,
                valid_until
         from unnest(
             $1::uuid[], $2::uuid[], $3::uuid[], $5::text[], $6::text[], $7::integer[],
             $8::timestamptz[], $9::text[], $10::text[], $11::bytea[], $12::jsonb[],
             $13::timestamptz[]
         ) as new (
             id, payment_id, account_id, decision, reasons, policy_version, as_of, balance,
             exposure, inputs, engine, valid_until
         )",
        &column(lines, |_| Uuid::now_v7()),
        &column(lines, |line| line.payment.id.uuid()),
        &column(lines, |line| line.payment.account.uuid()),
        now.to_datetime(),
        &column(lines, |line| line.decision.to_owned()),
        &column(lines, |line| line.reasons.clone()),
        &column(lines, |line| line.policy_version) as _,
        &column(lines, |line| line.as_of.to_datetime()),
        &column(lines, |line| line.balance.to_string()),
        &column(lines, |line| line.exposure.to_string()),
        &column(lines, |line| line.inputs.clone()),
        &column(lines, |line| line.engine.clone()) as _,
        &column(lines, |line| line.valid_until) as _,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

fn name(decision: &Decision) -> &'static str {
    match decision {
        Decision::Allow(_) => "allow",
        Decision::Deny(_) => "deny",
        // What waits is not moved, and so never recorded.
        Decision::Review(..) | Decision::Wait(_) | Decision::Ask => "review",
    }
}

fn reasons(decision: &Decision) -> String {
    match decision {
        Decision::Deny(reason) | Decision::Review(reason, _) => reason.to_string(),
        Decision::Allow(_) | Decision::Wait(_) | Decision::Ask => String::new(),
    }
}

/// How much there is to fear, where no engine has said.
fn level(decision: &str) -> &'static str {
    match decision {
        "allow" => "low",
        "review" => "medium",
        _ => "high",
    }
}

fn approved_until(decided: &Decided<'_>, terms: &DecisionTerms) -> Option<OffsetDateTime> {
    matches!(decided.decision, Decision::Allow(_)).then(|| decided.valid_until(terms).to_datetime())
}

/// What the engine has said, where it was asked.
fn evidence(decided: &Decided<'_>) -> Option<serde_json::Value> {
    let recorded = decided.consultation?;
    let answer = match &recorded.consultation.progress {
        Progress::Answered(answer) => Some(answer),
        Progress::Open { .. } | Progress::Undecided => None,
        Progress::Unasked => return None,
    };
    let digits = |bytes: &Option<Vec<u8>>| Some(format!("{:x}", hash(bytes.as_ref()?).ok()?));
    let evidence = EngineEvidence {
        engine: recorded.engine.clone()?,
        decision: answer.map(|answer| answer.decision.as_str().to_owned()),
        decision_id: answer.map(|answer| answer.decision_id.clone()),
        level: answer.map(|answer| answer.level.as_str().to_owned()),
        reasons: answer.map(|answer| answer.reasons.clone()).unwrap_or_default(),
        valid_until: answer.map(|answer| answer.valid_until),
        no_decision: recorded.no_decision.clone(),
        request_sha256: digits(&recorded.request_sha256),
        response_sha256: digits(&recorded.response_sha256),
    };
    serde_json::to_value(evidence).ok()
}

fn exposure(decided: &Decided<'_>) -> Amount {
    decided.exposure.unwrap_or_default()
}

/// Of everything that was decided on: the authorization, the rules and what somebody had said, and what the chain,
/// the ledger and the engine said.
fn digest(decided: &Decided<'_>, known: &Known) -> Vec<u8> {
    let Candidate { payment, balance, as_of, .. } = decided.candidate;
    let id = payment.id.uuid();
    let mut inputs = inputs(payment, Seen { balance: *balance, as_of: *as_of });
    inputs["policy"] = decided.policy.map(|policy| policy.version).into();
    inputs["exposure"] = exposure(decided).to_string().into();
    inputs["engine"] = evidence(decided).into();
    inputs["host"] = known.hosts.get(&id).cloned().into();
    inputs["by_hand"] = known.by_hand.get(&id).copied().into();
    sha256(&inputs)
}

fn inputs(payment: &Payment, seen: Seen) -> serde_json::Value {
    let authorization = &payment.authorization;
    serde_json::json!({
        "payment": payment.id,
        "version": payment.version,
        "network": authorization.chain,
        "asset": authorization.asset,
        "payer": authorization.payer,
        "pay_to": authorization.pay_to,
        "amount": authorization.amount,
        "nonce": authorization.nonce,
        "as_of": seen.as_of,
        "balance": seen.balance,
    })
}

fn sha256(inputs: &serde_json::Value) -> Vec<u8> {
    Sha256::digest(inputs.to_string()).to_vec()
}
