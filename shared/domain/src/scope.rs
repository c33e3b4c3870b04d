//! What an API key may do.

use std::fmt;
use std::str::FromStr;

/// One permission of an API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Submit and cancel payments.
    PaymentsWrite,
    /// Read payments.
    PaymentsRead,
    /// Read and change webhook endpoints.
    Webhooks,
    /// Read and change what the tenant allows.
    Risk,
    /// Operate the pipeline.
    Ops,
}

/// Text that names no scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not one of payments:write, payments:read, webhooks, risk, ops")]
pub struct UnknownScope;

impl Scope {
    /// Every scope there is.
    pub const ALL: [Self; 5] =
        [Self::PaymentsWrite, Self::PaymentsRead, Self::Webhooks, Self::Risk, Self::Ops];

    /// The name on the wire and in the ledger.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PaymentsWrite => "payments:write",
            Self::PaymentsRead => "payments:read",
            Self::Webhooks => "webhooks",
            Self::Risk => "risk",
            Self::Ops => "ops",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(UnknownScope)
    }
}
