//! Telling an endpoint again what it missed: jobs that go on where they stopped.

mod count;
mod step;

use domain::{AccountId, EndpointId, JobId, Timestamp};
use uuid::Uuid;

pub use self::count::RecoveryCount;
pub use self::step::RecoveryStep;
use crate::row::{first_id, moment, unreadable, unsigned};
use crate::{Store, StoreError};

/// What is to be told again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoverySpec {
    /// Whose.
    pub account: AccountId,
    /// To which endpoint.
    pub endpoint: EndpointId,
    /// What happened from then on …
    pub since: Timestamp,
    /// … and before then.
    pub until: Timestamp,
    /// Whether what arrived is told again as well.
    pub delivered_too: bool,
    /// Whether events are told of which the endpoint was never told.
    pub untold_too: bool,
}

/// How far a recovery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoveryState {
    /// It goes on.
    Running,
    /// Everything is on its way.
    Done,
    /// Its endpoint was deleted.
    Canceled,
}

impl RecoveryState {
    /// The name on the wire and in the ledger.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Canceled => "canceled",
        }
    }

    fn parse(text: &str) -> Result<Self, StoreError> {
        let all = [Self::Running, Self::Done, Self::Canceled];
        all.into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| unreadable("state of a recovery"))
    }
}

/// A recovery as its owner sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Its name.
    pub id: JobId,
    /// What is told again.
    pub spec: RecoverySpec,
    /// How far it is.
    pub state: RecoveryState,
    /// Deliveries that are on their way because of it, or were.
    pub recovered: u64,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was over.
    pub finished_at: Option<Timestamp>,
}

/// What became of the wish for a recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It runs.
    Running,
    /// Another one of the same endpoint is not over.
    Busy,
    /// The endpoint is disabled, and is told nothing.
    EndpointIsDown,
    /// The account has no such endpoint.
    Unknown,
}

impl Store {
    /// Begins a recovery; somebody calls [`Store::step_recovery`] until it is over.
    ///
    /// # Errors
    /// [`StoreError`] when it was not begun.
    pub async fn begin_recovery(
        &self,
        id: JobId,
        spec: &RecoverySpec,
        now: Timestamp,
    ) -> Result<Begun, StoreError> {
        let mut tx = self.pool.begin().await?;
        let state = sqlx::query_scalar!(
            "select state from webhook_endpoints where id = $1 and account_id = $2 for share",
            spec.endpoint.uuid(),
            spec.account.uuid(),
        )
        .fetch_optional(&mut *tx)
        .await?;
        match state.as_deref() {
            Some("enabled") => {}
            Some("disabled") => return Ok(Begun::EndpointIsDown),
            _ => return Ok(Begun::Unknown),
        }
        let done = sqlx::query!(
            "insert into recoveries (
                 id, account_id, endpoint_id, since, until, delivered_too, untold_too, state,
                 after_delivery, after_event, created_at, updated_at
             )
             values ($1, $2, $3, $4, $5, $6, $7, 'running', $8, $9, $10, $10)
             on conflict (endpoint_id) where state = 'running' do nothing",
            id.uuid(),
            spec.account.uuid(),
            spec.endpoint.uuid(),
            spec.since.to_datetime(),
            spec.until.to_datetime(),
            spec.delivered_too,
            spec.untold_too,
            first_id(spec.since),
            Uuid::nil(),
            now.to_datetime(),
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(if done.rows_affected() > 0 { Begun::Running } else { Begun::Busy })
    }

    /// The account's recovery, if it has one of this name.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn find_recovery(
        &self,
        account: AccountId,
        id: JobId,
    ) -> Result<Option<Recovery>, StoreError> {
        let row = sqlx::query!(
            "select endpoint_id, since, until, delivered_too, untold_too, state, recovered,
                    created_at, finished_at
             from recoveries where id = $1 and account_id = $2",
            id.uuid(),
            account.uuid(),
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let spec = RecoverySpec {
            account,
            endpoint: EndpointId::new(row.endpoint_id),
            since: moment(row.since),
            until: moment(row.until),
            delivered_too: row.delivered_too,
            untold_too: row.untold_too,
        };
        Ok(Some(Recovery {
            id,
            spec,
            state: RecoveryState::parse(&row.state)?,
            recovered: unsigned(row.recovered)?,
            created_at: moment(row.created_at),
            finished_at: row.finished_at.map(moment),
        }))
    }
}
