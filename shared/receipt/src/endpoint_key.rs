//! The key of a webhook endpoint, for receivers that are to hold no secret (Standard Webhooks' `v1a`).

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::SigningKey;

/// What sets this use of an endpoint's secret apart from every other.
const USE: &[u8] = b"quittance/webhook/v1a";

/// What Standard Webhooks 1.0.0 puts before a public key.
const PREFIX: &str = "whpk_";

/// The key that an endpoint's deliveries are signed with besides.
///
/// It grows from the endpoint's own secret, and changes with it: no two endpoints share a key, so
/// that nobody can pass on to another receiver what was signed for its own.
pub fn endpoint_key(secret: &[u8]) -> SigningKey {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(USE);
    SigningKey::from_seed(&mac.finalize().into_bytes().into())
}

/// The public half as receivers' libraries take it.
pub fn public_key_text(key: &SigningKey) -> String {
    format!("{PREFIX}{}", key.public().to_base64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_secret_has_a_key_of_its_own_and_always_the_same() {
        let (one, other) = (endpoint_key(&[1; 32]), endpoint_key(&[2; 32]));
        assert_ne!(one.public(), other.public());
        assert_eq!(one.public(), endpoint_key(&[1; 32]).public());
    }

    #[test]
    fn a_public_key_is_written_as_the_specification_says() {
        let text = public_key_text(&endpoint_key(&[1; 32]));
        let rest = text.strip_prefix("whpk_").unwrap();
        assert_eq!(rest.len(), 44, "32 bytes in base64 with padding: {text}");
    }
}
