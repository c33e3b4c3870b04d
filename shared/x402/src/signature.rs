//! Signatures of key-pair accounts: reading them, and finding out who signed.

use alloy_primitives::{Signature as Ecdsa, U256, b256};
use domain::{Address, Authorization, B256, Signature};

use crate::TokenDomain;
use crate::erc6492::WrappedSignature;

/// `r`, `s` and `v`.
const ECDSA_LEN: usize = 65;

/// Half the order of secp256k1, rounded down: the largest `s` that tokens take (EIP-2).
const MAX_S: U256 = U256::from_be_bytes(
    b256!("0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0").0,
);

/// Why bytes are not the signature of a key-pair account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    /// ERC-6492: of a contract wallet that is yet to be deployed.
    #[error("is of a contract wallet that is not deployed (ERC-6492), which is not supported")]
    Undeployed,
    /// Of a length that only contract wallets use (ERC-1271).
    #[error("must be 65 bytes; signatures of contract wallets (ERC-1271) are not supported")]
    ContractWallet,
    /// `v` is none of 0, 1, 27 and 28.
    #[error("must end in 27 or 28 (0 and 1 are taken as those)")]
    BadParity,
    /// `s` is in the upper half of the order, where tokens refuse it.
    #[error("has an s in the upper half of the curve's order (EIP-2)")]
    HighS,
}

/// A well-formed ECDSA signature. Whoever has it can move the money, so it is never printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PayerSignature(Ecdsa);

impl PayerSignature {
    /// Reads `r ‖ s ‖ v`.
    ///
    /// # Errors
    /// [`SignatureFault`] says which rule the bytes break.
    pub fn parse(bytes: &[u8]) -> Result<Self, SignatureFault> {
        let bytes: &[u8; ECDSA_LEN] = bytes.try_into().map_err(|_| {
            if WrappedSignature::is_claimed_by(bytes) {
                SignatureFault::Undeployed
            } else {
                SignatureFault::ContractWallet
            }
        })?;
        let [rs @ .., v] = bytes;
        let odd = match v {
            0 | 27 => false,
            1 | 28 => true,
            _ => return Err(SignatureFault::BadParity),
        };
        let signature = Ecdsa::from_bytes_and_parity(rs, odd);
        if signature.s() > MAX_S {
            return Err(SignatureFault::HighS);
        }
        Ok(Self(signature))
    }

    /// Who signed this digest; none where nobody can have.
    pub fn signer(&self, digest: B256) -> Option<Address> {
        self.0.recover_address_from_prehash(&digest).ok()
    }

    /// Whether these bytes are the payer's own signature over an authorization of this token: then
    /// the token takes them as long as the payer's account has no code, and otherwise only the
    /// token can say.
    pub fn proves(domain: &TokenDomain, authorization: &Authorization, bytes: &Signature) -> bool {
        Self::parse(bytes.reveal()).is_ok_and(|signature| {
            signature.signer(domain.digest(authorization)) == Some(authorization.payer)
        })
    }

    /// The bytes for the token: `v` is 27 or 28.
    pub fn normalized(&self) -> Signature {
        Signature::new(self.0.as_bytes().to_vec())
    }
}

impl std::fmt::Debug for PayerSignature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PayerSignature")
    }
}

#[cfg(test)]
mod tests {
    use alloy::signers::SignerSync;
    use alloy::signers::local::PrivateKeySigner;
    use proptest::prelude::*;

    use super::*;

    /// The order of secp256k1.
    const ORDER: U256 = U256::from_be_bytes(
        b256!("0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141").0,
    );

    fn signed(key: [u8; 32], digest: B256) -> Option<(Address, [u8; 65])> {
        let signer = PrivateKeySigner::from_slice(&key).ok()?;
        let signature = signer.sign_hash_sync(&digest).unwrap();
        Some((signer.address(), signature.as_bytes()))
    }

    proptest! {
        #[test]
        fn the_signer_is_found_and_the_bytes_are_kept(key: [u8; 32], digest: [u8; 32]) {
            let digest = B256::new(digest);
            if let Some((signer, bytes)) = signed(key, digest) {
                let signature = PayerSignature::parse(&bytes).unwrap();
                prop_assert_eq!(signature.signer(digest), Some(signer));
                let normalized = signature.normalized();
                prop_assert_eq!(normalized.reveal(), bytes.as_slice());
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, digest: [u8; 32]) {
            if let Ok(signature) = PayerSignature::parse(&bytes) {
                let _signer = signature.signer(B256::new(digest));
            }
        }

        #[test]
        fn no_65_bytes_make_it_panic(rs: [[u8; 32]; 2], v in 27u8..=28, digest: [u8; 32]) {
            let bytes = [rs.concat(), vec![v]].concat();
            if let Ok(signature) = PayerSignature::parse(&bytes) {
                let _signer = signature.signer(B256::new(digest));
            }
        }
    }

    #[test]
    fn a_parity_of_0_or_1_is_written_as_27_or_28() {
        let digest = B256::repeat_byte(7);
        let (signer, mut bytes) = signed([0x42; 32], digest).unwrap();
        let expected = bytes;
        bytes[64] -= 27;
        let signature = PayerSignature::parse(&bytes).unwrap();
        assert_eq!(signature.signer(digest), Some(signer));
        assert_eq!(signature.normalized().reveal(), expected);
    }

    #[test]
    fn the_other_signature_of_the_same_pair_is_refused() {
        let (_, bytes) = signed([0x42; 32], B256::repeat_byte(7)).unwrap();
        let mut twin = bytes;
        let s = U256::from_be_slice(&bytes[32..64]);
        twin[32..64].copy_from_slice(&(ORDER - s).to_be_bytes::<32>());
        twin[64] ^= 27 ^ 28;
        assert_eq!(PayerSignature::parse(&twin), Err(SignatureFault::HighS));
    }

    #[test]
    fn bytes_that_only_a_contract_wallet_makes_are_told_apart() {
        use SignatureFault::{BadParity, ContractWallet, Undeployed};
        let blob = [vec![1; 100], [0x64, 0x92].repeat(16)].concat();
        for (bytes, fault) in [
            (vec![], ContractWallet),
            (vec![1; 64], ContractWallet),
            (vec![1; 66], ContractWallet),
            (blob, Undeployed),
            (vec![2; 65], BadParity),
            (vec![29; 65], BadParity),
        ] {
            assert_eq!(PayerSignature::parse(&bytes), Err(fault), "{} bytes", bytes.len());
        }
    }

    #[test]
    fn scalars_that_are_zero_or_above_the_order_have_no_signer() {
        let word = |value: U256| value.to_be_bytes::<32>();
        let one = U256::from(1);
        for (r, s) in [(U256::ZERO, one), (one, U256::ZERO), (ORDER, one), (U256::MAX, one)] {
            let bytes = [word(r).as_slice(), &word(s), &[27]].concat();
            let signature = PayerSignature::parse(&bytes).unwrap();
            assert_eq!(signature.signer(B256::repeat_byte(7)), None);
        }
    }
}
