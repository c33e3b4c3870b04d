//! By what payments in a token may be authorized.

use domain::Address;

use crate::part::Part;
use crate::upto::UPTO;
use crate::{Reason, Refusal, RefusalKind};

/// By what payments in a token may be authorized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Methods {
    /// By the token's own authorizations (EIP-3009).
    pub eip3009: bool,
    /// By Permit2, for this proxy of x402 to redeem.
    pub permit2: Option<Address>,
    /// By Permit2 up to an amount (`upto`), for this proxy of x402 to redeem.
    pub upto: Option<Address>,
    /// Whether Permit2 may be let move the token by a permit beside the payment (EIP-2612).
    pub permits: bool,
}

impl Methods {
    /// By the token's own authorizations alone.
    pub const EIP3009: Self = Self { eip3009: true, permit2: None, upto: None, permits: false };

    /// The method that goes by this name, if it may be used.
    pub(crate) fn find(&self, asked: Asked) -> Option<Way> {
        match asked {
            Asked::Eip3009 => self.eip3009.then_some(Way::Eip3009),
            Asked::Permit2 => self.permit2.map(|spender| Way::Permit2 { spender }),
            Asked::Upto => self.upto.map(|spender| Way::Upto { spender }),
        }
    }
}

/// A method that a token may be transferred by, with who is to redeem the authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Eip3009,
    Permit2 { spender: Address },
    Upto { spender: Address },
}

/// What `scheme` and `extra.assetTransferMethod` ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Eip3009,
    Permit2,
    Upto,
}

impl Asked {
    /// Where it stands in requirements.
    pub(crate) const POINTER: &str = "/extra/assetTransferMethod";

    /// Reads it; where it is absent, EIP-3009 is meant, and with `upto`, which has no other, Permit2.
    pub(crate) fn read(part: &Part<'_>) -> Result<Self, Refusal> {
        if part.text("/scheme")? == UPTO {
            return match part.optional_text(Self::POINTER)? {
                None | Some("permit2") => Ok(Self::Upto),
                Some(_) => Err(Self::unsupported(part, "must be permit2 or absent")),
            };
        }
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
