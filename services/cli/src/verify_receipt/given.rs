//! The receipt as it was handed over.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::failure::Failure;

/// The most that is read of it: an answer of the API has about three thousand bytes.
const MOST_BYTES: usize = 64 * 1024;

/// What means standard input.
const STANDARD_INPUT: &str = "-";

/// A receipt, and what was written beside it.
#[derive(Debug, Deserialize)]
pub(super) struct Given {
    /// The receipt itself; nothing of it was looked at.
    pub(super) jws: String,
    /// What the answer of the API says that it states.
    pub(super) statement: Option<Value>,
}

impl Given {
    /// Reads the bare receipt, or the answer of the API.
    pub(super) fn read(file: &Path) -> Result<Self, Failure> {
        let bytes = if file == Path::new(STANDARD_INPUT) {
            at_most(io::stdin().lock())
        } else {
            File::open(file).and_then(at_most)
        };
        let bytes = bytes
            .map_err(|error| Failure::Said(format!("cannot read {}: {error}", file.display())))?;
        Self::parse(&bytes).map_err(|why| Failure::Said(format!("{}: {why}", file.display())))
    }

    fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() > MOST_BYTES {
            return Err("too long for a receipt");
        }
        let text = str::from_utf8(bytes).map_err(|_| "not a text")?.trim();
        if text.starts_with('{') {
            return serde_json::from_str(text).map_err(|_| "JSON, but no receipt: jws is missing");
        }
        Ok(Self { jws: text.to_owned(), statement: None })
    }
}

fn at_most(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One more, by which it is told that it goes on.
    let most = u64::try_from(MOST_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    source.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bare_receipt_and_the_answer_of_the_api_are_both_taken() {
        let bare = Given::parse(b" a.b.c\n").unwrap();
        assert_eq!((bare.jws.as_str(), bare.statement), ("a.b.c", None));
        let answer = br#"{"object": "receipt", "jws": "a.b.c", "statement": {"version": 1}}"#;
        let answer = Given::parse(answer).unwrap();
        assert_eq!((answer.jws.as_str(), answer.statement.is_some()), ("a.b.c", true));
    }

    #[test]
    fn what_cannot_hold_a_receipt_is_refused() {
        let long = vec![b'a'; MOST_BYTES + 1];
        for bad in [&b"{}"[..], b"{", br#"{"jws": 7}"#, b"\xff", &long] {
            assert!(Given::parse(bad).is_err());
        }
    }
}
