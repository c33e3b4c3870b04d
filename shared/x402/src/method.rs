//! By what payments in a token may be authorized.

use domain::{Address, TransferMethod};

use crate::part::Part;
use crate::{Reason, Refusal, RefusalKind};

/// By what payments in a token may be authorized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Methods {
    /// By the token's own authorizations (EIP-3009).
    pub eip3009: bool,
    /// By Permit2, for this proxy of x402 to redeem.
    pub permit2: Option<Address>,
}

impl Methods {
    /// By the token's own authorizations alone.
    pub const EIP3009: Self = Self { eip3009: true, permit2: None };

    /// The method that goes by this name, if it may be used.
    pub(crate) fn find(&self, asked: Asked) -> Option<TransferMethod> {
        match asked {
            Asked::Eip3009 => self.eip3009.then_some(TransferMethod::Eip3009),
            Asked::Permit2 => self.permit2.map(|spender| TransferMethod::Permit2 { spender }),
        }
    }
}

/// What `extra.assetTransferMethod` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Eip3009,
    Permit2,
}

impl Asked {
    /// Where it stands in requirements.
    pub(crate) const POINTER: &str = "/extra/assetTransferMethod";

    /// Reads it; where it is absent, EIP-3009 is meant.
    pub(crate) fn read(part: &Part<'_>) -> Result<Self, Refusal> {
        match part.optional_text(Self::POINTER)? {
            None | Some("eip3009") => Ok(Self::Eip3009),
            Some("permit2") => Ok(Self::Permit2),
            Some(_) => Err(Self::unsupported(part, "must be eip3009, permit2 or absent")),
        }
    }

    /// A refusal of requirements that ask for it.
    pub(crate) fn unsupported(part: &Part<'_>, detail: &str) -> Refusal {
        let (kind, reason) = (RefusalKind::UnsupportedScheme, Reason::UnsupportedPayloadType);
        part.refuse(kind, Self::POINTER, detail, reason)
    }
}
