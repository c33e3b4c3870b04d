//! Why a configuration is refused.

use std::fmt;
use std::path::PathBuf;

/// Why the configuration cannot be used. No message repeats a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file of settings or of a secret cannot be read.
    #[error("{what}: cannot read {}: {source}", path.display())]
    Unreadable {
        /// What named the file: a variable or a setting.
        what: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("the configuration file is not valid TOML: line {line}, column {column}: {message}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
        /// What the parser says.
        message: String,
    },
    /// Settings that are unknown, of the wrong type, out of range, or that contradict each other; all that were found.
    #[error("{}", listed(.0))]
    Invalid(Vec<Issue>),
}

impl ConfigError {
    pub(super) fn invalid(setting: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid(vec![Issue::new(setting, problem)])
    }
}

/// One setting that cannot stay as it is, or that is worth a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// The setting (`settlement.max_lanes`) or the variable, with its origin.
    pub setting: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Issue {
    pub(super) fn new(setting: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { setting: setting.into(), problem: problem.into() }
    }
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.problem)
    }
}

fn listed(issues: &[Issue]) -> String {
    issues.iter().map(Issue::to_string).collect::<Vec<_>>().join("\n")
}
