//! The body of a submission: a settle request of x402, and what the seller adds to it.

use domain::Finality;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{Ref, RefOr, Schema};
use x402::SettleRequest;

/// The longest reference, in characters.
const LONGEST_REFERENCE: usize = 200;

/// The longest metadata, in bytes of JSON without spaces.
const LONGEST_METADATA: usize = 4_096;

/// How deep metadata may be nested, itself included.
const DEEPEST_METADATA: u32 = 5;

/// What a seller posts. Unknown fields are refused at this level, where they are a slip; inside
/// the objects of x402 they are passed over.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(description = "A settle request of x402, and what the seller adds to it.")]
pub(crate) struct Submission {
    /// The version of x402, which decides how the two objects below are written.
    #[serde(rename = "x402Version")]
    #[schema(minimum = 1, maximum = 2)]
    x402_version: u64,
    #[schema(schema_with = payment_payload)]
    payment_payload: Value,
    /// What the seller asks: the terms that the payment is compared with. Version 1 calls the
    /// amount `maxAmountRequired`.
    #[schema(value_type = Object)]
    payment_requirements: Value,
    #[schema(schema_with = requested_finality, required = false)]
    finality: Option<Requested>,
    /// The seller's own name for the payment.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200)]
    reference: Option<Reference>,
    /// The seller's own notes: at most 4096 bytes and five levels deep.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Metadata>,
}

fn requested_finality() -> RefOr<Schema> {
    OneOfBuilder::new()
        .description(Some(
            "When the payment is to be called settled; `confirmed` unless it is said.",
        ))
        .item(ObjectBuilder::new().schema_type(Type::Null))
        .item(Ref::from_schema_name(Finality::name()))
        .into()
}

fn payment_payload() -> RefOr<Schema> {
    let of_type = |kind, what| ObjectBuilder::new().schema_type(kind).description(Some(what));
    OneOfBuilder::new()
        .description(Some("The buyer's payment, as it came."))
        .item(of_type(Type::Object, "The payment itself."))
        .item(of_type(Type::String, "The text of the header that carried it: base64 of its JSON."))
        .into()
}

/// What a seller may say about a payment beyond what x402 knows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Extras {
    pub(crate) finality: Finality,
    pub(crate) reference: Option<String>,
    pub(crate) metadata: Option<Value>,
}

impl Submission {
    /// The part that the buyer's payment is checked by, and the seller's own.
    pub(crate) fn split(self) -> (SettleRequest, Extras) {
        let request = SettleRequest {
            x402_version: self.x402_version,
            payment_payload: self.payment_payload,
            payment_requirements: self.payment_requirements,
        };
        let extras = Extras {
            finality: self.finality.map_or_else(Finality::default, |Requested(finality)| finality),
            reference: self.reference.map(|Reference(text)| text),
            metadata: self.metadata.map(|Metadata(members)| Value::Object(members)),
        };
        (request, extras)
    }
}

/// When the seller wants the payment called settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Requested(Finality);

impl TryFrom<String> for Requested {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        text.parse().map(Self).map_err(|_| "must be one of confirmed, safe, finalized")
    }
}

/// The seller's own name for a payment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Reference(String);

impl TryFrom<String> for Reference {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let fits = (1..=LONGEST_REFERENCE).contains(&text.chars().count());
        if fits && !text.chars().any(char::is_control) {
            Ok(Self(text))
        } else {
            Err("must be 1 to 200 printable characters")
        }
    }
}

/// The seller's own notes on a payment.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
struct Metadata(Map<String, Value>);

impl TryFrom<Map<String, Value>> for Metadata {
    type Error = &'static str;

    fn try_from(members: Map<String, Value>) -> Result<Self, &'static str> {
        let whole = Value::Object(members);
        if !fits_within(&whole, DEEPEST_METADATA) {
            return Err("must not be nested more than 5 levels deep");
        }
        if has_nul(&whole) {
            return Err("must not contain the character U+0000");
        }
        if whole.to_string().len() > LONGEST_METADATA {
            return Err("must not be longer than 4096 bytes of JSON");
        }
        match whole {
            Value::Object(members) => Ok(Self(members)),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => Err("must be an object"),
        }
    }
}

fn fits_within(value: &Value, levels: u32) -> bool {
    let below = |value| levels.checked_sub(1).is_some_and(|levels| fits_within(value, levels));
    match value {
        Value::Array(items) => levels > 0 && items.iter().all(below),
        Value::Object(members) => levels > 0 && members.values().all(below),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// PostgreSQL's `jsonb` cannot hold it, and one such row would fail its whole batch.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(members) => {
            members.iter().any(|(key, member)| key.contains('\0') || has_nul(member))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use runtime::json;
    use serde_json::json;

    use super::*;

    fn with(name: &str, value: &Value) -> Value {
        json!({"x402Version": 2, "paymentPayload": {}, "paymentRequirements": {}, name: value})
    }

    /// The pointer at which the body with this value is refused, or nothing when it is taken.
    fn refused_at(name: &str, value: &Value) -> Option<String> {
        let problem = json::parse::<Submission>(with(name, value).to_string().as_bytes()).err()?;
        Some(problem.errors()[0].pointer.clone())
    }

    fn nested(levels: usize) -> Value {
        (1..levels).fold(json!({}), |inner, _| json!({"in": inner}))
    }

    #[test]
    fn what_the_seller_adds_may_be_absent_or_null() {
        for name in ["finality", "reference", "metadata"] {
            assert_eq!(refused_at(name, &Value::Null), None, "{name}");
        }
        let plain = with("x402Version", &json!(1)).to_string();
        let (request, extras) = json::parse::<Submission>(plain.as_bytes()).unwrap().split();
        let nothing = Extras { finality: Finality::Confirmed, reference: None, metadata: None };
        assert_eq!((request.x402_version, extras), (1, nothing));
    }

    #[test]
    fn what_the_seller_adds_is_kept_within_limits() {
        let long = "é".repeat(200);
        let wide = json!({"note": "n".repeat(4_096 - r#"{"note":""}"#.len())});
        for (name, value) in [
            ("finality", json!("finalized")),
            ("reference", json!("order_4711")),
            ("reference", json!(long)),
            ("metadata", json!({})),
            ("metadata", json!({"sku": "report-7", "lines": [{"n": 1}], "paid": null})),
            ("metadata", nested(5)),
            ("metadata", wide),
        ] {
            assert_eq!(refused_at(name, &value), None, "{name}: {value}");
        }
        let wide = json!({"note": "n".repeat(4_096)});
        for (name, value) in [
            ("finality", json!("soon")),
            ("finality", json!(1)),
            ("reference", json!("")),
            ("reference", json!("two\nlines")),
            ("reference", json!("nul\0")),
            ("reference", json!(format!("{long}é"))),
            ("reference", json!(4711)),
            ("metadata", json!([])),
            ("metadata", json!("note")),
            ("metadata", nested(6)),
            ("metadata", json!({"deep": [[[[[1]]]]]})),
            ("metadata", wide),
            ("metadata", json!({"nul": "\0"})),
            ("metadata", json!({"\0": 1})),
            ("metadata", json!({"in": [{"nul": "a\0"}]})),
            ("note", json!("unknown")),
            ("x402Version", json!("2")),
            ("x402Version", json!(-1)),
        ] {
            assert_eq!(refused_at(name, &value), Some(format!("/{name}")), "{value}");
        }
    }
}
