//! Buyers: keys that sign authorizations.

use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use domain::{Address, Authorization, Signature};
use x402::{Asset, TokenDomain};

use crate::failure::Failure;

/// Somebody with a key that nobody has seen before.
pub(crate) struct Buyer {
    signer: PrivateKeySigner,
}

impl Buyer {
    pub(crate) fn new() -> Self {
        Self { signer: PrivateKeySigner::random() }
    }

    /// Where the buyer's money is.
    pub(crate) fn address(&self) -> Address {
        self.signer.address()
    }

    /// Signs an authorization, whoever it says is paying.
    pub(crate) fn sign(
        &self,
        token: &Asset,
        authorization: &Authorization,
    ) -> Result<Signature, Failure> {
        let digest = TokenDomain::new(token).digest(authorization);
        let signature = self.signer.sign_hash_sync(&digest);
        let signature =
            signature.map_err(|error| Failure::Said(format!("no signature: {error}")))?;
        Ok(Signature::new(signature.as_bytes().to_vec()))
    }
}
