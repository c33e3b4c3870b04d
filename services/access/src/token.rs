//! The text of an API key.

use std::fmt;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use sha2::{Digest, Sha256};

/// What every token begins with, so that people and secret scanners know one when they see it.
const PREFIX: &str = "qtk_";

/// Random bytes in a token: nothing to guess, so that a plain digest of it is safe to store.
const RANDOM_BYTES: usize = 32;

/// How many of the last characters tell a token from the others of its owner.
const TAIL: usize = 4;

/// A new API key's text. It is shown once, to its owner, and never printed by [`fmt::Debug`].
#[derive(Clone, PartialEq, Eq)]
pub struct ApiToken(String);

impl ApiToken {
    /// A token that nobody has seen before: `qtk_` and 43 characters of base64url.
    ///
    /// # Panics
    /// When the operating system has no random source.
    pub fn generate() -> Self {
        let random = runtime::random_bytes::<RANDOM_BYTES>();
        Self(format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(random)))
    }

    /// The text, for its owner.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What the ledger keeps of it.
    pub fn sha256(&self) -> [u8; 32] {
        Self::digest_of(&self.0)
    }

    /// Its last four characters.
    pub fn last_four(&self) -> &str {
        let begin = self.0.len().saturating_sub(TAIL);
        self.0.get(begin..).unwrap_or_default()
    }

    pub(crate) fn digest_of(text: &str) -> [u8; 32] {
        Sha256::digest(text).into()
    }
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiToken(…{})", self.last_four())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_readable_unguessable_and_not_printed() {
        let (one, other) = (ApiToken::generate(), ApiToken::generate());
        assert_ne!(one, other);
        assert!(one.reveal().starts_with("qtk_") && one.reveal().len() == 47);
        assert!(!format!("{one:?}").contains(&one.reveal()[4..40]));
        assert!(one.reveal().ends_with(one.last_four()) && one.last_four().len() == 4);
    }
}
