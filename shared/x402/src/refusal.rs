//! Why a settle request is refused.

use crate::Reason;

/// What is wrong, as a closed list; the HTTP layer has one problem code for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// A version that we do not speak, or two different ones.
    UnsupportedVersion,
    /// A scheme, or a way to transfer the asset, that we do not settle.
    UnsupportedScheme,
    /// A network that we do not settle on.
    UnsupportedNetwork,
    /// An asset that is not listed for the network.
    UnsupportedAsset,
    /// A signature in a form that only a contract wallet can make.
    UnsupportedSignature,
    /// A field that is needed is absent or null.
    MissingField,
    /// A field has the wrong type, or its text does not read.
    MalformedField,
    /// The amounts differ.
    AmountMismatch,
    /// The recipients differ.
    RecipientMismatch,
    /// The networks differ.
    NetworkMismatch,
    /// The assets, or what is said about them, differ.
    AssetMismatch,
    /// The schemes differ.
    SchemeMismatch,
    /// Too little time is left to settle it.
    AuthorizationExpired,
    /// Its time has not come.
    AuthorizationNotYetValid,
    /// It is valid for longer than we look after a payment.
    AuthorizationWindowTooLong,
    /// The payer did not sign this.
    InvalidSignature,
}

impl RefusalKind {
    /// Every kind there is.
    pub const ALL: [Self; 16] = [
        Self::UnsupportedVersion,
        Self::UnsupportedScheme,
        Self::UnsupportedNetwork,
        Self::UnsupportedAsset,
        Self::UnsupportedSignature,
        Self::MissingField,
        Self::MalformedField,
        Self::AmountMismatch,
        Self::RecipientMismatch,
        Self::NetworkMismatch,
        Self::AssetMismatch,
        Self::SchemeMismatch,
        Self::AuthorizationExpired,
        Self::AuthorizationNotYetValid,
        Self::AuthorizationWindowTooLong,
        Self::InvalidSignature,
    ];
}

/// A refusal: nothing was stored, and nothing will be.
///
/// It repeats amounts and addresses at most, never a signature or a header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pointer} {detail}")]
pub struct Refusal {
    /// What is wrong.
    pub kind: RefusalKind,
    /// The field, as a JSON pointer (RFC 6901) into the request; a payload that came as base64
    /// text is pointed into as if it had come as an object.
    pub pointer: String,
    /// What is wrong in words, as the rest of a sentence whose subject is the field.
    pub detail: String,
    /// What is wrong in the words of x402.
    pub reason: Reason,
}
