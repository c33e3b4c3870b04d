//! Signatures of Standard Webhooks 1.0.0: `v1`, and `v1a` for those who ask for it.

use base64::prelude::{BASE64_STANDARD, Engine};
use domain::EventId;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Marks an HMAC-SHA256 signature, and one of Ed25519.
const SCHEME: &str = "v1";
const PUBLIC_SCHEME: &str = "v1a";

/// What a delivery is signed with.
#[derive(Clone, Copy)]
pub(crate) struct Keys<'a> {
    /// The secrets, the one that counts first.
    pub(crate) secrets: [Option<&'a [u8]>; 2],
    /// Whether to sign with the keys that grow from them (Ed25519) besides.
    pub(crate) ed25519: bool,
}

/// The value of `webhook-signature`: for each secret an HMAC-SHA256 over
/// `{webhook-id}.{webhook-timestamp}.{body}`, and where that is wanted a signature of the same by
/// its key, with blanks between; a receiver takes whichever it knows.
///
/// The timestamp is that of the attempt, in Unix seconds. The id holds no dot, so nothing that a
/// payment carries can move the borders between the parts.
pub(crate) fn sign(keys: Keys<'_>, event: EventId, timestamp_secs: i64, body: &[u8]) -> String {
    let id = event.to_string();
    let secrets = || keys.secrets.into_iter().flatten();
    let mut all: Vec<String> =
        secrets().map(|secret| signature(secret, &id, timestamp_secs, body)).collect();
    if keys.ed25519 {
        all.extend(secrets().map(|secret| public_signature(secret, &id, timestamp_secs, body)));
    }
    all.join(" ")
}

fn public_signature(secret: &[u8], id: &str, timestamp_secs: i64, body: &[u8]) -> String {
    let signed = [format!("{id}.{timestamp_secs}.").as_bytes(), body].concat();
    let signature = receipt::endpoint_key(secret).sign_bytes(&signed);
    format!("{PUBLIC_SCHEME},{}", BASE64_STANDARD.encode(signature))
}

fn signature(secret: &[u8], id: &str, timestamp_secs: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(format!("{id}.{timestamp_secs}.").as_bytes());
    mac.update(body);
    format!("{SCHEME},{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn signatures_are_those_of_the_specification() {
        let vectors: Vec<serde_json::Value> =
            serde_json::from_str(include_str!("../tests/vectors.json")).unwrap();
        for vector in vectors {
            let text = |key: &str| vector[key].as_str().unwrap();
            let secret = text("secret").strip_prefix("whsec_").unwrap();
            let secret = BASE64_STANDARD.decode(secret).unwrap();
            let timestamp_secs = vector["timestamp"].as_i64().unwrap();
            let signature = signature(&secret, text("id"), timestamp_secs, text("body").as_bytes());
            assert_eq!(signature, text("signature"));
        }
    }

    #[test]
    fn signatures_are_those_of_the_reference_library() {
        let (event, secret) = (EventId::new(Uuid::now_v7()), vec![7; 32]);
        let reference = standardwebhooks::Webhook::from_bytes(secret.clone()).unwrap();
        let body = "{\"reference\":\"Bestellung Nº 4711 · 価格\"}".as_bytes();
        let expected = reference.sign(&event.to_string(), 1_772_366_408, body).unwrap();
        assert_eq!(sign(only(&secret), event, 1_772_366_408, body), expected);
    }

    fn only(secret: &[u8]) -> Keys<'_> {
        Keys { secrets: [Some(secret), None], ed25519: false }
    }

    #[test]
    fn a_public_key_verifies_where_that_is_wanted() {
        let (event, secret) = (EventId::new(Uuid::now_v7()), [7; 32]);
        let keys = Keys { ed25519: true, ..only(&secret) };
        let text = sign(keys, event, 5, b"{}");
        let (symmetric, public) = text.split_once(' ').unwrap();
        assert_eq!(symmetric, sign(only(&secret), event, 5, b"{}"));
        let signature = BASE64_STANDARD.decode(public.strip_prefix("v1a,").unwrap()).unwrap();
        let key = receipt::endpoint_key(&secret).public();
        let signed = format!("{event}.5.{{}}");
        assert!(key.verifies(&signature.try_into().unwrap(), signed.as_bytes()));
    }

    #[test]
    fn while_secrets_change_either_of_them_verifies() {
        let event = EventId::new(Uuid::now_v7());
        let now = runtime::Clock::system().now_unix_ms() / 1_000;
        let (old, new) = (vec![7; 32], vec![8; 32]);
        let both = Keys { secrets: [Some(&new), Some(&old)], ed25519: true };
        let signature = sign(both, event, now, b"{}");
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert("webhook-id", event.to_string().parse().unwrap());
        headers.insert("webhook-timestamp", now.into());
        headers.insert("webhook-signature", signature.parse().unwrap());
        for secret in [old, new] {
            let receiver = standardwebhooks::Webhook::from_bytes(secret).unwrap();
            receiver.verify(b"{}", &headers).unwrap();
        }
        let stranger = standardwebhooks::Webhook::from_bytes(vec![9; 32]).unwrap();
        stranger.verify(b"{}", &headers).unwrap_err();
    }
}
