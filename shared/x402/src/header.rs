//! The payment as a header carries it: base64 of JSON (`X-PAYMENT`, `PAYMENT-SIGNATURE`).

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet::{Alphabet, STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

use crate::{Reason, Refusal, RefusalKind};

/// Where the payment stands in a settle request.
pub(crate) const POINTER: &str = "/paymentPayload";

/// The longest header text that is decoded, in characters: the size of the largest request.
const MAX_TEXT: usize = 65_536;

/// The payment as an object, whichever way it came.
pub(crate) fn payment_payload(value: &Value) -> Result<Cow<'_, Value>, Refusal> {
    let Value::String(text) = value else {
        return Ok(Cow::Borrowed(value));
    };
    let json = decode(text)?;
    // The parser's own message is not repeated: it may quote a signature.
    serde_json::from_slice(&json)
        .map(Cow::Owned)
        .map_err(|_| refused("must be base64 of JSON; what it decodes to is not JSON"))
}

/// Whether a header's text carries the payment of a settle request, whichever way that has it.
#[must_use]
pub fn is_same_payment(payload: &Value, header: &str) -> bool {
    let in_header = Value::String(header.to_owned());
    let (one, other) = (payment_payload(payload), payment_payload(&in_header));
    one.is_ok_and(|one| other.is_ok_and(|other| one == other))
}

fn decode(text: &str) -> Result<Vec<u8>, Refusal> {
    if text.len() > MAX_TEXT {
        return Err(refused(format!("must not be longer than {MAX_TEXT} characters")));
    }
    let alphabet = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
    engine(alphabet).decode(text).map_err(|_| refused("must be an object, or base64 of one"))
}

fn engine(alphabet: &Alphabet) -> GeneralPurpose {
    let lenient =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(alphabet, lenient)
}

fn refused(detail: impl Into<String>) -> Refusal {
    Refusal {
        kind: RefusalKind::MalformedField,
        pointer: POINTER.to_owned(),
        detail: detail.into(),
        reason: Reason::InvalidPayload,
    }
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<Value, Refusal> {
        payment_payload(&Value::String(text.to_owned())).map(Cow::into_owned)
    }

    proptest! {
        #[test]
        fn either_alphabet_with_or_without_padding_is_read(note in ".{0,40}") {
            let value = json!({"note": note});
            let json = value.to_string();
            for engine in [BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE] {
                prop_assert_eq!(read(&engine.encode(&json)), Ok(value.clone()));
            }
        }

        #[test]
        fn no_text_makes_it_panic_or_is_repeated(text in ".{20,80}") {
            if let Err(refusal) = read(&text) {
                prop_assert!(!refusal.to_string().contains(&text));
            }
        }
    }

    #[test]
    fn a_payment_is_the_same_however_it_is_written() {
        let payload = json!({"x402Version": 2, "payload": {"nonce": "0x07", "from": "0x01"}});
        let turned = r#"{"payload": {"from": "0x01", "nonce": "0x07"}, "x402Version": 2}"#;
        let other = json!({"x402Version": 2, "payload": {"nonce": "0x08", "from": "0x01"}});
        let text = |value: &str| BASE64_STANDARD.encode(value);
        let as_text = Value::String(text(&payload.to_string()));
        for payload in [&payload, &as_text] {
            for same in [text(turned), BASE64_URL_SAFE.encode(turned), text(&payload_of(payload))] {
                assert!(is_same_payment(payload, &same), "{same}");
            }
            for differs in ["", "e30=", turned, &text(&other.to_string())] {
                assert!(!is_same_payment(payload, differs), "{differs}");
            }
        }
        assert!(!is_same_payment(&json!("no payment"), "no payment"), "neither is one");
    }

    fn payload_of(value: &Value) -> String {
        payment_payload(value).unwrap().to_string()
    }

    #[test]
    fn text_that_is_not_base64_of_json_is_refused() {
        for bad in ["", "{}", "e30=e30=", "e3 0=", "+/-_", "bm9wZQ==", "e30gMQ=="] {
            let refusal = read(bad).unwrap_err();
            assert_eq!(refusal.kind, RefusalKind::MalformedField, "{bad:?} was taken");
        }
        assert!(read(&"e".repeat(MAX_TEXT + 1)).is_err());
    }
}
