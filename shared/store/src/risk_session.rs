//! Sessions and traces of our own risk engine, shared by all processes, each its account's alone.

use domain::risk_engine::{RiskSession, RiskTrace};
use domain::{AccountId, Timestamp};
use serde_json::Value;
use uuid::Uuid;

use crate::row::{address, moment, unreadable};
use crate::{Store, StoreError};

/// The most sessions that an account has at once.
const MAX_SESSIONS: i64 = 10_000;

/// The most traces of a session.
const MAX_TRACES: i64 = 100;

/// A session, and what the agent says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RiskSessionRow {
    /// What is decided on.
    pub session: RiskSession,
    /// Where the agent is reached.
    pub agent_endpoint: Option<String>,
    /// The app that it is part of.
    pub app_id: Option<String>,
    /// What it runs on: a JSON object as it came.
    pub device: Option<String>,
    /// When it began.
    pub created_at: Timestamp,
}

/// A trace that is told for the first time, or again.
#[derive(Clone, Copy, Debug)]
pub struct NewRiskTrace<'a> {
    /// Its name, should it be new.
    pub id: Uuid,
    /// The session that it is for.
    pub session: Uuid,
    /// What was told, byte by byte.
    pub body: &'a [u8],
    /// Its hash.
    pub sha256: [u8; 32],
    /// The request that it is for.
    pub request_id: Option<&'a str>,
}

/// What became of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceTold {
    /// It is kept under this name; the one it has already, where it was told before.
    Kept(Uuid),
    /// The account has no such session, or not any more.
    NoSession,
    /// The session has as many as it may have.
    Full,
}

/// A trace as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RiskTraceRow {
    /// The session that it is for.
    pub session: Uuid,
    /// What was told, byte by byte.
    pub body: Vec<u8>,
    /// Its hash.
    pub sha256: [u8; 32],
    /// An earlier trace of the session was for the same request.
    pub repeated: bool,
}

impl RiskTraceRow {
    /// What is decided on. What was told is JSON, or nothing was kept of it.
    pub fn to_trace(&self) -> RiskTrace {
        let told: Option<Value> = serde_json::from_slice(&self.body).ok();
        let agent_trace = told.and_then(|told| told.get("agent_trace").cloned());
        let agent_trace = agent_trace.filter(|told| !told.is_null());
        RiskTrace { session: self.session, repeated: self.repeated, agent_trace }
    }
}

impl Store {
    /// Begins a session; false where the account has too many.
    ///
    /// # Errors
    /// [`StoreError`] when nothing changed, or, after a lost connection, when that is unknown.
    pub async fn begin_risk_session(
        &self,
        account: AccountId,
        new: &RiskSessionRow,
    ) -> Result<bool, StoreError> {
        let session = &new.session;
        let done = sqlx::query!(
            "insert into risk_sessions
                 (id, account_id, wallet, agent_did, agent_endpoint, app_id, device, created_at, expires_at)
             select $1, $2, $3, $4, $5, $6, $7, $8, $9
             where (select count(*) from (
                 select 1 from risk_sessions
                 where account_id = $2 and expires_at > $8 limit $10
             ) open) < $10",
            session.id,
            account.uuid(),
            session.wallet.as_slice(),
            session.agent_did,
            new.agent_endpoint,
            new.app_id,
            new.device,
            new.created_at.to_datetime(),
            session.expires_at.to_datetime(),
            MAX_SESSIONS,
        )
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// A session of this account that is not over.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn find_risk_session(
        &self,
        account: AccountId,
        session: Uuid,
        now: Timestamp,
    ) -> Result<Option<RiskSessionRow>, StoreError> {
        let row = sqlx::query!(
            "select id, wallet, agent_did, agent_endpoint, app_id, device, created_at, expires_at
             from risk_sessions where id = $1 and account_id = $2 and expires_at > $3",
            session,
            account.uuid(),
            now.to_datetime(),
        )
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| {
            let session = RiskSession {
                id: row.id,
                wallet: address(&row.wallet)?,
                agent_did: row.agent_did,
                expires_at: moment(row.expires_at),
            };
            let (agent_endpoint, app_id, device) = (row.agent_endpoint, row.app_id, row.device);
            let created_at = moment(row.created_at);
            Ok(RiskSessionRow { session, agent_endpoint, app_id, device, created_at })
        })
        .transpose()
    }

    /// Keeps a trace of a session of this account that is not over.
    ///
    /// # Errors
    /// [`StoreError`] when nothing changed, or, after a lost connection, when that is unknown.
    pub async fn tell_risk_trace(
        &self,
        account: AccountId,
        new: &NewRiskTrace<'_>,
        now: Timestamp,
    ) -> Result<TraceTold, StoreError> {
        let mut tx = self.pool.begin().await?;
        // Traces of a session come one after the other, so that each sees those before it.
        let session = sqlx::query!(
            "select id from risk_sessions
             where id = $1 and account_id = $2 and expires_at > $3 for update",
            new.session,
            account.uuid(),
            now.to_datetime(),
        )
        .fetch_optional(&mut *tx)
        .await?;
        if session.is_none() {
            return Ok(TraceTold::NoSession);
        }
        let before = sqlx::query!(
            r#"select count(*) as "count!",
                 coalesce(bool_or(request_id = $2), false) as "repeated!",
                 (array_agg(id) filter (where sha256 = $3))[1] as same
               from risk_traces where session_id = $1"#,
            new.session,
            new.request_id,
            &new.sha256,
        )
        .fetch_one(&mut *tx)
        .await?;
        if let Some(same) = before.same {
            return Ok(TraceTold::Kept(same));
        }
        if before.count >= MAX_TRACES {
            return Ok(TraceTold::Full);
        }
        sqlx::query!(
            "insert into risk_traces (id, session_id, body, sha256, request_id, repeated, created_at)
             values ($1, $2, $3, $4, $5, $6, $7)",
            new.id,
            new.session,
            new.body,
            &new.sha256,
            new.request_id,
            before.repeated,
            now.to_datetime(),
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(TraceTold::Kept(new.id))
    }

    /// A trace of a session of this account that is not over.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn find_risk_trace(
        &self,
        account: AccountId,
        trace: Uuid,
        now: Timestamp,
    ) -> Result<Option<RiskTraceRow>, StoreError> {
        let row = sqlx::query!(
            "select t.session_id, t.body, t.sha256, t.repeated
             from risk_traces t join risk_sessions s on s.id = t.session_id
             where t.id = $1 and s.account_id = $2 and s.expires_at > $3",
            trace,
            account.uuid(),
            now.to_datetime(),
        )
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| {
            Ok(RiskTraceRow {
                session: row.session_id,
                body: row.body,
                sha256: row.sha256.try_into().map_err(|_| unreadable("hash of a trace"))?,
                repeated: row.repeated,
            })
        })
        .transpose()
    }

    /// Forgets sessions that were over at `before`, with their traces, up to `limit` of them.
    ///
    /// # Errors
    /// [`StoreError`] when nothing was forgotten.
    pub async fn forget_risk_sessions(
        &self,
        before: Timestamp,
        limit: i64,
    ) -> Result<u64, StoreError> {
        let done = sqlx::query!(
            "delete from risk_sessions where id = any(array(
                 select id from risk_sessions where expires_at <= $1
                 order by expires_at limit $2 for update skip locked
             ))",
            before.to_datetime(),
            limit,
        )
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }
}
