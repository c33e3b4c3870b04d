//! How our values look on the wire, for the API's document.
//!
//! Values that JSON has no type for are text of a fixed form. Each is described here once, beside
//! what writes and reads it.

use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::{Amount, ChainId, EventType, Timestamp};

/// Any digits of an id: 128 bits in Crockford's base 32, so that the first has three of them.
pub(crate) const ID_DIGITS: &str = "[0-7][0-9a-hjkmnp-tv-z]{25}";

/// An id's digits in examples.
pub(crate) const SOME_ID: &str = "01jnd9d4kgfexr4qk1v4q2k9bp";

/// Text of this form.
pub(crate) fn text(description: &str, pattern: String, example: &str) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description.trim()))
        .pattern(Some(pattern))
        .examples([example])
        .into()
}

/// One of these texts.
pub(crate) fn one_of(
    description: &str,
    texts: impl IntoIterator<Item = &'static str>,
) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .enum_values(Some(texts))
        .into()
}

/// Always this text.
pub fn constant(text: &'static str) -> RefOr<Schema> {
    let schema = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([text]));
    schema.into()
}

/// Always one of these texts.
pub fn constant_of<const N: usize>(texts: [&'static str; N]) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(texts)).into()
}

/// The `object` of a payment.
pub(crate) fn payment() -> RefOr<Schema> {
    constant("payment")
}

/// The `scheme` of a payment.
pub(crate) fn scheme() -> RefOr<Schema> {
    one_of("The scheme of x402 by which it is paid.", ["exact", "upto"])
}

/// The `method` of an authorization.
pub(crate) fn transfer_method() -> RefOr<Schema> {
    one_of("By what it moves the money, as x402 calls it.", ["eip3009", "permit2"])
}

/// An object of anybody's members, or null.
pub(crate) fn any_object() -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Object, Type::Null]))
        .description(Some("The seller's own notes, as they were sent."))
        .into()
}

/// An address on an EVM network, as the document describes it.
#[derive(Clone, Copy, Debug)]
pub enum Address {}

impl PartialSchema for Address {
    fn schema() -> RefOr<Schema> {
        text(
            "An address on an EVM network.",
            "^0x[0-9a-fA-F]{40}$".to_owned(),
            "0x036cbd53842c5426634e7929541ec2318f3dcf7e",
        )
    }
}

impl ToSchema for Address {}

/// 32 bytes, as the document describes them.
#[derive(Clone, Copy, Debug)]
pub enum Hash {}

impl PartialSchema for Hash {
    fn schema() -> RefOr<Schema> {
        text(
            "32 bytes: the hash of a transaction, or an authorization's nonce.",
            "^0x[0-9a-fA-F]{64}$".to_owned(),
            "0x6b8f1b6f0e0c8a2d4f7e9a3c5b1d8e2f6a4c9b7d3e5f1a2b8c6d4e9f7a3b5c1d",
        )
    }
}

impl ToSchema for Hash {}

impl PartialSchema for Amount {
    fn schema() -> RefOr<Schema> {
        text(
            "An amount in the token's atomic units: decimal digits, never a JSON number.",
            "^[0-9]{1,78}$".to_owned(),
            "10000",
        )
    }
}

impl ToSchema for Amount {}

impl PartialSchema for ChainId {
    fn schema() -> RefOr<Schema> {
        text("An EVM network (CAIP-2).", "^eip155:[1-9][0-9]{0,18}$".to_owned(), "eip155:84532")
    }
}

impl ToSchema for ChainId {
    fn name() -> std::borrow::Cow<'static, str> {
        "Network".into()
    }
}

impl PartialSchema for Timestamp {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some("A moment in UTC, to the millisecond (RFC 3339)."))
            .examples(["2026-03-01T12:00:07.412Z"])
            .into()
    }
}

impl ToSchema for Timestamp {}

impl PartialSchema for EventType {
    fn schema() -> RefOr<Schema> {
        one_of("What happened to a payment, or to an endpoint.", Self::ALL.map(Self::as_str))
    }
}

impl ToSchema for EventType {}
