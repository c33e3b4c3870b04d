//! Why a payment is denied, or somebody has to decide.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)+) => {
        /// A rule that a payment breaks.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum PolicyReason {
            $($(#[$doc])* $name,)+
        }

        impl PolicyReason {
            /// Every reason, in the order in which rules are read.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The name on the wire and in the ledger.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

reasons! {
    /// The host of the resource is denied.
    EndpointBlocked = "ENDPOINT_BLOCKED",
    /// Only other hosts are allowed, or the payment names none.
    EndpointNotWhitelisted = "ENDPOINT_NOT_WHITELISTED",
    /// The payer is denied.
    PayerBlocked = "PAYER_BLOCKED",
    /// Only other payers are allowed.
    PayerNotWhitelisted = "PAYER_NOT_WHITELISTED",
    /// The recipient is denied.
    RecipientBlocked = "RECIPIENT_BLOCKED",
    /// Only other recipients are allowed.
    RecipientNotWhitelisted = "RECIPIENT_NOT_WHITELISTED",
    /// The token is denied.
    AssetBlocked = "ASSET_BLOCKED",
    /// Only other tokens are allowed.
    AssetNotWhitelisted = "ASSET_NOT_WHITELISTED",
    /// The network is denied.
    NetworkBlocked = "NETWORK_BLOCKED",
    /// Only other networks are allowed.
    NetworkNotWhitelisted = "NETWORK_NOT_WHITELISTED",
    /// One payment may not be so large.
    PerRequestLimitExceeded = "PER_REQUEST_LIMIT_EXCEEDED",
    /// It came without the session that an engine is asked by.
    SessionRequired = "RISK_SESSION_REQUIRED",
    /// The day's budget does not cover it.
    DailyBudgetExceeded = "DAILY_BUDGET_EXCEEDED",
    /// The month's budget does not cover it.
    MonthlyBudgetExceeded = "MONTHLY_BUDGET_EXCEEDED",
    /// The payer has made as many payments as it may for now.
    VelocityExceeded = "VELOCITY_EXCEEDED",
    /// The engine denies it.
    EngineDenied = "RISK_DENIED",
    /// Somebody has to decide on so much.
    ApprovalRequired = "APPROVAL_REQUIRED",
    /// The engine leaves it to somebody.
    EngineReview = "RISK_REVIEW",
    /// The engine has not decided in time.
    EngineSilent = "RISK_ENGINE_UNAVAILABLE",
}

/// Text that names no reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a reason of a policy")]
pub struct UnknownReason;

impl fmt::Display for PolicyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PolicyReason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, UnknownReason> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == text).ok_or(UnknownReason)
    }
}

impl Serialize for PolicyReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
