//! The buyer's signed permission to move one amount once.

use std::fmt;

use alloy_primitives::{Address, B256, address};

use crate::{Amount, ChainId};

/// Uniswap's Permit2, which has the same address on every network
/// (<https://docs.uniswap.org/contracts/permit2/overview>).
pub const PERMIT2: Address = address!("0x000000000022D473030F116dDEE9F6B43aC78BA3");

/// By what an authorization moves the money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferMethod {
    /// The token takes it: `TransferWithAuthorization` (EIP-3009).
    Eip3009,
    /// [`PERMIT2`] takes it and moves the token, which the payer has let it do before:
    /// `PermitWitnessTransferFrom`, whose witness says who is paid.
    Permit2 {
        /// The contract that the payer lets redeem it.
        spender: Address,
    },
    /// As [`TransferMethod::Permit2`], of an amount that the payer leaves open up to a bound: x402's
    /// scheme `upto`. The witness also says who alone may name the amount.
    Upto {
        /// The contract that the payer lets redeem it.
        spender: Address,
        /// The account whose transaction alone that contract takes it from.
        sender: Address,
        /// The amount that was signed: the bound of what is paid.
        most: Amount,
    },
}

/// What the buyer signed, about one token of one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// By what it moves the money.
    pub method: TransferMethod,
    /// The network the token lives on.
    pub chain: ChainId,
    /// The token contract.
    pub asset: Address,
    /// Who pays (`from`).
    pub payer: Address,
    /// Who is paid (`to`).
    pub pay_to: Address,
    /// How much is paid, exactly: what was signed (`value`), or, with `upto`, what is asked of it.
    pub amount: Amount,
    /// It is taken only in blocks later than this Unix second; with Permit2, not earlier.
    pub valid_after: i64,
    /// It is taken only in blocks earlier than this Unix second, which is one more than the deadline
    /// that was signed for Permit2.
    pub valid_before: i64,
    /// Chosen by the buyer; each is taken once.
    pub nonce: B256,
}

impl TransferMethod {
    /// What x402 calls it: `extra.assetTransferMethod`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eip3009 => "eip3009",
            Self::Permit2 { .. } | Self::Upto { .. } => "permit2",
        }
    }

    /// The scheme of x402 that it belongs to.
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Eip3009 | Self::Permit2 { .. } => "exact",
            Self::Upto { .. } => "upto",
        }
    }

    /// The contract that the payer lets redeem it by Permit2.
    pub const fn spender(self) -> Option<Address> {
        match self {
            Self::Eip3009 => None,
            Self::Permit2 { spender } | Self::Upto { spender, .. } => Some(spender),
        }
    }

    /// The amount that was signed, where another may be paid.
    pub const fn most(self) -> Option<Amount> {
        match self {
            Self::Eip3009 | Self::Permit2 { .. } => None,
            Self::Upto { most, .. } => Some(most),
        }
    }

    /// The one account whose transaction can make the payment, where it is not anybody's.
    pub const fn sender(self) -> Option<Address> {
        match self {
            Self::Eip3009 | Self::Permit2 { .. } => None,
            Self::Upto { sender, .. } => Some(sender),
        }
    }
}

/// A signature over an authorization. Whoever has it can move the money, so it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Signature(Vec<u8>);

impl Signature {
    /// The signature's bytes as they go to the token.
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes; for the ledger and the chain only.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({} bytes)", self.0.len())
    }
}
