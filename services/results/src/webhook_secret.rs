//! The secret that an endpoint's deliveries are signed with.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine};

/// What Standard Webhooks 1.0.0 puts before a symmetric secret.
const PREFIX: &str = "whsec_";

/// The recommended size; 24 to 64 bytes are allowed.
const BYTES: usize = 32;

/// A new secret.
pub(crate) struct WebhookSecret([u8; BYTES]);

impl WebhookSecret {
    pub(crate) fn generate() -> Self {
        Self(runtime::random_bytes())
    }

    /// What the notifier signs with.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.0.to_vec()
    }

    /// What the receiver's library takes.
    pub(crate) fn reveal(&self) -> String {
        reveal(&self.0)
    }
}

/// A secret as the receiver's library takes it.
pub(crate) fn reveal(secret: &[u8]) -> String {
    format!("{PREFIX}{}", BASE64_STANDARD.encode(secret))
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}
