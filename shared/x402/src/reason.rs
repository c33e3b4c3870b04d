//! The reason codes of x402: what clients match on in `invalidReason` and `errorReason`.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Text that is none of the codes we use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a reason code of x402 that we use")]
pub struct UnknownReason;

/// Writes the enum and its texts from one list.
macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)+) => {
        /// Why a payment is refused or not settled, in the words of x402.
        ///
        /// Where the specification (section 9) and its reference implementation (2.27.0) differ,
        /// the implementation's word is used, because that is what deployed clients know.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])* $variant,)+
        }

        impl Reason {
            /// Every code there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The code on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

reasons! {
    /// Neither 1 nor 2, or not the same in both places.
    InvalidX402Version = "invalid_x402_version",
    /// `paymentPayload` has the wrong shape.
    InvalidPayload = "invalid_payload",
    /// `paymentRequirements` have the wrong shape, or ask for what we do not settle.
    InvalidPaymentRequirements = "invalid_payment_requirements",
    /// A scheme that we do not settle.
    UnsupportedScheme = "unsupported_scheme",
    /// Payload and requirements name different schemes.
    SchemeMismatch = "invalid_exact_evm_scheme",
    /// Payload and requirements name different schemes, the latter `upto`.
    UptoSchemeMismatch = "invalid_upto_evm_scheme",
    /// Payload and requirements name different networks, where the scheme is `upto`.
    UptoNetworkMismatch = "invalid_upto_evm_network_mismatch",
    /// `upto`: more is to be taken than was signed.
    UptoExceedsAmount = "invalid_upto_evm_payload_settlement_exceeds_amount",
    /// `upto`: the amount is left to somebody else to name than one of our signers.
    UptoFacilitatorMismatch = "upto_facilitator_mismatch",
    /// `upto`: the proxy says that more is to be taken than was signed.
    UptoAmountExceedsPermitted = "upto_amount_exceeds_permitted",
    /// `upto`: the proxy says that another may take it than the one who would.
    UptoUnauthorizedFacilitator = "upto_unauthorized_facilitator",
    /// `upto`: the transfer was refused.
    UptoTransactionFailed = "invalid_upto_evm_transaction_failed",
    /// A scheme that we settle, but by a method of transfer that is not settled here.
    UnsupportedPayloadType = "unsupported_payload_type",
    /// A network that we do not settle on.
    InvalidNetwork = "invalid_network",
    /// Payload and requirements name different networks.
    NetworkMismatch = "invalid_exact_evm_network_mismatch",
    /// `extra.name` is not the token's.
    TokenNameMismatch = "invalid_exact_evm_token_name_mismatch",
    /// `extra.version` is not the token's.
    TokenVersionMismatch = "invalid_exact_evm_token_version_mismatch",
    /// `extra` does not say what the token is called, which its payer has signed.
    MissingEip712Domain = "invalid_exact_evm_missing_eip712_domain",
    /// The authorization pays somebody else.
    RecipientMismatch = "invalid_exact_evm_recipient_mismatch",
    /// The authorized amount is not the required one (version 1).
    AmountMismatchV1 = "invalid_exact_evm_authorization_value",
    /// The authorized amount is not the required one (version 2).
    AmountMismatchV2 = "invalid_exact_evm_payload_authorization_value_mismatch",
    /// Not valid yet.
    ValidAfter = "invalid_exact_evm_payload_authorization_valid_after",
    /// Valid for too short or too long a time, or no more.
    ValidBefore = "invalid_exact_evm_payload_authorization_valid_before",
    /// The signature is not the payer's.
    InvalidSignature = "invalid_exact_evm_signature",
    /// The signature is not one that can be read.
    UnreadableSignature = "invalid_exact_evm_failed_to_parse_signature",
    /// The signature of a wallet that is yet to be deployed, by a factory that we do not call.
    Eip6492FactoryNotAllowed = "eip6492_factory_not_allowed",
    /// The payer has too little of the token, in the specification's word, which the payment API tells.
    InsufficientFunds = "insufficient_funds",
    /// The same in the reference implementation's word, which the facilitator tells.
    InsufficientBalance = "invalid_exact_evm_insufficient_balance",
    /// There is no contract where the token should be.
    AssetNotDeployed = "asset_not_deployed_contract",
    /// The authorization was used or canceled before.
    NonceAlreadyUsed = "invalid_exact_evm_nonce_already_used",
    /// The token refuses the transfer when asked beforehand.
    SimulationFailed = "invalid_exact_evm_transaction_simulation_failed",
    /// The token refused the transfer.
    TransactionFailed = "invalid_exact_evm_transaction_failed",
    /// Permit2: the authorization lets somebody else redeem it than x402's proxy.
    InvalidPermit2Spender = "invalid_permit2_spender",
    /// Permit2: the authorization pays somebody else.
    Permit2RecipientMismatch = "invalid_permit2_recipient_mismatch",
    /// Permit2: valid for too short or too long a time, or no more.
    Permit2DeadlineExpired = "permit2_deadline_expired",
    /// Permit2: not valid yet.
    Permit2NotYetValid = "permit2_not_yet_valid",
    /// Permit2: the authorized amount is not the required one.
    Permit2AmountMismatch = "permit2_amount_mismatch",
    /// Permit2: the authorization is about another token.
    Permit2TokenMismatch = "permit2_token_mismatch",
    /// Permit2: the signature is not the payer's.
    InvalidPermit2Signature = "invalid_permit2_signature",
    /// Permit2: the payer has not let it move as much of the token. Stock servers answer 412.
    Permit2AllowanceRequired = "permit2_allowance_required",
    /// Permit2: the payer has too little of the token.
    Permit2InsufficientBalance = "permit2_insufficient_balance",
    /// Permit2: the authorization was used before, or made unusable.
    Permit2InvalidNonce = "permit2_invalid_nonce",
    /// Permit2: the transfer is refused when asked beforehand.
    Permit2SimulationFailed = "permit2_simulation_failed",
    /// A permit of the token (EIP-2612) that cannot be read, or that its payer has not signed.
    InvalidEip2612Extension = "invalid_eip2612_extension_format",
    /// A permit of the token that is another payer's.
    Eip2612FromMismatch = "eip2612_from_mismatch",
    /// A permit of another token.
    Eip2612AssetMismatch = "eip2612_asset_mismatch",
    /// A permit of the token for somebody else than Permit2.
    Eip2612SpenderNotPermit2 = "eip2612_spender_not_permit2",
    /// A permit of the token that is taken for too short a time, or no more.
    Eip2612DeadlineExpired = "eip2612_deadline_expired",
    /// A permit of the token over another amount than the payment's.
    Permit2612AmountMismatch = "permit2_2612_amount_mismatch",
    /// The payment is in a state in which this cannot be done.
    InvalidTransactionState = "invalid_transaction_state",
    /// Broadcast, not final: ask again. Comes with the transaction's hash.
    SettlementPending = "settlement_pending",
    /// The payment was submitted before, by somebody else or on other terms.
    DuplicateSettlement = "duplicate_settlement",
    /// The buyer's identifier (`payment-identifier`) stands for another payment; x402 has no code.
    PaymentIdentifierConflict = "payment_identifier_conflict",
    /// It is missing where it is required, or is none; x402 has no code.
    InvalidPaymentIdentifier = "invalid_payment_identifier",
    /// Verifying failed on our side.
    UnexpectedVerifyError = "unexpected_verify_error",
    /// Settling failed on our side, or was refused for a reason that is not the buyer's business.
    UnexpectedSettleError = "unexpected_settle_error",
}

impl Reason {
    /// The same in the reference implementation's word, where the payment API tells the specification's.
    #[must_use]
    pub const fn of_reference(self) -> Self {
        if matches!(self, Self::InsufficientFunds) { Self::InsufficientBalance } else { self }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, UnknownReason> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == text).ok_or(UnknownReason)
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use domain::{Address, Amount, FailureCode, TransferMethod};

    use super::*;

    #[test]
    fn every_reason_reads_back_as_it_was_written() {
        for reason in Reason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(*reason));
        }
    }

    #[test]
    fn every_way_to_fail_has_a_reason_of_x402() {
        for code in FailureCode::ALL {
            for method in [
                TransferMethod::Eip3009,
                TransferMethod::Permit2 { spender: Address::repeat_byte(1) },
                TransferMethod::Upto {
                    spender: Address::repeat_byte(1),
                    sender: Address::repeat_byte(2),
                    most: Amount::from(1),
                },
            ] {
                assert!(code.x402_reason(method).parse::<Reason>().is_ok(), "{code}");
            }
        }
    }
}
