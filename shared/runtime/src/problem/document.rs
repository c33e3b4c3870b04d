//! Problems in the API's document: their shape, an example of each, and which operation may answer
//! with which.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use axum::http::StatusCode;
use serde_json::{Value, json};
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, Schema};
use utoipa::{IntoResponses, PartialSchema, ToSchema};

use super::{FieldError, Problem, ProblemCode, Wire};

/// The request that the examples answer.
const SOME_REQUEST: &str = "req_0195a4d49a0f7bb189bf61b4e8b1a6d2";

/// Codes that an operation may answer with.
///
/// Several together are a tuple. [`Refused`] makes answers of them.
pub trait Codes {
    /// The codes, in any order.
    fn codes() -> Vec<ProblemCode>;
}

/// The answers to a request that is refused with one of these codes.
#[derive(Clone, Copy, Debug)]
pub struct Refused<C>(PhantomData<C>);

/// A key is needed.
#[derive(Clone, Copy, Debug)]
pub enum Keyed {}

/// The ledger is asked.
#[derive(Clone, Copy, Debug)]
pub enum Stored {}

/// What the path names may not be there, or its name not be text at all.
#[derive(Clone, Copy, Debug)]
pub enum Absent {}

/// Query parameters are read, and there are few that are right.
#[derive(Clone, Copy, Debug)]
pub enum Queried {}

/// A cursor is read.
#[derive(Clone, Copy, Debug)]
pub enum Positioned {}

/// A body of JSON is read.
#[derive(Clone, Copy, Debug)]
pub enum Bodied {}

/// The state of things may not allow it.
#[derive(Clone, Copy, Debug)]
pub enum Contested {}

/// A member may hold what cannot be.
#[derive(Clone, Copy, Debug)]
pub enum Malformed {}

/// Who asks too often must wait.
#[derive(Clone, Copy, Debug)]
pub enum Limited {}

/// What every operation may answer with, whatever it does.
#[derive(Clone, Copy, Debug)]
pub enum AtTheDoor {}

/// There may be no room.
#[derive(Clone, Copy, Debug)]
pub enum Crowded {}

macro_rules! codes {
    ($($group:ty: $($code:ident),+;)+) => {$(
        impl Codes for $group {
            fn codes() -> Vec<ProblemCode> {
                vec![$(ProblemCode::$code),+]
            }
        }
    )+};
}

codes! {
    Keyed: Unauthorized, KeyRevoked, KeyExpired, Forbidden;
    Stored: InternalError, Unavailable;
    Absent: NotFound, InvalidRequest;
    Queried: InvalidQuery;
    Positioned: InvalidCursor;
    Bodied: MalformedJson, InvalidRequest, RequestTimeout, PayloadTooLarge, UnsupportedMediaType;
    Contested: Conflict;
    Malformed: MalformedField;
    Limited: RateLimited;
    AtTheDoor: MisdirectedRequest, RateLimited;
    Crowded: Overloaded;
}

macro_rules! together {
    ($($group:ident)+) => {
        impl<$($group: Codes),+> Codes for ($($group,)+) {
            fn codes() -> Vec<ProblemCode> {
                [$($group::codes()),+].concat()
            }
        }
    };
}

together!(A B);
together!(A B C);
together!(A B C D);
together!(A B C D E);
together!(A B C D E F);

impl<C: Codes> IntoResponses for Refused<C> {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut of_status: BTreeMap<u16, Vec<ProblemCode>> = BTreeMap::new();
        for code in C::codes() {
            let codes = of_status.entry(code.status().as_u16()).or_default();
            if !codes.contains(&code) {
                codes.push(code);
            }
        }
        let answers = of_status.into_values().map(|codes| {
            let status = codes[0].status();
            (status.as_u16().to_string(), answer(status, &codes).into())
        });
        answers.collect()
    }
}

