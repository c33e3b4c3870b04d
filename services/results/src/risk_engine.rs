//! `/risk/…`: our own risk engine, for agents that tell it who they are and how they came to pay.
//!
//! Paths and bodies are those of x402-secure, so that its clients need no change. Refusals are
//! problems, whose `detail` is what such clients read.

pub(crate) mod evaluate;
pub(crate) mod session;
pub(crate) mod trace;

use std::time::Duration;

use domain::Address;
use domain::risk_engine::NotAssessed;
use runtime::problem::document::Codes;
use runtime::{FieldError, Problem, ProblemCode};
use uuid::Uuid;

use crate::App;
use crate::refusal::Refusal;

/// The longest body that tells of a trace or asks for a decision, in bytes.
pub(crate) const MAX_TRACE_BYTES: usize = 256 * 1024;

/// How the local engine is set.
#[derive(Clone, Debug)]
pub struct LocalRisk {
    /// How long a session lasts.
    pub session_ttl: Duration,
    /// The models that agents may use; none stands for any.
    pub models: Vec<String>,
}

/// The engine's settings, where it is on.
fn local(app: &App) -> Result<&LocalRisk, Problem> {
    let off = || Problem::new(ProblemCode::NotFound).detail("The local risk engine is off");
    app.settings().local_risk.as_ref().ok_or_else(off)
}

/// The id that is named, where it can be one. Another names nothing.
fn named(id: &str) -> Option<Uuid> {
    id.parse().ok()
}

/// An address, in any case of letters.
fn address(told: &str) -> Option<Address> {
    let digits = told.strip_prefix("0x").filter(|digits| digits.len() == 40)?;
    digits.parse().ok()
}

impl From<NotAssessed> for Refusal {
    fn from(why: NotAssessed) -> Self {
        let refusal = match why {
            NotAssessed::UnknownSession | NotAssessed::UnknownTrace => {
                Problem::new(ProblemCode::NotFound)
            }
            NotAssessed::ForeignTrace => Problem::new(ProblemCode::InvalidRequest)
                .field(FieldError::new("/tid", "foreign", "is another session's")),
        };
        refusal.detail(why.to_string()).into()
    }
}

/// A text that the ledger can hold.
fn text(pointer: &'static str, text: String, most: usize) -> Result<String, Problem> {
    let refused = |code, detail: String| {
        Problem::new(ProblemCode::MalformedField)
            .detail(format!("{pointer} {detail}"))
            .field(FieldError::new(pointer, code, detail))
    };
    if text.trim().is_empty() {
        return Err(refused("blank", "must not be blank".to_owned()));
    }
    if text.len() > most {
        return Err(refused("too_long", format!("must have at most {most} bytes")));
    }
    if text.contains('\0') {
        return Err(refused("malformed", "must not contain U+0000".to_owned()));
    }
    Ok(text)
}

/// A session may be unknown, or the engine off.
pub(crate) enum Elsewhere {}

impl Codes for Elsewhere {
    fn codes() -> Vec<ProblemCode> {
        vec![ProblemCode::NotFound]
    }
}
