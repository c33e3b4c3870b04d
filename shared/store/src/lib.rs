//! The ledger in PostgreSQL. It decides; everything else only delivers.
//!
//! One file per aggregate, concrete functions, checked SQL. Every change of a payment goes
//! through [`Store::advance`] or a function built on it, so that the state, its event and what
//! follows from it commit together or not at all.

mod account;
mod advance;
mod audit;
mod control;
mod delivery;
mod due;
mod endpoint;
mod error;
mod feed;
mod installation;
mod intake;
mod payment;
mod recovery;
mod risk;
mod risk_session;
mod row;
mod session;
mod signer;
mod signing_key;
mod timeline;
mod transaction;

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

pub use account::{ApiKey, ApiKeyListing, KeyNotRotated, KeyRotation, NewApiKey, RotatedKey};
pub use advance::{Advance, Advanced, Change};
pub use audit::{
    AuditClaim, AuditResult, AuthorizationKey, BlockRange, LastAudit, MinedTransaction, Recorded,
    RecordedFact, SharedPlace,
};
pub use control::PauseScope;
pub use delivery::{
    AttemptRecord, Delivery, DeliveryCounts, DeliveryFilter, DeliveryKind, DeliveryListing,
    DeliveryNext, LoggedAttempt, NewTrial, Outlook, PutOff, Reception, Redelivery, Trial,
};
pub use due::{Backlog, Due, DueDeliveries, Lines};
pub use endpoint::{
    Announce, Endpoint, EndpointSecrets, EndpointState, EndpointUpdate, NewEndpoint, NewSecret,
    Rotation,
};
pub use error::StoreError;
pub use feed::{FeedEvent, FeedPosition};
pub use intake::{Acceptance, Idempotency, Intake};
pub use payment::{PaymentFilter, SignedPayment};
pub use recovery::{Begun, Recovery, RecoveryCount, RecoverySpec, RecoveryState, RecoveryStep};
pub use risk::{
    Candidate, DecisionTerms, Decisions, DenialRow, DueReceipt, EngineEvidence, EngineReply,
    EngineSaid, EngineTerms, Evaluation, Found, HeldPayment, HoldDecision, HoldOutcome, NewPolicy,
    PolicyVersion, ReceiptBacklog, ReceiptNext, Seen, ToAsk, Written,
};
pub use risk_session::{NewRiskTrace, RiskSessionRow, RiskTraceRow, TraceTold};
pub use signer::{Lane, LaneRequest, Renewal, SignerEvent, SignerEventRow, SignerRow};
pub use signing_key::SigningKeyRow;
pub use timeline::TimelineEntry;
pub use transaction::{
    AttemptKind, FollowUp, NewAttempt, OpenTransaction, Round, Stored, StoredAttempt,
    TransactionState,
};

/// How the URL of a PostgreSQL server begins.
const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// The schema, in order.
static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations");

/// The checksum of each migration, in order: together they tell one schema from another.
pub fn migration_checksums() -> impl Iterator<Item = &'static [u8]> {
    MIGRATIONS.iter().map(|migration| migration.checksum.as_ref())
}

/// A handle on the ledger; clones share one pool of connections.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
}

/// The connections to the database that a process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// Those that wait to be used.
    pub idle: u32,
    /// Those that are in use.
    pub used: u32,
}

impl Store {
    /// A handle that connects when it is first used, so that a process can start, and say that it
    /// is not ready, while the database is away.
    ///
    /// # Errors
    /// [`StoreError`] when `url` is not a PostgreSQL URL.
    pub fn connect(
        url: &str,
        max_connections: u32,
        acquire_timeout: Duration,
    ) -> Result<Self, StoreError> {
        // The driver takes any scheme, and the URL of another server by mistake.
        if !SCHEMES.iter().any(|scheme| url.starts_with(scheme)) {
            let mistake = sqlx::Error::Configuration("not a PostgreSQL URL".into());
            return Err(StoreError::Refused(mistake));
        }
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(acquire_timeout)
            .after_connect(|connection, _| Box::pin(session::set_up(connection)))
            .connect_lazy(url)?;
        Ok(Self { pool })
    }

    /// Brings the schema up to date; concurrent callers wait for each other.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be reached or a migration does not apply.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        Ok(MIGRATIONS.run(&self.pool).await?)
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`StoreError`] when it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query_scalar!("select 1 as one").fetch_one(&self.pool).await?;
        Ok(())
    }

    /// How many connections there are now.
    pub fn connections(&self) -> Connections {
        let idle = u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX);
        Connections { idle, used: self.pool.size().saturating_sub(idle) }
    }

    /// The pool itself, for tests that look behind the ledger's functions.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Gives the connections back; nothing can be asked afterwards.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
