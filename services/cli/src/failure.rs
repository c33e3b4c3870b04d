//! Why a command could not do what it was asked.

use std::io::Write;

/// Why a command ended without success.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The process could not be set up.
    #[error("cannot start: {0}")]
    Start(#[source] std::io::Error),
    /// The settings are not usable.
    #[error("{0}")]
    Config(#[from] runtime::ConfigError),
    /// Logging could not be started.
    #[error("cannot start logging: {0}")]
    Telemetry(#[from] runtime::telemetry::TelemetryError),
    /// The ledger did not do it.
    #[error("{0}")]
    Store(#[from] store::StoreError),
    /// The Redis settings are not usable.
    #[error("{0}")]
    Queue(#[from] queue::QueueConfigError),
    /// The risk engine cannot be asked.
    #[error("{0}")]
    RiskEngine(#[from] risk::engine::EngineSetupError),
    /// Anything else, in words.
    #[error("{0}")]
    Said(String),
}

impl Failure {
    /// Tells the person at the terminal.
    pub(crate) fn report(&self) {
        // Standard error may be closed; there is nobody left to tell then.
        let _ = writeln!(std::io::stderr(), "quittance: {self}");
    }
}

/// Prints one line for the person or script that called.
pub(crate) fn print(line: impl std::fmt::Display) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{line}").map_err(Failure::Start)
}
