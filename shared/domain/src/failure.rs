//! Every way a payment can end without the seller being paid.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::TransferMethod;

/// Why a payment ended unpaid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// The payer's balance does not cover the amount.
    InsufficientFunds,
    /// The payer has not let Permit2 move as much of the token.
    AllowanceRequired,
    /// The authorization was used or canceled before we could settle it.
    AuthorizationUsed,
    /// The token refuses the signature.
    InvalidSignature,
    /// The token refuses the transfer for a reason of its own (paused, deny-listed, …).
    TransferRefused,
    /// The validity window closed before the payment was mined.
    AuthorizationExpired,
    /// The seller canceled it before it was submitted.
    Canceled,
    /// Nobody decided on the hold in time.
    HoldExpired,
    /// An operator or a policy denied it.
    Denied,
}

/// Whose doing a failure is: operators are woken for one kind and not for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The payer's money, signature or wallet.
    Payer,
    /// Ours: the payment could have been made, and was not in time.
    System,
}

/// Text that names no failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown failure code")]
pub struct UnknownFailure;

impl FailureCode {
    /// Every code there is.
    pub const ALL: [Self; 9] = [
        Self::InsufficientFunds,
        Self::AllowanceRequired,
        Self::AuthorizationUsed,
        Self::InvalidSignature,
        Self::TransferRefused,
        Self::AuthorizationExpired,
        Self::Canceled,
        Self::HoldExpired,
        Self::Denied,
    ];

    /// The name on the wire and in the ledger.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InsufficientFunds => "insufficient_funds",
            Self::AllowanceRequired => "allowance_required",
            Self::AuthorizationUsed => "authorization_used",
            Self::InvalidSignature => "invalid_signature",
            Self::TransferRefused => "transfer_refused",
            Self::AuthorizationExpired => "authorization_expired",
            Self::Canceled => "canceled",
            Self::HoldExpired => "hold_expired",
            Self::Denied => "denied",
        }
    }

    /// The reason code that x402 clients match on (x402 specification, section 9, and the codes
    /// of its reference implementation), for an authorization of this method.
    pub const fn x402_reason(self, method: TransferMethod) -> &'static str {
        use TransferMethod::{Eip3009, Permit2, Upto};
        match (self, method) {
            (Self::InsufficientFunds, Eip3009) => "insufficient_funds",
            (Self::InsufficientFunds, Permit2 { .. } | Upto { .. }) => {
                "permit2_insufficient_balance"
            }
            (Self::AllowanceRequired, _) => "permit2_allowance_required",
            (Self::AuthorizationUsed, Eip3009) => "invalid_exact_evm_nonce_already_used",
            (Self::AuthorizationUsed, Permit2 { .. } | Upto { .. }) => "permit2_invalid_nonce",
            (Self::InvalidSignature, Eip3009) => "invalid_exact_evm_signature",
            (Self::InvalidSignature, Permit2 { .. } | Upto { .. }) => "invalid_permit2_signature",
            (Self::TransferRefused, Eip3009 | Permit2 { .. }) => {
                "invalid_exact_evm_transaction_failed"
            }
            (Self::TransferRefused, Upto { .. }) => "invalid_upto_evm_transaction_failed",
            (Self::AuthorizationExpired, Eip3009) => {
                "invalid_exact_evm_payload_authorization_valid_before"
            }
            (Self::AuthorizationExpired, Permit2 { .. } | Upto { .. }) => {
                "permit2_deadline_expired"
            }
            (Self::Canceled | Self::HoldExpired | Self::Denied, _) => "unexpected_settle_error",
        }
    }

    /// Whose doing it is; `None` when somebody decided so, and nothing has failed.
    pub const fn fault(self) -> Option<Fault> {
        match self {
            Self::InsufficientFunds
            | Self::AllowanceRequired
            | Self::AuthorizationUsed
            | Self::InvalidSignature
            | Self::TransferRefused => Some(Fault::Payer),
            Self::AuthorizationExpired | Self::HoldExpired => Some(Fault::System),
            Self::Canceled | Self::Denied => None,
        }
    }

    /// True only when the old authorization can no longer move money, so that the buyer may sign
    /// a new one without risk of paying twice.
    pub const fn safe_to_resign(self) -> bool {
        match self {
            Self::AuthorizationUsed | Self::AuthorizationExpired => true,
            Self::InsufficientFunds
            | Self::AllowanceRequired
            | Self::InvalidSignature
            | Self::TransferRefused
            | Self::Canceled
            | Self::HoldExpired
            | Self::Denied => false,
        }
    }
}

impl fmt::Display for FailureCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for FailureCode {
    type Err = UnknownFailure;

    fn from_str(text: &str) -> Result<Self, UnknownFailure> {
        Self::ALL.into_iter().find(|code| code.as_str() == text).ok_or(UnknownFailure)
    }
}
