//! The buyer's signed permission to move one amount once (EIP-3009).

use std::fmt;

use alloy_primitives::{Address, B256};

use crate::{Amount, ChainId};

/// What the buyer signed: `TransferWithAuthorization` of EIP-3009 on one token of one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// The network the token lives on.
    pub chain: ChainId,
    /// The token contract.
    pub asset: Address,
    /// Who pays (`from`).
    pub payer: Address,
    /// Who is paid (`to`).
    pub pay_to: Address,
    /// How much, exactly (`value`).
    pub amount: Amount,
    /// The token takes it only in blocks later than this Unix second.
    pub valid_after: i64,
    /// The token takes it only in blocks earlier than this Unix second.
    pub valid_before: i64,
    /// Chosen by the buyer; the token takes each once.
    pub nonce: B256,
}

/// What makes an authorization the one it is: the token takes each of these once, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthorizationKey {
    /// The network the token lives on.
    pub chain: ChainId,
    /// The token contract.
    pub asset: Address,
    /// Who pays.
    pub payer: Address,
    /// Chosen by the buyer.
    pub nonce: B256,
}

impl Authorization {
    /// The identity under which the token and the ledger know it.
    pub fn key(&self) -> AuthorizationKey {
        AuthorizationKey {
            chain: self.chain,
            asset: self.asset,
            payer: self.payer,
            nonce: self.nonce,
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
