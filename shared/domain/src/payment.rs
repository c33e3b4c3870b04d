//! A payment, and where it stands.

use std::fmt;
use std::str::FromStr;

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{AccountId, Authorization, FailureCode, Finality, PaymentId, Timestamp, TransactionId};

/// One authorization on its way to being settled for one seller.
#[derive(Clone, Debug, PartialEq)]
pub struct Payment {
    /// Its name.
    pub id: PaymentId,
    /// Whose payment it is.
    pub account: AccountId,
    /// What the buyer signed.
    pub authorization: Authorization,
    /// When the seller wants it called settled.
    pub finality: Finality,
    /// The seller's own name for it.
    pub reference: Option<String>,
    /// The seller's own notes: a JSON object.
    pub metadata: Option<serde_json::Value>,
    /// The request that submitted it.
    pub request_id: String,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// 1 when accepted, one more with each change.
    pub version: u32,
    /// Where it stands.
    pub state: PaymentState,
}

/// Where a payment stands. Each variant carries exactly what is known by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentState {
    /// Committed; the 202 is given. Risk decides next.
    Accepted,
    /// Risk wants a human to decide, until this moment.
    Held {
        /// When the hold ends, undecided holds with it.
        until: Timestamp,
    },
    /// May be settled, as far as risk goes, until this moment.
    Approved {
        /// When the decision is stale and risk is asked again.
        until: Timestamp,
    },
    /// Inside a stored, signed transaction: it may be mined at any time.
    Submitted(Submission),
    /// In a canonical block that a reorganisation could still undo.
    Confirmed {
        /// Where the money moved.
        inclusion: Inclusion,
        /// Our transaction that carries it; none when somebody else's paid it first.
        submission: Option<Submission>,
    },
    /// Paid, and final as the seller asked.
    Settled {
        /// Where the money moved.
        inclusion: Inclusion,
    },
    /// Refused before any broadcast.
    Rejected(FailureCode),
    /// Taken back by the seller before it was submitted.
    Canceled,
    /// Its window closed in a final block, unused.
    Expired,
    /// Proven unable to pay after it was submitted.
    Failed(FailureCode),
}

/// Our transaction that carries a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submission {
    /// The transaction.
    pub transaction: TransactionId,
    /// How long risk's approval holds, should the payment come back from the transaction.
    pub approved_until: Timestamp,
}

/// Where on chain the money moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inclusion {
    /// The transaction that paid, whoever sent it.
    pub tx_hash: B256,
    /// Where its `Transfer` stands in the block's logs.
    pub log_index: u64,
    /// The block's height.
    pub block_number: u64,
    /// The block's hash: the payment stands only while this block is canonical.
    pub block_hash: B256,
}

/// A state without what is known in it: for the ledger, filters and the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[schema(as = PaymentStatus)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "each is described at PaymentState")]
pub enum StateName {
    Accepted,
    Held,
    Approved,
    Submitted,
    Confirmed,
    Settled,
    Rejected,
    Canceled,
    Expired,
    Failed,
}

/// Text that names no state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a payment state")]
pub struct UnknownState;

impl PaymentState {
    /// The state's name.
    pub const fn name(&self) -> StateName {
        match self {
            Self::Accepted => StateName::Accepted,
            Self::Held { .. } => StateName::Held,
            Self::Approved { .. } => StateName::Approved,
            Self::Submitted(_) => StateName::Submitted,
            Self::Confirmed { .. } => StateName::Confirmed,
            Self::Settled { .. } => StateName::Settled,
            Self::Rejected(_) => StateName::Rejected,
            Self::Canceled => StateName::Canceled,
            Self::Expired => StateName::Expired,
            Self::Failed(_) => StateName::Failed,
        }
    }

    /// Whether nothing can happen to the payment any more.
    pub const fn is_terminal(&self) -> bool {
        self.name().is_terminal()
    }

    /// Where the money moved, once it did.
    pub const fn inclusion(&self) -> Option<&Inclusion> {
        match self {
            Self::Confirmed { inclusion, .. } | Self::Settled { inclusion } => Some(inclusion),
            Self::Accepted
            | Self::Held { .. }
            | Self::Approved { .. }
            | Self::Submitted(_)
            | Self::Rejected(_)
            | Self::Canceled
            | Self::Expired
            | Self::Failed(_) => None,
        }
    }

    /// Why the payment ended unpaid, if it did.
    pub const fn failure(&self) -> Option<FailureCode> {
        match self {
            Self::Rejected(code) | Self::Failed(code) => Some(*code),
            Self::Expired => Some(FailureCode::AuthorizationExpired),
            Self::Canceled => Some(FailureCode::Canceled),
            Self::Accepted
            | Self::Held { .. }
            | Self::Approved { .. }
            | Self::Submitted(_)
            | Self::Confirmed { .. }
            | Self::Settled { .. } => None,
        }
    }
}

impl StateName {
    /// Every state, in the order of a payment's life.
    pub const ALL: [Self; 10] = [
        Self::Accepted,
        Self::Held,
        Self::Approved,
        Self::Submitted,
        Self::Confirmed,
        Self::Settled,
        Self::Rejected,
        Self::Canceled,
        Self::Expired,
        Self::Failed,
    ];

    /// The name on the wire and in the ledger.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Held => "held",
            Self::Approved => "approved",
            Self::Submitted => "submitted",
            Self::Confirmed => "confirmed",
            Self::Settled => "settled",
            Self::Rejected => "rejected",
            Self::Canceled => "canceled",
            Self::Expired => "expired",
            Self::Failed => "failed",
        }
    }

    /// Whether nothing can happen to a payment in this state any more.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Accepted | Self::Held | Self::Approved | Self::Submitted | Self::Confirmed => {
                false
            }
            Self::Settled | Self::Rejected | Self::Canceled | Self::Expired | Self::Failed => true,
        }
    }
}

impl fmt::Display for StateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for StateName {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(UnknownState)
    }
}
