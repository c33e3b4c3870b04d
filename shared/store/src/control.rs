//! The switches that operators throw.

use domain::{AccountId, ChainId, Timestamp};

use crate::{Store, StoreError};

/// What a switch stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PauseScope {
    /// All settlement.
    All,
    /// Settlement on one network.
    Network(ChainId),
    /// The payments of one account.
    Account(AccountId),
}

impl PauseScope {
    pub(crate) fn key(self) -> String {
        match self {
            Self::All => "all".to_owned(),
            Self::Network(chain) => format!("network:{chain}"),
            Self::Account(account) => format!("account:{}", account.uuid()),
        }
    }
}

impl Store {
    /// Pauses or resumes a scope.
    ///
    /// # Errors
    /// [`StoreError`] when the switch was not thrown.
    pub async fn set_paused(
        &self,
        scope: PauseScope,
        paused: bool,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into controls (scope, paused, reason, updated_at) values ($1, $2, $3, $4)
             on conflict (scope) do update
             set paused = excluded.paused, reason = excluded.reason,
                 updated_at = excluded.updated_at",
            scope.key(),
            paused,
            reason,
            now.to_datetime(),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Which of these scopes are paused.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer; the caller then treats all as paused.
    pub async fn paused(&self, scopes: &[PauseScope]) -> Result<Vec<PauseScope>, StoreError> {
        let keys: Vec<String> = scopes.iter().map(|scope| scope.key()).collect();
        let paused = sqlx::query_scalar!(
            "select scope from controls where paused and scope = any($1)",
            &keys,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(scopes.iter().copied().filter(|scope| paused.contains(&scope.key())).collect())
    }
}
