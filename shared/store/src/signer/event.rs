//! The journal of a signer.

use domain::{SignerId, Timestamp, U256};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgTransaction;
use uuid::Uuid;

use crate::row::moment;
use crate::{Store, StoreError};

/// Something that happened to a signer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignerEvent {
    /// It was made known to the ledger.
    Registered,
    /// An operator took it out of use.
    Paused {
        /// Why, in the operator's words.
        reason: String,
    },
    /// An operator put it back into use.
    Resumed,
    /// A process has it under lease now.
    LeaseTaken {
        /// Which process.
        owner: Uuid,
        /// Which lease.
        epoch: i64,
    },
    /// Its holder gave it back.
    LeaseReleased {
        /// Which process.
        owner: Uuid,
        /// Which lease.
        epoch: i64,
    },
    /// Its holder let the lease run out, and another process took it.
    LeaseLost {
        /// Which process had it.
        owner: Uuid,
        /// Which lease.
        epoch: i64,
    },
    /// It takes no new work until it has money for gas.
    OutOfGas {
        /// What it had, in wei, when that was looked at last; `None` when nobody has looked yet.
        balance: Option<U256>,
    },
    /// It has money for gas again.
    Funded {
        /// What it has, in wei.
        balance: U256,
    },
}

/// Something that happened to a signer, as operators see it.
#[derive(Clone, Debug, Serialize)]
pub struct SignerEventRow {
    /// When.
    pub at: Timestamp,
    /// What.
    pub r#type: String,
    /// Who, why, how much.
    #[serde(flatten)]
    pub detail: Value,
}

impl SignerEvent {
    const fn name(&self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Paused { .. } => "paused",
            Self::Resumed => "resumed",
            Self::LeaseTaken { .. } => "lease_taken",
            Self::LeaseReleased { .. } => "lease_released",
            Self::LeaseLost { .. } => "lease_lost",
            Self::OutOfGas { .. } => "out_of_gas",
            Self::Funded { .. } => "funded",
        }
    }

    fn detail(&self) -> Value {
        match self {
            Self::Registered | Self::Resumed => json!({}),
            Self::Paused { reason } => json!({ "reason": reason }),
            Self::LeaseTaken { owner, epoch }
            | Self::LeaseReleased { owner, epoch }
            | Self::LeaseLost { owner, epoch } => {
                json!({ "owner": owner.to_string(), "epoch": epoch })
            }
            Self::OutOfGas { balance } => {
                json!({ "balance_wei": balance.map(|balance| balance.to_string()) })
            }
            Self::Funded { balance } => json!({ "balance_wei": balance.to_string() }),
        }
    }
}

impl Store {
    /// Notes something that happened to a signer outside the ledger.
    ///
    /// # Errors
    /// [`StoreError`] when it was not noted.
    pub async fn note_signer_event(
        &self,
        signer: SignerId,
        event: &SignerEvent,
    ) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        note(&mut tx, &[(signer.uuid(), event.clone())]).await?;
        Ok(tx.commit().await?)
    }

    /// The newest `most` events of a signer, oldest first.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer.
    pub async fn signer_events(
        &self,
        signer: SignerId,
        most: u32,
    ) -> Result<Vec<SignerEventRow>, StoreError> {
        let rows = sqlx::query!(
            "select at, type, detail from signer_events
             where signer_id = $1 order by id desc limit $2",
            signer.uuid(),
            i64::from(most),
        )
        .fetch_all(&self.pool)
        .await?;
        let events = rows.into_iter().rev();
        Ok(events
            .map(|row| SignerEventRow {
                at: moment(row.at),
                r#type: row.r#type,
                detail: row.detail,
            })
            .collect())
    }
}

/// Writes the journal rows of what is being committed, in this order.
pub(super) async fn note(
    tx: &mut PgTransaction<'_>,
    events: &[(Uuid, SignerEvent)],
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = events.iter().map(|_| Uuid::now_v7()).collect();
    let signers: Vec<Uuid> = events.iter().map(|(signer, _)| *signer).collect();
    let types: Vec<String> = events.iter().map(|(_, event)| event.name().to_owned()).collect();
    let details: Vec<Value> = events.iter().map(|(_, event)| event.detail()).collect();
    sqlx::query!(
        "insert into signer_events (id, signer_id, type, detail)
         select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::jsonb[])",
        &ids,
        &signers,
        &types,
        &details,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
