//! Signatures of Standard Webhooks 1.0.0 (the symmetric scheme `v1`).

use base64::prelude::{BASE64_STANDARD, Engine};
use domain::EventId;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Marks an HMAC-SHA256 signature.
const SCHEME: &str = "v1";

/// The value of `webhook-signature`: for each secret an HMAC-SHA256 over
/// `{webhook-id}.{webhook-timestamp}.{body}`, with blanks between; a receiver takes whichever it knows.
///
/// The timestamp is that of the attempt, in Unix seconds. The id holds no dot, so nothing that a
/// payment carries can move the borders between the parts.
pub(crate) fn sign<'a>(
    secrets: impl IntoIterator<Item = &'a [u8]>,
    event: EventId,
    timestamp_secs: i64,
    body: &[u8],
) -> String {
    let id = event.to_string();
    let signed = secrets.into_iter().map(|secret| signature(secret, &id, timestamp_secs, body));
    signed.collect::<Vec<_>>().join(" ")
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
        assert_eq!(sign([secret.as_slice()], event, 1_772_366_408, body), expected);
    }

    #[test]
    fn while_secrets_change_either_of_them_verifies() {
        let event = EventId::new(Uuid::now_v7());
        let now = runtime::Clock::system().now_unix_ms() / 1_000;
        let (old, new) = (vec![7; 32], vec![8; 32]);
        let both = [new.as_slice(), old.as_slice()];
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
