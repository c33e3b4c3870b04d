//! The extension `payment-identifier`: a name that the buyer gives the payment, and gives no other.

use serde_json::Value;
use x402::{Checked, Reason, Refusal, RefusalKind, SettleRequest};

use super::open::Asker;

/// What x402 calls the extension.
pub(super) const EXTENSION: &str = "payment-identifier";

/// How long an identifier is, in characters.
const LENGTH: std::ops::RangeInclusive<usize> = 16..=128;

/// What is said of an identifier that stands for another payment.
pub(super) const TAKEN: &str =
    "The payment-identifier was used before, for another payment or on other terms";

/// The payment's identifier, if it has one.
pub(super) fn read(request: &SettleRequest) -> Result<Option<String>, Refusal> {
    let asked = info(&request.payment_requirements, "/paymentRequirements")?;
    let given = info(&request.payment_payload, "/paymentPayload")?;
    let is_required = is_required(asked.as_ref())? || is_required(given.as_ref())?;
    let id = given.and_then(|info| info.members.get("id")).filter(|id| !id.is_null());
    let pointer = || format!("/paymentPayload/extensions/{EXTENSION}/info/id");
    match id {
        None if is_required => {
            Err(refused(RefusalKind::MissingField, pointer(), "is required and missing"))
        }
        None => Ok(None),
        Some(id) => match id.as_str().filter(|id| is_identifier(id)) {
            Some(id) => Ok(Some(id.to_owned())),
            None => {
                let words = "must be 16 to 128 of A-Z a-z 0-9 _ -";
                Err(refused(RefusalKind::MalformedField, pointer(), words))
            }
        },
    }
}

/// What stands for an identifier among the keys of its account. With its spaces it is none that a
/// client could name in `Idempotency-Key`.
///
/// Buyers choose identifiers. Those of an account with a key are among its own buyers; those of
/// strangers, who share an account, are told apart by whom they pay.
pub(super) fn key(asker: Asker, id: &str, checked: &Checked) -> String {
    match asker {
        Asker::Keyed(_) => format!("identifier {id}"),
        Asker::Stranger(_) => format!("identifier {:#x} {id}", checked.authorization.pay_to),
    }
}

/// What one of the objects says about the identifier.
struct Info<'a> {
    members: &'a serde_json::Map<String, Value>,
    pointer: String,
}

fn info<'a>(object: &'a Value, at: &str) -> Result<Option<Info<'a>>, Refusal> {
    let extension = object.get("extensions").and_then(|extensions| extensions.get(EXTENSION));
    let Some(extension) = extension.filter(|extension| !extension.is_null()) else {
        return Ok(None);
    };
    let pointer = format!("{at}/extensions/{EXTENSION}/info");
    match extension.get("info").and_then(Value::as_object) {
        Some(members) => Ok(Some(Info { members, pointer })),
        None => Err(refused(RefusalKind::MalformedField, pointer, "must be an object")),
    }
}

fn is_required(info: Option<&Info<'_>>) -> Result<bool, Refusal> {
    let Some(info) = info else { return Ok(false) };
    match info.members.get("required") {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(is_required)) => Ok(*is_required),
        Some(_) => {
            let pointer = format!("{}/required", info.pointer);
            Err(refused(RefusalKind::MalformedField, pointer, "must be true or false"))
        }
    }
}

fn is_identifier(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    LENGTH.contains(&text.len()) && text.bytes().all(plain)
}

fn refused(kind: RefusalKind, pointer: String, detail: &str) -> Refusal {
    Refusal { kind, pointer, detail: detail.to_owned(), reason: Reason::InvalidPaymentIdentifier }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What is read where the payload and the requirements say this, or where it is refused.
    fn read_of(given: &Value, asked: &Value) -> Result<Option<String>, String> {
        let object = |said: &Value| match said {
            Value::Null => json!({}),
            said => json!({"extensions": {EXTENSION: said}}),
        };
        let request = SettleRequest {
            x402_version: 2,
            payment_payload: object(given),
            payment_requirements: object(asked),
        };
        read(&request).map_err(|refusal| refusal.pointer)
    }

    #[test]
    fn an_identifier_is_read_and_may_be_left_out_where_nobody_requires_it() {
        let id = "pay_7d5d747be160e280";
        for (given, asked, expected) in [
            (json!(null), json!(null), None),
            (json!({"info": {}}), json!(null), None),
            (json!({"info": {"required": false, "id": null}}), json!({"info": {}}), None),
            (json!({"info": {"id": id}}), json!(null), Some(id)),
            (json!({"info": {"required": true, "id": id}, "schema": {}}), json!(null), Some(id)),
            (json!({"info": {"id": id}}), json!({"info": {"required": true}}), Some(id)),
        ] {
            let expected = Ok(expected.map(str::to_owned));
            assert_eq!(read_of(&given, &asked), expected, "{given} {asked}");
        }
        let object = SettleRequest {
            x402_version: 2,
            payment_payload: json!("text"),
            payment_requirements: json!({"extensions": []}),
        };
        assert_eq!(read(&object).unwrap(), None);
    }

    #[test]
    fn what_is_required_and_missing_or_is_no_identifier_is_refused() {
        let id = "/paymentPayload/extensions/payment-identifier/info/id";
        let required = json!({"info": {"required": true}});
        for (given, asked, pointer) in [
            (required.clone(), json!(null), id),
            (json!(null), required, id),
            (json!({"info": {"id": "a".repeat(15)}}), json!(null), id),
            (json!({"info": {"id": "a".repeat(129)}}), json!(null), id),
            (json!({"info": {"id": "pay 7d5d747be160e280"}}), json!(null), id),
            (json!({"info": {"id": "pay_7d5d747be160e28\u{e9}"}}), json!(null), id),
            (json!({"info": {"id": 7}}), json!(null), id),
            (json!({}), json!(null), &id[..id.len() - 3]),
            (json!([]), json!(null), &id[..id.len() - 3]),
            (
                json!({"info": {"required": "yes"}}),
                json!(null),
                "/paymentPayload/extensions/payment-identifier/info/required",
            ),
            (
                json!(null),
                json!({"info": {"required": 1}}),
                "/paymentRequirements/extensions/payment-identifier/info/required",
            ),
        ] {
            assert_eq!(read_of(&given, &asked), Err(pointer.to_owned()), "{given} {asked}");
        }
        for length in [16, 128] {
            assert!(is_identifier(&"a".repeat(length)));
        }
    }
}
