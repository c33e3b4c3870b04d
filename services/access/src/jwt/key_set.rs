//! The public keys of an issuer (RFC 7517), each with the one algorithm that it is used with.

use std::fmt;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use runtime::config::JwtAlgorithm;
use serde_json::Value;

use super::BadToken;

/// The most keys of one issuer.
const MOST: usize = 100;

/// One key.
#[derive(Clone)]
pub(super) struct Key {
    id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

/// The keys of an issuer that tokens may be signed with.
#[derive(Clone, Debug, Default)]
pub(super) struct KeySet(Vec<Key>);

/// Why a document holds no keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoKeys {
    #[error("it is no JWK set")]
    Malformed,
    #[error("it has no key for any of jwt.algorithms")]
    None,
    #[error("it has more than {MOST} keys")]
    TooMany,
}

impl KeySet {
    /// Reads a document. Keys that tokens cannot be checked with are passed over.
    pub(super) fn read(text: &str, taken: &[JwtAlgorithm]) -> Result<Self, NoKeys> {
        let document: Value = serde_json::from_str(text).map_err(|_| NoKeys::Malformed)?;
        let keys = document.get("keys").and_then(Value::as_array).ok_or(NoKeys::Malformed)?;
        if keys.len() > MOST {
            return Err(NoKeys::TooMany);
        }
        // One by one, since a key of a kind that is not known must not hide the others.
        let keys = keys.iter().filter_map(|key| serde_json::from_value(key.clone()).ok());
        let set = JwkSet { keys: keys.collect() };
        let keys: Vec<Key> = set.keys.iter().filter_map(|jwk| Key::of(jwk, taken)).collect();
        if keys.is_empty() { Err(NoKeys::None) } else { Ok(Self(keys)) }
    }

    /// The key of this name; without a name, the only one with this algorithm.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<&Key, BadToken> {
        if !self.0.iter().any(|key| key.algorithm == algorithm) {
            return Err(match self.0.is_empty() {
                true => BadToken::UnknownKey,
                false => BadToken::Algorithm,
            });
        }
        let mut keys = self.0.iter().filter(|key| match id {
            Some(id) => key.id.as_deref() == Some(id),
            None => key.algorithm == algorithm,
        });
        let key = keys.next().ok_or(BadToken::UnknownKey)?;
        if keys.next().is_some() {
            return Err(BadToken::UnknownKey);
        }
        if key.algorithm == algorithm { Ok(key) } else { Err(BadToken::Algorithm) }
    }
}

impl Key {
    /// A key that checks signatures by an algorithm that is taken.
    fn of(jwk: &Jwk, taken: &[JwtAlgorithm]) -> Option<Self> {
        let (algorithm, ours) = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => (Algorithm::RS256, JwtAlgorithm::Rs256),
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                (Algorithm::ES256, JwtAlgorithm::Es256)
            }
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                (Algorithm::EdDSA, JwtAlgorithm::EdDsa)
            }
            // Another curve; or a shared secret, which is nobody's public key.
            _ => return None,
        };
        let common = &jwk.common;
        let is_for_signatures =
            matches!(&common.public_key_use, None | Some(PublicKeyUse::Signature));
        let says_otherwise = common.key_algorithm.is_some_and(|it| it != algorithm.into());
        if !is_for_signatures || says_otherwise || !taken.contains(&ours) {
            return None;
        }
        let decoding = DecodingKey::from_jwk(jwk).ok()?;
        Some(Self { id: common.key_id.clone(), algorithm, decoding })
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}
