//! Keys that sign our transactions.

use std::fmt;

use alloy::consensus::{SignableTransaction, TxEip1559};
use alloy::eips::eip2718::Encodable2718;
use alloy::signers::Signer as _;
use alloy::signers::local::PrivateKeySigner;
use alloy_primitives::{Address, B256, TxKind, U256};
use domain::ChainId;
use secrecy::{ExposeSecret, SecretString};

use crate::{Call, ChainError, Fees};

/// A key that signs for one address. It is never printed.
#[derive(Clone)]
pub struct Signer {
    key: PrivateKeySigner,
}

/// Text that is not a private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a private key of 32 bytes in hexadecimal")]
pub struct InvalidKey;

/// A transaction to be signed.
#[derive(Clone, Debug)]
pub struct TransactionPlan {
    /// The network it is for.
    pub chain: ChainId,
    /// Its nonce.
    pub nonce: u64,
    /// What it does.
    pub call: Call,
    /// The most gas it may use.
    pub gas_limit: u64,
    /// What it offers for gas.
    pub fees: Fees,
}

/// Signed bytes and their hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedTransaction {
    /// The transaction's hash.
    pub hash: B256,
    /// The bytes to send (EIP-2718).
    pub raw: Vec<u8>,
}

impl Signer {
    /// The signer with this key: 64 hexadecimal digits, `0x` before them or not.
    ///
    /// # Errors
    /// [`InvalidKey`]; the key is not repeated.
    pub fn from_key(key: &SecretString) -> Result<Self, InvalidKey> {
        let key = key.expose_secret().trim().parse().map_err(|_| InvalidKey)?;
        Ok(Self { key })
    }

    /// The address it signs for.
    pub const fn address(&self) -> Address {
        self.key.address()
    }

    /// Signs a transaction (EIP-1559). The same plan gives the same bytes (RFC 6979).
    ///
    /// # Errors
    /// [`ChainError::Unreadable`] when the key cannot sign.
    pub async fn sign(&self, plan: &TransactionPlan) -> Result<SignedTransaction, ChainError> {
        let transaction = TxEip1559 {
            chain_id: plan.chain.get(),
            nonce: plan.nonce,
            gas_limit: plan.gas_limit,
            max_fee_per_gas: plan.fees.max_fee,
            max_priority_fee_per_gas: plan.fees.priority,
            to: TxKind::Call(plan.call.target),
            value: U256::ZERO,
            access_list: Default::default(),
            input: plan.call.input.clone(),
        };
        let signature = self
            .key
            .sign_hash(&transaction.signature_hash())
            .await
            .map_err(|_| ChainError::Unreadable("the key did not sign".to_owned()))?;
        let signed = transaction.into_signed(signature);
        Ok(SignedTransaction { hash: *signed.hash(), raw: signed.encoded_2718() })
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.address())
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Bytes;

    use super::*;

    fn signer() -> Signer {
        Signer::from_key(&SecretString::from("0x".to_owned() + &"11".repeat(32))).unwrap()
    }

    #[tokio::test]
    async fn the_same_plan_gives_the_same_bytes() {
        let plan = TransactionPlan {
            chain: ChainId::new(84_532).unwrap(),
            nonce: 7,
            call: Call { target: Address::repeat_byte(1), input: Bytes::from_static(b"input") },
            gas_limit: 100_000,
            fees: Fees { max_fee: 10, priority: 1 },
        };
        let (first, second) = (signer().sign(&plan).await, signer().sign(&plan).await);
        assert_eq!(first.unwrap(), second.unwrap());
    }

    #[test]
    fn a_key_is_never_printed() {
        assert!(!format!("{:?}", signer()).contains("1111"));
        let bad = SecretString::from("not a key".to_owned());
        assert_eq!(Signer::from_key(&bad).unwrap_err().to_string(), InvalidKey.to_string());
    }
}
