//! The keys of an installation: Ed25519, named by their thumbprints.

use std::fmt;
use std::str::FromStr;

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use ed25519_dalek::{Signature, Signer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// A key's name: the thumbprint of its JWK (RFC 7638), so that no key can take another's name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 32]);

/// Text that is no thumbprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the thumbprint of a key")]
pub struct InvalidKeyId;

/// The half of a key that everybody may have: it verifies.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(ed25519_dalek::VerifyingKey);

/// The half of a key that signs. It has no printing form.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key that grows from this seed (RFC 8032).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The half that everybody may have.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// The same bytes always get the same signature.
    pub fn sign_bytes(&self, bytes: &[u8]) -> [u8; 64] {
        self.0.sign(bytes).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public().id())
    }
}

impl PublicKey {
    /// The key of these bytes, unless they are none, or one that verifies what it never signed.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).ok()?;
        (!key.is_weak()).then_some(Self(key))
    }

    /// Its name.
    pub fn id(&self) -> KeyId {
        // The required members, in lexicographic order, without white space (RFC 7638, section 3).
        let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, self.x());
        KeyId(Sha256::digest(jwk).into())
    }

    /// Its bytes in ordinary base64.
    pub(crate) fn to_base64(&self) -> String {
        BASE64_STANDARD.encode(self.0.as_bytes())
    }

    /// Its bytes as JWKs write them.
    pub(crate) fn x(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.0.as_bytes())
    }

    /// Whether this key made this signature; of several encodings of one signature, one counts.
    pub fn verifies(&self, signature: &[u8; 64], bytes: &[u8]) -> bool {
        self.0.verify_strict(bytes, &Signature::from_bytes(signature)).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id())
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&BASE64_URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyId {
    type Err = InvalidKeyId;

    fn from_str(text: &str) -> Result<Self, InvalidKeyId> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidKeyId)?;
        bytes.try_into().map(Self).map_err(|_| InvalidKeyId)
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of RFC 8037, appendix A.
    fn rfc_8037() -> SigningKey {
        let seed = BASE64_URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A");
        SigningKey::from_seed(&seed.unwrap().try_into().unwrap())
    }

    #[test]
    fn a_key_is_named_and_signs_as_rfc_8037_shows() {
        let key = rfc_8037();
        let name = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
        assert_eq!(key.public().id().to_string(), name);
        assert_eq!(name.parse(), Ok(key.public().id()));

        let signed = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = key.sign_bytes(signed);
        assert_eq!(
            BASE64_URL_SAFE_NO_PAD.encode(signature),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        );
        assert!(key.public().verifies(&signature, signed));
    }

    #[test]
    fn nothing_of_a_seed_is_printed() {
        let printed = format!("{:?}", SigningKey::from_seed(&[7; 32]));
        let public = SigningKey::from_seed(&[7; 32]).public();
        assert_eq!(printed, format!("SigningKey({})", public.id()));
    }

    #[test]
    fn bytes_that_are_no_key_or_a_weak_one_are_refused() {
        // No point of the curve, the neutral element, and another point of small order.
        let no_point = [2; 32];
        let mut neutral = [0; 32];
        neutral[0] = 1;
        for bytes in [no_point, neutral, [0; 32]] {
            assert_eq!(PublicKey::from_bytes(&bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn text_that_is_no_thumbprint_is_no_name() {
        let name = rfc_8037().public().id().to_string();
        let padded = format!("{name}=");
        for bad in ["", "x", &name[1..], &padded, &name.replace('_', "/")] {
            assert_eq!(bad.parse::<KeyId>(), Err(InvalidKeyId), "{bad:?} was taken");
        }
    }
}
