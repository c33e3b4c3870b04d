//! Reading the loosely typed objects of x402 field by field.
//!
//! Unknown fields are passed over, and `null` counts as absent, as stock clients have it. Serde's
//! own messages quote what they do not like, which may be a signature: these do not.

use alloy_primitives::hex;
use domain::{Address, Amount, B256};
use serde_json::Value;

use crate::{Reason, Refusal, RefusalKind};

/// How deep the objects may be nested; what stock extensions attach stays well below.
const MAX_DEPTH: u32 = 32;

/// The longest signature that is taken, in bytes, which is also the ledger's bound: many times what
/// wallets produce.
const MAX_BYTES: usize = 8_192;

/// One object of the request, and where it stands there.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    pointer: &'static str,
    value: &'a Value,
    blame: Reason,
}

impl<'a> Part<'a> {
    /// The object at `pointer`; `blame` is what is said when one of its fields is wrong.
    pub(crate) fn new(
        pointer: &'static str,
        value: &'a Value,
        blame: Reason,
    ) -> Result<Self, Refusal> {
        let part = Self { pointer, value, blame };
        if !value.is_object() {
            return Err(part.malformed("", "must be an object"));
        }
        if is_deeper(value, MAX_DEPTH) {
            return Err(part.malformed("", format!("is nested more than {MAX_DEPTH} levels deep")));
        }
        Ok(part)
    }

    /// The object at `path` below this one, to be known as standing at `pointer`.
    pub(crate) fn part(&self, path: &str, pointer: &'static str) -> Result<Self, Refusal> {
        let value = self.find(path).ok_or_else(|| self.missing(path))?;
        Self::new(pointer, value, self.blame)
    }

    /// The same, if there is anything but null; `blame` is what is said when one of its fields is wrong.
    pub(crate) fn optional_part(
        &self,
        path: &str,
        pointer: &'static str,
        blame: Reason,
    ) -> Result<Option<Self>, Refusal> {
        self.find(path).map(|value| Self::new(pointer, value, blame)).transpose()
    }

    /// Whether there is anything but null at `path`.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.find(path).is_some()
    }

    pub(crate) fn number(&self, path: &str) -> Result<u64, Refusal> {
        self.required(path)?.as_u64().ok_or_else(|| self.malformed(path, "must be a whole number"))
    }

    pub(crate) fn text(&self, path: &str) -> Result<&'a str, Refusal> {
        self.as_text(path, self.required(path)?)
    }

    pub(crate) fn optional_text(&self, path: &str) -> Result<Option<&'a str>, Refusal> {
        self.find(path).map(|value| self.as_text(path, value)).transpose()
    }

    /// A `uint256` as decimal text.
    pub(crate) fn amount(&self, path: &str) -> Result<Amount, Refusal> {
        self.text(path)?
            .parse()
            .map_err(|_| self.malformed(path, "must be a decimal string below 2^256"))
    }

    /// An address in any mix of cases: stock clients do not keep to EIP-55.
    pub(crate) fn address(&self, path: &str) -> Result<Address, Refusal> {
        fixed(self.text(path)?)
            .map(Address::new)
            .ok_or_else(|| self.malformed(path, "must be 0x and 40 hexadecimal digits"))
    }

    pub(crate) fn word(&self, path: &str) -> Result<B256, Refusal> {
        fixed(self.text(path)?)
            .map(B256::new)
            .ok_or_else(|| self.malformed(path, "must be 0x and 64 hexadecimal digits"))
    }

    /// Bytes as hexadecimal text, or none where the text is not that.
    pub(crate) fn bytes(&self, path: &str) -> Result<Option<Vec<u8>>, Refusal> {
        let text = self.text(path)?;
        let digits = text.strip_prefix("0x");
        Ok(digits
            .filter(|digits| digits.len() <= MAX_BYTES.saturating_mul(2) && is_hex(digits))
            .and_then(|digits| hex::decode(digits).ok()))
    }

    /// A refusal of the field at `path`.
    pub(crate) fn refuse(
        &self,
        kind: RefusalKind,
        path: &str,
        detail: impl Into<String>,
        reason: Reason,
    ) -> Refusal {
        Refusal { kind, pointer: format!("{}{path}", self.pointer), detail: detail.into(), reason }
    }

    pub(crate) fn malformed(&self, path: &str, detail: impl Into<String>) -> Refusal {
        self.refuse(RefusalKind::MalformedField, path, detail, self.blame)
    }

    fn missing(&self, path: &str) -> Refusal {
        self.refuse(RefusalKind::MissingField, path, "is required", self.blame)
    }

    fn required(&self, path: &str) -> Result<&'a Value, Refusal> {
        self.find(path).ok_or_else(|| self.missing(path))
    }

    fn find(&self, path: &str) -> Option<&'a Value> {
        path.split('/')
            .skip(1)
            .try_fold(self.value, |value, key| value.get(key))
            .filter(|value| !value.is_null())
    }

    fn as_text(&self, path: &str, value: &'a Value) -> Result<&'a str, Refusal> {
        value.as_str().ok_or_else(|| self.malformed(path, "must be a string"))
    }
}

fn is_hex(digits: &str) -> bool {
    digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn fixed<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.strip_prefix("0x").filter(|digits| is_hex(digits))?;
    hex::decode_to_array(digits).ok()
}

fn is_deeper(value: &Value, levels: u32) -> bool {
    let Some(below) = levels.checked_sub(1) else {
        return value.is_object() || value.is_array();
    };
    match value {
        Value::Array(items) => items.iter().any(|item| is_deeper(item, below)),
        Value::Object(members) => members.values().any(|member| is_deeper(member, below)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
