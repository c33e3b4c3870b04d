//! Keys that sign our transactions.

mod keystore;
#[cfg(feature = "aws-kms")]
mod kms;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use alloy::consensus::{SignableTransaction, TxEip1559};
use alloy::eips::eip2718::Encodable2718;
use alloy::signers::Signer as _;
use alloy::signers::local::PrivateKeySigner;
use alloy_primitives::{Address, B256, Signature, TxKind, U256};
use domain::ChainId;
use secrecy::{ExposeSecret, SecretString};

pub use self::keystore::KeystoreError;
use crate::{Call, Fees};

/// A key that signs for one address. It is never printed.
#[derive(Clone)]
pub struct Signer {
    address: Address,
    key: Key,
}

/// Where the key is. Keys that are here are wiped from memory when they are dropped.
#[derive(Clone)]
enum Key {
    Here(PrivateKeySigner),
    #[cfg(feature = "aws-kms")]
    Kms(kms::KmsSigner),
}

/// Text that is not a private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a private key of 32 bytes in hexadecimal")]
pub struct InvalidKey;

/// Where a key in AWS KMS is: an asymmetric one, `ECC_SECG_P256K1`, for `SIGN_VERIFY`.
#[derive(Clone)]
pub struct KmsKey {
    /// Its id or ARN. An alias works until it is pointed at another key.
    pub key_id: String,
    /// The region it is in.
    pub region: String,
    /// Where KMS is reached, if not where it is for everybody.
    pub endpoint_url: Option<String>,
    /// How long one answer may take as a whole.
    pub timeout: Duration,
}

/// Why nothing was signed. The same plan may be signed later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// Whoever has the key did not answer in time. It may have signed; nobody has seen it.
    #[error("the key did not answer within {limit:?}")]
    TimedOut {
        /// How long it was given.
        limit: Duration,
    },
    /// Whoever has the key refuses, or cannot be reached.
    #[error("the key cannot be used: {0}")]
    Unavailable(String),
    /// What came back is no signature of the signer's address.
    #[error("the key gave no signature of its address")]
    Wrong,
    /// The key is in AWS KMS, and this build leaves that out.
    #[error("this build cannot use AWS KMS: build it with the feature aws-kms")]
    NoKms,
}

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
        Ok(Self::here(key))
    }

    /// The signer whose key is in this encrypted file (Web3 secret storage, version 3). Decrypting
    /// takes a second or so, and up to 256 MiB for a moment; no other task waits for it.
    ///
    /// # Errors
    /// [`KeystoreError`]; no secret is repeated.
    pub async fn from_keystore(
        path: &Path,
        password: &SecretString,
    ) -> Result<Self, KeystoreError> {
        let (path, password) = (path.to_owned(), password.clone());
        let opening = tokio::task::spawn_blocking(move || keystore::open(&path, &password));
        Ok(Self::here(opening.await.map_err(|_| KeystoreError::Malformed)??))
    }

    /// Makes a new key and the encrypted file that keeps it: readable by its owner alone, never in
    /// the place of another file, and on disk when this returns.
    ///
    /// # Errors
    /// [`KeystoreError`]; then there is no new file.
    pub async fn new_keystore(path: &Path, password: &SecretString) -> Result<Self, KeystoreError> {
        let (path, password) = (path.to_owned(), password.clone());
        let making = tokio::task::spawn_blocking(move || keystore::create(&path, &password));
        Ok(Self::here(making.await.map_err(|_| KeystoreError::Malformed)??))
    }

    /// The signer whose key is in AWS KMS. Credentials come from the AWS environment, profile or
    /// role of this process. KMS is asked for the public key.
    ///
    /// # Errors
    /// [`SignError`] when KMS did not give one.
    #[cfg(feature = "aws-kms")]
    pub async fn from_kms(key: &KmsKey) -> Result<Self, SignError> {
        Ok(Self::with_kms(kms::KmsSigner::connect(key, None).await?))
    }

    /// [`Signer::from_kms`] with these credentials instead of the process's.
    ///
    /// # Errors
    /// As [`Signer::from_kms`].
    #[cfg(feature = "aws-kms")]
    pub async fn from_kms_as(
        key: &KmsKey,
        credentials: aws_sdk_kms::config::Credentials,
    ) -> Result<Self, SignError> {
        Ok(Self::with_kms(kms::KmsSigner::connect(key, Some(credentials)).await?))
    }

    /// The signer whose key is in AWS KMS.
    ///
    /// # Errors
    /// [`SignError::NoKms`]: the feature `aws-kms` is off.
    #[cfg(not(feature = "aws-kms"))]
    pub async fn from_kms(_key: &KmsKey) -> Result<Self, SignError> {
        std::future::ready(Err(SignError::NoKms)).await
    }

    fn here(key: PrivateKeySigner) -> Self {
        Self { address: key.address(), key: Key::Here(key) }
    }

    #[cfg(feature = "aws-kms")]
    fn with_kms(key: kms::KmsSigner) -> Self {
        Self { address: key.address(), key: Key::Kms(key) }
    }

    /// The address it signs for.
    pub const fn address(&self) -> Address {
        self.address
    }

    /// Signs a transaction (EIP-1559). The same plan need not give the same bytes: a key that is
    /// kept elsewhere may sign anew each time, so what was signed is stored before it is sent.
    ///
    /// # Errors
    /// [`SignError`] when the key did not sign.
    pub async fn sign(&self, plan: &TransactionPlan) -> Result<SignedTransaction, SignError> {
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
        let signature = self.sign_hash(&transaction.signature_hash()).await?;
        let signed = transaction.into_signed(signature);
        Ok(SignedTransaction { hash: *signed.hash(), raw: signed.encoded_2718() })
    }

    async fn sign_hash(&self, hash: &B256) -> Result<Signature, SignError> {
        match &self.key {
            Key::Here(key) => key.sign_hash(hash).await.map_err(|_| SignError::Wrong),
            #[cfg(feature = "aws-kms")]
            Key::Kms(key) => key.sign_hash(hash).await,
        }
    }
}

impl fmt::Debug for KmsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The endpoint's URL may hold a password.
        let mut shown = f.debug_struct("KmsKey");
        shown.field("key_id", &self.key_id).field("region", &self.region).finish_non_exhaustive()
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.address())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_printed() {
        let signer = Signer::from_key(&SecretString::from("11".repeat(32))).unwrap();
        assert!(!format!("{signer:?}").contains("1111"));
        let bad = SecretString::from("not a key".to_owned());
        assert_eq!(Signer::from_key(&bad).unwrap_err().to_string(), InvalidKey.to_string());
    }

    #[cfg(not(feature = "aws-kms"))]
    #[tokio::test]
    async fn a_build_without_kms_says_so() {
        let key = KmsKey {
            key_id: "alias/settler".to_owned(),
            region: "eu-central-1".to_owned(),
            endpoint_url: None,
            timeout: Duration::from_secs(5),
        };
        assert_eq!(Signer::from_kms(&key).await.unwrap_err(), SignError::NoKms);
    }
}
