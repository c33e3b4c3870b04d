//! Where the parts of a payload stand, and what is said of each that is wrong.

use crate::{Reason, Version};

/// The form of `paymentPayload.payload` for one method of transfer.
#[derive(Debug)]
pub(crate) struct Form {
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
    pub(crate) value: &'static str,
    pub(crate) valid_after: &'static str,
    pub(crate) valid_before: &'static str,
    pub(crate) nonce: &'static str,
    pub(crate) other_recipient: Reason,
    pub(crate) not_yet: Reason,
    pub(crate) too_late: Reason,
    pub(crate) signature: Reason,
    other_amount: [Reason; 2],
}

impl Form {
    /// What is said of another amount.
    pub(crate) const fn other_amount(&self, version: Version) -> Reason {
        let [v1, v2] = self.other_amount;
        match version {
            Version::V1 => v1,
            Version::V2 => v2,
        }
    }
}

/// `TransferWithAuthorization` of EIP-3009.
pub(crate) const EIP3009: Form = Form {
    from: "/payload/authorization/from",
    to: "/payload/authorization/to",
    value: "/payload/authorization/value",
    valid_after: "/payload/authorization/validAfter",
    valid_before: "/payload/authorization/validBefore",
    nonce: "/payload/authorization/nonce",
    other_recipient: Reason::RecipientMismatch,
    not_yet: Reason::ValidAfter,
    too_late: Reason::ValidBefore,
    signature: Reason::InvalidSignature,
    other_amount: [Reason::AmountMismatchV1, Reason::AmountMismatchV2],
};

/// `PermitWitnessTransferFrom` of Permit2.
pub(crate) const PERMIT2: Form = Form {
    from: "/payload/permit2Authorization/from",
    to: "/payload/permit2Authorization/witness/to",
    value: "/payload/permit2Authorization/permitted/amount",
    valid_after: "/payload/permit2Authorization/witness/validAfter",
    valid_before: "/payload/permit2Authorization/deadline",
    nonce: "/payload/permit2Authorization/nonce",
    other_recipient: Reason::Permit2RecipientMismatch,
    not_yet: Reason::Permit2NotYetValid,
    too_late: Reason::Permit2DeadlineExpired,
    signature: Reason::InvalidPermit2Signature,
    other_amount: [Reason::Permit2AmountMismatch, Reason::Permit2AmountMismatch],
};
