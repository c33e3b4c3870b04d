//! What operators deny, and what they have paused.

use std::collections::{HashMap, HashSet};

use domain::{Control, Denial, Timestamp};
use sqlx::PgTransaction;
use uuid::Uuid;

use super::Candidate;
use crate::control::PauseScope;
use crate::row::{moment, parse};
use crate::{Store, StoreError};

/// Something that operators deny.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenialRow {
    /// Whom or what.
    pub denial: Denial,
    /// Why.
    pub reason: String,
    /// Since when.
    pub created_at: Timestamp,
}

impl Store {
    /// Denies somebody or something from the next decision on. What is denied already keeps its first
    /// reason; says whether it was not.
    ///
    /// # Errors
    /// [`StoreError`] when nothing was written.
    pub async fn deny(
        &self,
        denial: &Denial,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "insert into denials (kind, value, reason, created_at) values ($1, $2, $3, $4)
             on conflict do nothing",
            denial.kind(),
            denial.value(),
            reason,
            now.to_datetime(),
        )
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Denies somebody or something no longer; says whether it was denied.
    ///
    /// # Errors
    /// [`StoreError`] when nothing was changed.
    pub async fn stop_denying(&self, denial: &Denial) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "delete from denials where kind = $1 and value = $2",
            denial.kind(),
            denial.value(),
        )
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Everything that is denied.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn denials(&self) -> Result<Vec<DenialRow>, StoreError> {
        let rows = sqlx::query!(
            "select kind, value, reason, created_at from denials order by kind, value"
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(DenialRow {
                    denial: parse(&format!("{}:{}", row.kind, row.value), "denial")?,
                    reason: row.reason,
                    created_at: moment(row.created_at),
                })
            })
            .collect()
    }
}

/// What operators say about each of these payments that they say anything about.
pub(super) async fn controls(
    tx: &mut PgTransaction<'_>,
    candidates: &[Candidate],
    hosts: &HashMap<Uuid, String>,
) -> Result<HashMap<Uuid, Control>, StoreError> {
    let touches: Vec<(Uuid, Vec<Denial>, [String; 3])> = candidates
        .iter()
        .map(|Candidate { payment, .. }| {
            let id = payment.id.uuid();
            let host = hosts.get(&id).map(String::as_str);
            let scopes = [
                PauseScope::All,
                PauseScope::Network(payment.authorization.chain),
                PauseScope::Account(payment.account),
            ];
            (id, Denial::of(&payment.authorization, host), scopes.map(PauseScope::key))
        })
        .collect();
    let denied = denied(tx, touches.iter().flat_map(|(_, denials, _)| denials)).await?;
    let paused = paused(tx, touches.iter().flat_map(|(_, _, scopes)| scopes)).await?;
    let control = |denials: &[Denial], scopes: &[String]| {
        if let Some(denial) = denials.iter().find(|denial| denied.contains(*denial)) {
            return Some(Control::Denied(denial.reason()));
        }
        scopes.iter().any(|scope| paused.contains(scope)).then_some(Control::Paused)
    };
    Ok(touches
        .iter()
        .filter_map(|(id, denials, scopes)| Some((*id, control(denials, scopes)?)))
        .collect())
}

async fn denied<'a>(
    tx: &mut PgTransaction<'_>,
    asked: impl Iterator<Item = &'a Denial>,
) -> Result<HashSet<Denial>, StoreError> {
    let asked: HashSet<&Denial> = asked.collect();
    let rows = sqlx::query!(
        r#"select d.kind, d.value from unnest($1::text[], $2::text[]) as asked (kind, value)
           join denials d on d.kind = asked.kind and d.value = asked.value"#,
        &asked.iter().map(|denial| denial.kind().to_owned()).collect::<Vec<_>>(),
        &asked.iter().map(|denial| denial.value()).collect::<Vec<_>>(),
    )
    .fetch_all(&mut **tx)
    .await?;
    rows.iter().map(|row| parse(&format!("{}:{}", row.kind, row.value), "denial")).collect()
}

async fn paused<'a>(
    tx: &mut PgTransaction<'_>,
    scopes: impl Iterator<Item = &'a String>,
) -> Result<HashSet<String>, StoreError> {
    let scopes: HashSet<&String> = scopes.collect();
    let scopes: Vec<String> = scopes.into_iter().cloned().collect();
    let paused = sqlx::query_scalar!(
        "select scope from controls where paused and scope = any($1)",
        &scopes,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(paused.into_iter().collect())
}
