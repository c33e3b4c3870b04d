//! The payment in a header, as buyers send it to sellers: beside the body it must be the same one.
//!
//! A proxy that passes on what it was sent has it in both places. Were one of them judged and the
//! other settled, they could be two payments; so what counts is in the body, and the header agrees.

use axum::http::{HeaderMap, HeaderValue};
use runtime::{FieldError, Problem, ProblemCode};
use serde_json::Value;
use x402::is_same_payment;

/// Of versions 1 and 2.
const NAMES: [&str; 2] = ["X-PAYMENT", "PAYMENT-SIGNATURE"];

/// What a request carries beside its body.
#[derive(Clone, Debug)]
pub(crate) struct Beside(Vec<(&'static str, HeaderValue)>);

impl Beside {
    /// The payments in these headers.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let values = |name| headers.get_all(name).iter().map(move |value| (name, value.clone()));
        Self(NAMES.into_iter().flat_map(values).collect())
    }

    /// Refuses another payment than the body's.
    pub(crate) fn agrees_with(&self, payload: &Value) -> Result<(), Problem> {
        let same = |value: &HeaderValue| {
            value.to_str().is_ok_and(|text| is_same_payment(payload, text.trim_matches(' ')))
        };
        match self.0.iter().find(|(_, value)| !same(value)) {
            None => Ok(()),
            Some((name, _)) => Err(differs(name)),
        }
    }
}

fn differs(name: &str) -> Problem {
    let detail = "must be absent, or carry the payment of the body";
    Problem::new(ProblemCode::PaymentHeaderMismatch)
        .detail(format!("{name} {detail}"))
        .field(FieldError::new(format!("/headers/{name}"), "differs", detail))
}
