//! How sure a seller wants to be before a payment counts as settled.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The depth at which a confirmed payment is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Finality {
    /// The network's own number of confirmations.
    #[default]
    Confirmed,
    /// At or below the node's `safe` block, and with the network's own number of confirmations.
    Safe,
    /// At or below the node's `finalized` block, and with the network's own number of confirmations.
    Finalized,
}

/// Text that names no finality.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not one of confirmed, safe, finalized")]
pub struct UnknownFinality;

impl Finality {
    /// The name on the wire and in the ledger.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Safe => "safe",
            Self::Finalized => "finalized",
        }
    }
}

impl fmt::Display for Finality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Finality {
    type Err = UnknownFinality;

    fn from_str(text: &str) -> Result<Self, UnknownFinality> {
        [Self::Confirmed, Self::Safe, Self::Finalized]
            .into_iter()
            .find(|finality| finality.as_str() == text)
            .ok_or(UnknownFinality)
    }
}
