//! `X-PAYMENT-SECURE`: where the agent's request stands in its trace.

use base64::Engine;
use domain::RequestTrace;
use runtime::TraceContext;
use serde_json::Value;
use uuid::Uuid;

use super::pairs::{Malformed, values};
use super::{BASE64, BASE64_URL, hyphenated};

/// The characters of a `traceparent` of version 00, which nothing may follow.
const PARENT_CHARACTERS: usize = 55;

/// What the header says.
pub(super) fn parse(text: &str) -> Result<RequestTrace, Malformed> {
    let [parent, state] = values(text, "w3c.v1", ["tp", "ts"])?;
    let parent = parent.ok_or(Malformed::Missing("tp"))?;
    if !is_parent(parent) {
        return Err(Malformed::Value("its tp is not a traceparent of version 00"));
    }
    let undecodable = Malformed::Value("its ts is not url-encoded text without control characters");
    let state = state.map(|state| decoded(state).ok_or(undecodable)).transpose()?;
    Ok(RequestTrace { parent: parent.to_owned(), state })
}

/// The trace that a `ts` names which is base64 of `{"tid": "<uuid>"}`, as agents of x402-secure
/// write it. Any other is a tracestate of somebody else's, and no mistake.
pub(super) fn trace_in(state: &str) -> Option<Uuid> {
    let alphabet = if state.contains(['-', '_']) { BASE64_URL } else { BASE64 };
    let json = alphabet.decode(state).ok()?;
    let told: Value = serde_json::from_slice(&json).ok()?;
    told.get("tid")?.as_str().and_then(hyphenated)
}

fn is_parent(text: &str) -> bool {
    let current = text.starts_with("00-") && text.len() == PARENT_CHARACTERS;
    current && text.parse::<TraceContext>().is_ok()
}

/// The text that was url-encoded. `+` stands for itself: it is a digit of base64.
fn decoded(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => (hex_digit(bytes.next()?)? << 4) | hex_digit(bytes.next()?)?,
            plain => plain,
        });
    }
    // The ledger cannot hold U+0000, and nobody who reads a trace wants the others.
    String::from_utf8(decoded).ok().filter(|text| !text.chars().any(char::is_control))
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
