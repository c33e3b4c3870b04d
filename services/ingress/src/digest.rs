//! What a request says, as 32 bytes: the same key may only ever say the same.

use std::collections::BTreeMap;

use domain::{Address, Amount, B256, ChainId, Finality};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::Value;
use sha2::{Digest, Sha256};
use x402::Checked;

use crate::submission::Extras;

/// Raised when the form below changes, so that digests of different forms never meet by chance.
const FORM: u8 = 1;

/// Everything that decides what is stored, in one order. Spaces, the order and case of what was
/// sent, and whether the payment came as an object or as header text, do not matter.
#[derive(Serialize)]
struct Said<'a> {
    form: u8,
    x402_version: u8,
    network: ChainId,
    asset: Address,
    payer: Address,
    pay_to: Address,
    amount: Amount,
    valid_after: i64,
    valid_before: i64,
    nonce: B256,
    signature: &'a [u8],
    finality: Finality,
    reference: Option<&'a str>,
    metadata: Option<Sorted<'a>>,
}

/// SHA-256 of what a checked submission says.
pub(crate) fn of(checked: &Checked, extras: &Extras) -> [u8; 32] {
    let authorization = &checked.authorization;
    let said = Said {
        form: FORM,
        x402_version: checked.version.number(),
        network: authorization.chain,
        asset: authorization.asset,
        payer: authorization.payer,
        pay_to: authorization.pay_to,
        amount: authorization.amount,
        valid_after: authorization.valid_after,
        valid_before: authorization.valid_before,
        nonce: authorization.nonce,
        signature: checked.signature.reveal(),
        finality: extras.finality,
        reference: extras.reference.as_deref(),
        metadata: extras.metadata.as_ref().map(Sorted),
    };
    let json = serde_json::to_vec(&said).expect("strings, numbers and objects of them are JSON");
    Sha256::digest(json).into()
}

/// JSON with the members of each object in order of their names, however the map keeps them.
struct Sorted<'a>(&'a Value);

impl Serialize for Sorted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(members) => {
                let sorted: BTreeMap<&String, &Value> = members.iter().collect();
                let mut map = serializer.serialize_map(Some(sorted.len()))?;
                for (name, member) in sorted {
                    map.serialize_entry(name, &Self(member))?;
                }
                map.end()
            }
            Value::Array(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(&Self(item))?;
                }
                list.end()
            }
            scalar @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
                scalar.serialize(serializer)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::{Authorization, Signature};
    use serde_json::json;
    use x402::Version;

    use super::*;

    fn checked() -> Checked {
        Checked {
            version: Version::V2,
            authorization: Authorization {
                chain: ChainId::new(84_532).unwrap(),
                asset: Address::repeat_byte(1),
                payer: Address::repeat_byte(2),
                pay_to: Address::repeat_byte(3),
                amount: Amount::from(10_000),
                valid_after: 0,
                valid_before: 1_772_366_460,
                nonce: B256::repeat_byte(4),
            },
            signature: Signature::new(vec![5; 65]),
        }
    }

    fn extras() -> Extras {
        Extras {
            finality: Finality::Confirmed,
            reference: Some("order_4711".to_owned()),
            metadata: Some(json!({"a": {"c": 1, "b": [2, {"e": 3, "d": 4}]}})),
        }
    }

    #[test]
    fn the_order_of_members_does_not_matter() {
        let text = r#"{"a": {"b": [2, {"d": 4, "e": 3}], "c": 1}}"#;
        let other = Extras { metadata: serde_json::from_str(text).unwrap(), ..extras() };
        assert_eq!(of(&checked(), &other), of(&checked(), &extras()));
    }

    #[test]
    fn every_field_matters() {
        let authorized = |change: fn(&mut Authorization)| {
            let mut other = checked();
            change(&mut other.authorization);
            of(&other, &extras())
        };
        let added = |change: fn(&mut Extras)| {
            let mut other = extras();
            change(&mut other);
            of(&checked(), &other)
        };
        let digests = [
            of(&checked(), &extras()),
            of(&Checked { version: Version::V1, ..checked() }, &extras()),
            of(&Checked { signature: Signature::new(vec![6; 65]), ..checked() }, &extras()),
            authorized(|a| a.chain = ChainId::new(1).unwrap()),
            authorized(|a| a.asset = Address::ZERO),
            authorized(|a| a.payer = Address::ZERO),
            authorized(|a| a.pay_to = Address::ZERO),
            authorized(|a| a.amount = Amount::ZERO),
            authorized(|a| a.valid_after = 1),
            authorized(|a| a.valid_before = 1),
            authorized(|a| a.nonce = B256::ZERO),
            added(|e| e.finality = Finality::Safe),
            added(|e| e.reference = None),
            added(|e| e.metadata = None),
            added(|e| e.metadata = Some(json!({}))),
        ];
        let distinct: std::collections::HashSet<_> = digests.iter().collect();
        assert_eq!(distinct.len(), digests.len());
    }

    #[test]
    fn the_form_is_fixed() {
        // A digest outlives the process that made it: changing the form means raising `FORM`.
        let digest: String =
            of(&checked(), &extras()).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, "178390bb9d268000342e47906730b639998e00f697d804cbe426fc0b63684e40");
    }
}
