//! The document that tells everybody an installation's keys: a JWK set (RFC 7517).

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::{KeyId, PublicKey};

/// The most bytes that are read of a document.
pub const MAX_DOCUMENT_BYTES: usize = 256 * 1024;

const KEY_TYPE: &str = "OKP";
const CURVE: &str = "Ed25519";
const USE: &str = "sig";
pub(crate) const ALGORITHM: &str = "EdDSA";

/// The keys that an installation signs with, or has ever signed with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyDocument(Vec<PublicKey>);

/// What is no document of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableDocument {
    /// More than [`MAX_DOCUMENT_BYTES`].
    #[error("it has more than {MAX_DOCUMENT_BYTES} bytes")]
    TooLong,
    /// No JWK set.
    #[error("it is no JSON object with a list of keys")]
    NotAKeySet,
    /// A set without one key that can have signed a receipt.
    #[error("no key in it is one of Ed25519 that signs")]
    NoKeys,
}

/// The set as it is written.
#[derive(Serialize, ToSchema)]
#[schema(as = KeySet)]
struct Set {
    keys: Vec<Jwk>,
}

/// A key as it is written (RFC 8037).
#[derive(Serialize, ToSchema)]
#[schema(as = PublicKey)]
struct Jwk {
    kty: &'static str,
    crv: &'static str,
    r#use: &'static str,
    alg: &'static str,
    /// The thumbprint of the key (RFC 7638).
    #[schema(value_type = String)]
    kid: KeyId,
    /// The key itself, in base64url.
    x: String,
}

/// A key as it is read: whatever else stands there is not looked at.
#[derive(Deserialize)]
struct AnyJwk {
    kty: String,
    crv: String,
    r#use: Option<String>,
    alg: Option<String>,
    x: String,
}

impl KeyDocument {
    /// The document of these keys.
    pub fn new(keys: impl IntoIterator<Item = PublicKey>) -> Self {
        Self(keys.into_iter().collect())
    }

    /// Reads a document. Keys of other kinds, and what is no key, are passed over (RFC 7517,
    /// section 5); what a key is called there does not count, since its thumbprint is its name.
    ///
    /// # Errors
    /// [`UnreadableDocument`] when there is no key to verify a receipt with.
    pub fn parse(document: &[u8]) -> Result<Self, UnreadableDocument> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        if document.len() > MAX_DOCUMENT_BYTES {
            return Err(UnreadableDocument::TooLong);
        }
        let set: Set =
            serde_json::from_slice(document).map_err(|_| UnreadableDocument::NotAKeySet)?;
        let keys: Vec<PublicKey> = set.keys.into_iter().filter_map(read).collect();
        if keys.is_empty() { Err(UnreadableDocument::NoKeys) } else { Ok(Self(keys)) }
    }

    /// The key of this name.
    pub fn find(&self, id: KeyId) -> Option<&PublicKey> {
        self.0.iter().find(|key| key.id() == id)
    }
}

impl PartialSchema for KeyDocument {
    fn schema() -> RefOr<Schema> {
        Set::schema()
    }
}

impl ToSchema for KeyDocument {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        Set::schemas(schemas);
    }
}

fn read(jwk: Value) -> Option<PublicKey> {
    let jwk: AnyJwk = serde_json::from_value(jwk).ok()?;
    let signs = jwk.kty == KEY_TYPE
        && jwk.crv == CURVE
        && jwk.r#use.is_none_or(|purpose| purpose == USE)
        && jwk.alg.is_none_or(|algorithm| algorithm == ALGORITHM);
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(jwk.x).ok().filter(|_| signs)?;
    PublicKey::from_bytes(&bytes.try_into().ok()?)
}

impl Serialize for KeyDocument {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let keys = self.0.iter().map(|key| Jwk {
            kty: KEY_TYPE,
            crv: CURVE,
            r#use: USE,
            alg: ALGORITHM,
            kid: key.id(),
            x: key.x(),
        });
        Set { keys: keys.collect() }.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::SigningKey;

    fn key(seed: u8) -> PublicKey {
        SigningKey::from_seed(&[seed; 32]).public()
    }

    fn parse(document: &Value) -> Result<KeyDocument, UnreadableDocument> {
        KeyDocument::parse(document.to_string().as_bytes())
    }

    #[test]
    fn a_document_reads_back_as_it_was_written() {
        let document = KeyDocument::new([key(1), key(2)]);
        let written = serde_json::to_value(&document).unwrap();
        assert_eq!(
            written["keys"][0],
            json!({
                "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA",
                "kid": key(1).id().to_string(), "x": key(1).x(),
            })
        );
        assert_eq!(parse(&written), Ok(document));
    }

    #[test]
    fn a_key_is_found_by_its_thumbprint_whatever_the_document_calls_it() {
        let mut written = serde_json::to_value(KeyDocument::new([key(1)])).unwrap();
        written["keys"][0]["kid"] = json!(key(2).id());
        let document = parse(&written).unwrap();
        assert_eq!(document.find(key(1).id()), Some(&key(1)));
        assert_eq!(document.find(key(2).id()), None);
    }

    #[test]
    fn keys_of_other_kinds_are_passed_over() {
        let good = serde_json::to_value(KeyDocument::new([key(1)])).unwrap()["keys"][0].clone();
        let mut keys = vec![json!(7), json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"})];
        for (member, other) in
            [("kty", "EC"), ("crv", "X25519"), ("use", "enc"), ("alg", "ES256"), ("x", "AAAA")]
        {
            let mut bad = good.clone();
            bad[member] = json!(other);
            keys.push(bad);
        }
        assert_eq!(parse(&json!({ "keys": keys })), Err(UnreadableDocument::NoKeys));
        keys.push(good);
        assert_eq!(parse(&json!({ "keys": keys })), Ok(KeyDocument::new([key(1)])));
    }

    #[test]
    fn what_is_no_key_set_is_refused() {
        for bad in ["", "null", "[]", "{}", r#"{"keys":{}}"#, "{\"keys\":["] {
            let read = KeyDocument::parse(bad.as_bytes());
            assert_eq!(read, Err(UnreadableDocument::NotAKeySet), "{bad:?}");
        }
        let long = vec![b' '; MAX_DOCUMENT_BYTES + 1];
        assert_eq!(KeyDocument::parse(&long), Err(UnreadableDocument::TooLong));
    }
}
