//! The compact form of a signed statement (RFC 7515), written one way and read strictly.

use std::fmt;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::key_document::ALGORITHM;
use crate::{KeyDocument, KeyId, SigningKey, Statement, VERSION};

/// The longest receipt that is read, in bytes; those that are written have about a thousand.
pub const MAX_BYTES: usize = 8 * 1024;

/// What the header calls a receipt, so that nothing else that a key signs is taken for one.
const TYPE: &str = "quittance-receipt+jws";

/// A receipt that has the right form. Whether anything in it is true is not known yet.
#[derive(Clone, PartialEq, Eq)]
pub struct Receipt {
    key: KeyId,
    /// Header and payload as they were signed.
    signed: String,
    payload: Vec<u8>,
    signature: [u8; 64],
}

/// Why something is no receipt, or none that its key signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// More than [`MAX_BYTES`].
    #[error("it has more than {MAX_BYTES} bytes")]
    TooLong,
    /// Not three parts with points between them.
    #[error("it is no JWS in compact form: three parts with a point between each two")]
    NotCompact,
    /// A part that is not base64url as JWS has it.
    #[error("its {0} is not base64url without padding")]
    NotBase64(Part),
    /// A header that no receipt has.
    #[error("its header is no JSON object with alg, kid and typ, and nothing else")]
    BadHeader,
    /// A header that asks for something that must be understood.
    #[error("its header names critical extensions (crit), and none is understood")]
    CriticalExtension,
    /// Signed in another way.
    #[error("it is not signed with {ALGORITHM}")]
    OtherAlgorithm,
    /// Something else that was signed.
    #[error("it is signed as something else than {TYPE}")]
    OtherType,
    /// A key that is not in the document.
    #[error("no key of this document is called {0}")]
    UnknownKey(KeyId),
    /// A signature that the key did not make for this.
    #[error("the key {0} did not sign this")]
    WrongSignature(KeyId),
    /// A statement of another version.
    #[error("it is a statement of version {0}, and only version {VERSION} is understood")]
    OtherVersion(u64),
    /// A payload that is no statement.
    #[error("its payload is no statement of a payment: {0}")]
    BadStatement(String),
}

/// A part of a JWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The first.
    Header,
    /// The second.
    Payload,
    /// The third.
    Signature,
}

#[derive(Serialize)]
struct Header {
    alg: &'static str,
    kid: KeyId,
    typ: &'static str,
}

/// A header as it is read. Nothing may stand there that is not written here: a key or the address
/// of one, for example, that a careless reader would trust.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnyHeader {
    alg: String,
    kid: Option<KeyId>,
    typ: Option<String>,
    #[serde(default, deserialize_with = "present")]
    crit: bool,
}

/// True for whatever stands there, null included.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

impl SigningKey {
    /// The receipt with this statement; the same key always gives the same.
    pub fn sign(&self, statement: &Statement) -> String {
        let header = Header { alg: ALGORITHM, kid: self.public().id(), typ: TYPE };
        let signed = format!("{}.{}", encode(&header), encode(statement));
        let signature = BASE64_URL_SAFE_NO_PAD.encode(self.sign_bytes(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

fn encode(part: &impl Serialize) -> String {
    let json = serde_json::to_vec(part).expect("texts and numbers are always JSON");
    BASE64_URL_SAFE_NO_PAD.encode(json)
}

impl Receipt {
    /// Reads the compact form.
    ///
    /// # Errors
    /// [`Refused`] when it cannot be a receipt, whoever signed it.
    pub fn parse(text: &str) -> Result<Self, Refused> {
        if text.len() > MAX_BYTES {
            return Err(Refused::TooLong);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Refused::NotCompact)?;
        let (header, payload) = signed.split_once('.').ok_or(Refused::NotCompact)?;
        if payload.contains('.') {
            return Err(Refused::NotCompact);
        }
        let key = read_header(&decode(header, Part::Header)?)?;
        let payload = decode(payload, Part::Payload)?;
        let signature = decode(signature, Part::Signature)?;
        // Of another length it is no Ed25519 signature at all.
        let signature = signature.try_into().map_err(|_| Refused::WrongSignature(key))?;
        Ok(Self { key, signed: signed.to_owned(), payload, signature })
    }

    /// The key that signed it, as it says itself.
    pub const fn key(&self) -> KeyId {
        self.key
    }

    /// The statement, if one of these keys signed it.
    ///
    /// # Errors
    /// [`Refused`] when none did, or what was signed is no statement.
    pub fn verify(&self, keys: &KeyDocument) -> Result<Statement, Refused> {
        let key = keys.find(self.key).ok_or(Refused::UnknownKey(self.key))?;
        if !key.verifies(&self.signature, self.signed.as_bytes()) {
            return Err(Refused::WrongSignature(self.key));
        }
        self.claim()
    }

    /// What it states, whoever wrote it: to be proven by other means.
    ///
    /// # Errors
    /// [`Refused`] when that is no statement.
    pub fn claim(&self) -> Result<Statement, Refused> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }
        let bad = |error: serde_json::Error| Refused::BadStatement(error.to_string());
        let Versioned { version } = serde_json::from_slice(&self.payload).map_err(bad)?;
        if version != u64::from(VERSION) {
            return Err(Refused::OtherVersion(version));
        }
        serde_json::from_slice(&self.payload).map_err(bad)
    }

    /// The payload as JSON, with members that this code does not know, for comparing it.
    ///
    /// # Errors
    /// [`Refused`] when it is no JSON.
    pub fn payload(&self) -> Result<Value, Refused> {
        let bad = |error: serde_json::Error| Refused::BadStatement(error.to_string());
        serde_json::from_slice(&self.payload).map_err(bad)
    }
}

fn decode(text: &str, part: Part) -> Result<Vec<u8>, Refused> {
    // Padding, other alphabets and bits behind the last byte are refused: one spelling counts.
    BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| Refused::NotBase64(part))
}

fn read_header(header: &[u8]) -> Result<KeyId, Refused> {
    let header: AnyHeader = serde_json::from_slice(header).map_err(|_| Refused::BadHeader)?;
    if header.crit {
        return Err(Refused::CriticalExtension);
    }
    if header.alg != ALGORITHM {
        return Err(Refused::OtherAlgorithm);
    }
    if header.typ.as_deref() != Some(TYPE) {
        return Err(Refused::OtherType);
    }
    header.kid.ok_or(Refused::BadHeader)
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").field("key", &self.key).finish_non_exhaustive()
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Payload => "payload",
            Self::Signature => "signature",
        })
    }
}

#[cfg(test)]
mod tests;
