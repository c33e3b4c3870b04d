//! Why the ledger did not do what it was asked.

/// What went wrong in the ledger, named for what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or takes no work now: try again later. Whether a commit
    /// that was under way happened is unknown.
    #[error("the ledger is unavailable: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// Two transactions stood in each other's way: the same call may succeed at once.
    #[error("the ledger asks to repeat the transaction")]
    Conflict(#[source] sqlx::Error),
    /// A row does not read as what the code knows: it was written by other code or by hand.
    #[error("the ledger holds a row that cannot be read: {0}")]
    Unreadable(String),
    /// The schema is not what the code knows.
    #[error("the ledger's schema could not be brought up to date: {0}")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// The database refused the statement: a defect in the code or the schema.
    #[error("the ledger refused: {0}")]
    Refused(#[source] sqlx::Error),
}

impl StoreError {
    /// Whether the same call may succeed later without anything being changed.
    pub const fn is_unavailable(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Conflict(_) => true,
            Self::Unreadable(_) | Self::Migration(_) | Self::Refused(_) => false,
        }
    }
}

/// SQLSTATE classes that mean "not now": connection exceptions, insufficient resources, operator
/// intervention (PostgreSQL 15, appendix A).
const UNAVAILABLE_CLASSES: [&str; 3] = ["08", "53", "57"];

/// `read_only_sql_transaction`, of a server that is no longer the primary, and
/// `idle_in_transaction_session_timeout`, of a process that was stopped: "not now" as well.
const UNAVAILABLE: [&str; 2] = ["25006", "25P03"];

/// `serialization_failure`, `deadlock_detected` and `lock_not_available`.
const CONFLICTS: [&str; 3] = ["40001", "40P01", "55P03"];

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::Database(database) = &error {
            let code = database.code().unwrap_or_default();
            if UNAVAILABLE_CLASSES.iter().any(|class| code.starts_with(class))
                || UNAVAILABLE.contains(&code.as_ref())
            {
                return Self::Unavailable(error);
            }
            if CONFLICTS.contains(&code.as_ref()) {
                return Self::Conflict(error);
            }
            return Self::Refused(error);
        }
        match error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable(error),
            other => Self::Refused(other),
        }
    }
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        Self::Migration(error)
    }
}