fn answer(status: StatusCode, codes: &[ProblemCode]) -> Response {
    let named: Vec<String> = codes.iter().map(|code| format!("`{}`", code.as_str())).collect();
    let example = |code: &ProblemCode| {
        let name = code.as_str();
        (name.to_owned(), RefOr::Ref(Ref::new(format!("#/components/examples/{name}"))))
    };
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .examples_from_iter(codes.iter().map(example))
        .build();
    let mut response = ResponseBuilder::new()
        .description(format!("The `code` is {}.", named.join(" or ")))
        .content("application/problem+json", content);
    if Problem::new(codes[0]).0.retry_after_secs.is_some() {
        response = response.header("Retry-After", number("When to come again, in seconds."));
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        response = response
            .header(
                "RateLimit",
                text("What is left, and in how many seconds there is all of it again."),
            )
            .header(
                "RateLimit-Policy",
                text("How much there is, and in how many seconds it is earned."),
            )
            .header("X-RateLimit-Limit", number("How much there is."))
            .header("X-RateLimit-Remaining", number("What is left."))
            .header(
                "X-RateLimit-Reset",
                number("When there is all of it again, in seconds since 1970."),
            );
    }
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderBuilder::new().description(Some("`Bearer`")).build();
        response = response.header("WWW-Authenticate", challenge);
    }
    response.build()
}

fn number(description: &str) -> utoipa::openapi::Header {
    let count = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
    HeaderBuilder::new().schema(count).description(Some(description)).build()
}

fn text(description: &str) -> utoipa::openapi::Header {
    let text = ObjectBuilder::new().schema_type(Type::String);
    HeaderBuilder::new().schema(text).description(Some(description)).build()
}

/// The schemas that the answers refer to, by their names.
#[must_use]
pub fn schemas() -> Vec<(String, RefOr<Schema>)> {
    vec![
        ("Problem".to_owned(), Wire::schema()),
        (ProblemCode::name().into_owned(), ProblemCode::schema()),
        (FieldError::name().into_owned(), FieldError::schema()),
    ]
}

/// An example of every code, by the code's name.
#[must_use]
pub fn examples() -> BTreeMap<&'static str, Value> {
    let example = |&code: &ProblemCode| {
        let again = if code.retryable() { "may succeed later" } else { "will not succeed" };
        let description = format!(
            "Answered with {}. The same request {again}, unchanged.",
            code.status().as_u16()
        );
        let value: Value = serde_json::from_slice(&occurrence(code).to_json())
            .expect("what was just written as JSON reads as JSON");
        let example = json!({"summary": code.title(), "description": description, "value": value});
        (code.as_str(), example)
    };
    ProblemCode::ALL.iter().map(example).collect()
}

/// The code as a client may meet it.
fn occurrence(code: ProblemCode) -> Problem {
    let mut problem = Problem::new(code);
    problem.located_at("/v1/payments", SOME_REQUEST);
    match code {
        ProblemCode::AmountMismatch => problem
            .x402_reason("invalid_exact_evm_payload_authorization_value_mismatch")
            .field(FieldError::new(
                "/paymentPayload/payload/authorization/value",
                "differs",
                "9000 is authorized and 10000 required",
            )),
        ProblemCode::InvalidRequest => {
            problem.field(FieldError::new("/paymentPayload", "missing", "is required"))
        }
        ProblemCode::InvalidRiskHeader => problem.field(FieldError::new(
            "/headers/X-RISK-SESSION",
            "risk_session_invalid",
            "must be a UUID of version 1 or 4, with hyphens: it is no UUID",
        )),
        ProblemCode::MalformedField => problem.field(FieldError::new(
            "/paymentPayload/payload/signature",
            "malformed",
            "must be 0x and hexadecimal digits",
        )),
        ProblemCode::IdempotencyKeyReused => problem.payment_id("pay_01jnd9d4kgfexr4qk1v4q2k9bp"),
        _ => problem,
    }
}

impl PartialSchema for ProblemCode {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("What is wrong: stable, to match on. There may be more in time."))
            .enum_values(Some(Self::ALL.iter().map(|code| code.as_str())))
            .into()
    }
}

impl ToSchema for ProblemCode {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_an_example_with_its_status() {
        let examples = examples();
        for code in ProblemCode::ALL {
            let value = &examples[code.as_str()]["value"];
            assert_eq!(value["status"], code.status().as_u16(), "{code:?}");
        }
    }

    #[test]
    fn codes_of_one_status_are_one_answer() {
        let answers = Refused::<(Keyed, Crowded, Stored)>::responses();
        let statuses: Vec<&str> = answers.keys().map(String::as_str).collect();
        assert_eq!(statuses, ["401", "403", "500", "503"]);
        let RefOr::T(unavailable) = &answers["503"] else { panic!("it is spelt out") };
        assert_eq!(unavailable.content["application/problem+json"].examples.len(), 2);
    }
}
