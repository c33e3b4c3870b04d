//! What serde says about data of the wrong shape, told without repeating the data.
//!
//! Serde's messages quote the offending value, which may be a signature or a key.

/// The longest text taken over from an error that is not one of serde's own, in characters.
const MAX_CUSTOM_CHARS: usize = 200;

/// The longest name of a field that is repeated, in characters.
const MAX_NAME_CHARS: usize = 64;

/// One mismatch between data and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// A stable code.
    pub(crate) code: &'static str,
    /// What is wrong, beginning in the middle of a sentence whose subject is the field.
    pub(crate) detail: String,
    /// The field, when the message names one below the place where the error was noticed.
    pub(crate) field: Option<String>,
}

impl Mismatch {
    /// Reads serde's standard messages (`serde::de::Error`); others are taken over, shortened.
    pub(crate) fn from_message(message: &str) -> Self {
        let message = without_position(message);
        if let Some(rest) = message.strip_prefix("missing field ") {
            return Self::of_field("missing", "is required".to_owned(), rest);
        }
        if let Some(rest) = message.strip_prefix("duplicate field ") {
            return Self::of_field("duplicate_field", "is given twice".to_owned(), rest);
        }
        if let Some(rest) = message.strip_prefix("unknown field ") {
            let detail = with_expected("is not known here", rest);
            return Self::of_field("unknown_field", detail, rest);
        }
        if let Some(rest) = message.strip_prefix("unknown variant ") {
            return Self::of_value("unknown_value", with_expected("is not a known value", rest));
        }
        if let Some(rest) = message.strip_prefix("invalid type: ") {
            return Self::of_value("wrong_type", type_detail(rest));
        }
        if let Some(rest) = message.strip_prefix("invalid value: ") {
            return Self::of_value(
                "invalid_value",
                with_expected("has a value out of range", rest),
            );
        }
        if message.starts_with("invalid length ") {
            return Self::of_value("invalid_value", "has the wrong number of elements".to_owned());
        }
        if message.starts_with("data did not match any variant ") {
            return Self::of_value("invalid_value", "has none of the allowed forms".to_owned());
        }
        Self::of_value("invalid_value", message.chars().take(MAX_CUSTOM_CHARS).collect())
    }

    fn of_field(code: &'static str, detail: String, rest: &str) -> Self {
        let name = rest.trim_start_matches('`').split('`').next().unwrap_or_default();
        let field = Some(name.chars().take(MAX_NAME_CHARS).collect());
        Self { code, detail, field }
    }

    fn of_value(code: &'static str, detail: String) -> Self {
        Self { code, detail, field: None }
    }
}

/// Cuts the position that `serde_json` appends.
fn without_position(message: &str) -> &str {
    message.rfind(" at line ").map_or(message, |end| &message[..end])
}

/// `string "abc", expected u64` becomes `must be u64, not string`.
fn type_detail(rest: &str) -> String {
    // The quoted value is whatever the sender wrote; only what stands before it is serde's.
    let kind = rest.split(['"', '`', ',']).next().unwrap_or_default().trim();
    match expected(rest) {
        Some(expected) => format!("must be {expected}, not {kind}"),
        None => format!("must not be {kind}"),
    }
}

fn with_expected(what: &str, rest: &str) -> String {
    match expected(rest) {
        Some(expected) => format!("{what}; expected {expected}"),
        None => what.to_owned(),
    }
}

/// What the type wanted: the part after the last `, expected`, which no value can follow.
fn expected(rest: &str) -> Option<&str> {
    let (_, expected) = rest.rsplit_once(", expected ")?;
    // The names of our own types mean nothing to a sender.
    let ours = ["struct ", "a map", "internally tagged enum "];
    let object = ours.iter().any(|form| expected.starts_with(form));
    Some(if object { "an object" } else { expected })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Sample {
        amount: u64,
        kind: Option<Kind>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Exact,
        Upto,
    }

    fn mismatch(json: &str) -> Mismatch {
        Mismatch::from_message(&serde_json::from_str::<Sample>(json).unwrap_err().to_string())
    }

    #[test]
    fn a_missing_field_is_named() {
        let found = mismatch("{}");
        assert_eq!((found.code, found.field.as_deref()), ("missing", Some("amount")));
    }

    #[test]
    fn an_unknown_field_is_named_with_the_known_ones() {
        let found = mismatch(r#"{"amuont": 1}"#);
        assert_eq!(found.field.as_deref(), Some("amuont"));
        assert_eq!(found.detail, "is not known here; expected `amount` or `kind`");
    }

    #[test]
    fn a_value_of_the_wrong_type_is_not_repeated() {
        let found = mismatch(r#"{"amount": "0xsecret, expected \"nothing\""}"#);
        assert_eq!(found.detail, "must be u64, not string");
    }

    #[test]
    fn a_value_out_of_range_is_not_repeated() {
        assert_eq!(mismatch(r#"{"amount": -7}"#).detail, "has a value out of range; expected u64");
    }

    #[test]
    fn an_unknown_variant_is_not_repeated() {
        let found = mismatch(r#"{"amount": 1, "kind": "0xsecret"}"#);
        assert_eq!(found.detail, "is not a known value; expected `exact` or `upto`");
    }

    #[test]
    fn the_names_of_our_types_are_not_told() {
        assert_eq!(mismatch("7").detail, "must be an object, not integer");
        assert_eq!(mismatch("[]").detail, "has the wrong number of elements");
    }

    #[test]
    fn a_field_given_twice_is_named() {
        let found = mismatch(r#"{"amount": 1, "amount": 2}"#);
        assert_eq!((found.code, found.field.as_deref()), ("duplicate_field", Some("amount")));
    }
}
