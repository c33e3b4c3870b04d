//! What the installation signs with. Every key stays for ever: what it signed must verify for ever.

use std::fmt;
use std::time::Duration;

use domain::Timestamp;
use uuid::Uuid;

use crate::row::{moment, unreadable};
use crate::{Store, StoreError};

/// How long a new key is shown before it signs, so that whoever keeps the keys has it by then.
const SHOWN_AHEAD: Duration = Duration::from_secs(3_600);

/// A key of the installation. Its seed has no printing form.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKeyRow {
    /// Its name in the ledger.
    pub id: Uuid,
    /// What the key grows from (Ed25519).
    pub seed: [u8; 32],
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it may sign.
    pub active_from: Timestamp,
}

impl SigningKeyRow {
    /// Which of these signs at this time: the newest whose time has come. By a clock that is behind
    /// the one that they were made by, that is the first.
    pub fn signing(keys: &[Self], now: Timestamp) -> Option<&Self> {
        let order = |key: &&Self| (key.active_from, key.id);
        let active = keys.iter().filter(|key| key.active_from <= now).max_by_key(order);
        active.or_else(|| keys.iter().min_by_key(order))
    }
}

impl fmt::Debug for SigningKeyRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKeyRow")
            .field("id", &self.id)
            .field("created_at", &self.created_at)
            .field("active_from", &self.active_from)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Every key there has ever been, oldest first.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn signing_keys(&self) -> Result<Vec<SigningKeyRow>, StoreError> {
        let rows = sqlx::query!(
            "select id, seed, created_at, active_from from signing_keys order by active_from, id"
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(SigningKeyRow {
                    id: row.id,
                    seed: row.seed.try_into().map_err(|_| unreadable("signing key"))?,
                    created_at: moment(row.created_at),
                    active_from: moment(row.active_from),
                })
            })
            .collect()
    }

    /// Adds a key that grows from this seed. It is shown from now on, and signs in an hour.
    ///
    /// # Errors
    /// [`StoreError`] when nothing changed, or, after a lost connection, when that is unknown.
    pub async fn add_signing_key(
        &self,
        id: Uuid,
        seed: [u8; 32],
        now: Timestamp,
    ) -> Result<SigningKeyRow, StoreError> {
        let active_from = now.plus(SHOWN_AHEAD);
        sqlx::query!(
            "insert into signing_keys (id, seed, created_at, active_from)
             values ($1, $2, $3, $4)",
            id,
            &seed,
            now.to_datetime(),
            active_from.to_datetime(),
        )
        .execute(&self.pool)
        .await?;
        Ok(SigningKeyRow { id, seed, created_at: now, active_from })
    }
}
