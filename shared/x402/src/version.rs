//! The versions of the protocol.

/// A version of x402 that we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// Networks by name, `maxAmountRequired`, the payment in `X-PAYMENT`.
    V1,
    /// Networks as CAIP-2, `amount`, the payment in `PAYMENT-SIGNATURE` with the `accepted` terms.
    V2,
}

impl Version {
    /// The version of this number, if we speak it.
    pub const fn from_number(number: u64) -> Option<Self> {
        match number {
            1 => Some(Self::V1),
            2 => Some(Self::V2),
            _ => None,
        }
    }

    /// The number on the wire: `x402Version`.
    pub const fn number(self) -> u8 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }
}
