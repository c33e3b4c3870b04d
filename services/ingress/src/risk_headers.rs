//! What a buyer's agent hands over for a risk engine, in the headers of x402-secure.

mod evidence;
mod pairs;
mod secure;

use axum::http::HeaderMap;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use domain::{RequestTrace, RiskContext};
use runtime::{FieldError, Problem, ProblemCode, TraceContext};
use uuid::{Uuid, Variant};

use self::pairs::Malformed;

const PAYMENT_SECURE: RiskHeader = RiskHeader {
    name: "X-PAYMENT-SECURE",
    longest: 4_096,
    code: "trace_header_invalid",
    form: "w3c.v1;tp=<traceparent of version 00>, and ;ts=<tracestate, url-encoded> if there is one",
};

const RISK_SESSION: RiskHeader = RiskHeader {
    name: "X-RISK-SESSION",
    longest: UUID_CHARACTERS,
    code: "risk_session_invalid",
    form: A_UUID,
};

const RISK_TRACE: RiskHeader = RiskHeader {
    name: "X-RISK-TRACE",
    longest: UUID_CHARACTERS,
    code: "risk_trace_invalid",
    form: A_UUID,
};

const AP2_EVIDENCE: RiskHeader = RiskHeader {
    name: "X-AP2-EVIDENCE",
    longest: 2_048,
    code: "evidence_header_invalid",
    form: "evd.v1;mr=<reference>;ms=<SHA-256, base64url>;mt=<media type>;sz=<bytes>",
};

const A_UUID: &str = "a UUID of version 1 or 4, with hyphens";

/// Of a UUID with hyphens; no other form has as many.
const UUID_CHARACTERS: usize = 36;

const PADDED_OR_NOT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, PADDED_OR_NOT);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, PADDED_OR_NOT);

/// A header, and how it is spoken of.
struct RiskHeader {
    name: &'static str,
    /// The most characters it may have.
    longest: usize,
    /// What its field error is called.
    code: &'static str,
    form: &'static str,
}

/// Why a header does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Invalid {
    #[error("it is there more than once, with different values")]
    Ambiguous,
    #[error("it has more than {0} characters")]
    TooLong(usize),
    #[error("{0}")]
    Malformed(#[from] Malformed),
}

/// What the headers hand over; nothing, where none of them is there.
pub(crate) fn read(headers: &HeaderMap) -> Result<RiskContext, Problem> {
    let request = PAYMENT_SECURE.read(headers, secure::parse)?;
    let session = RISK_SESSION.read(headers, agents_uuid)?;
    let named = RISK_TRACE.read(headers, agents_uuid)?;
    let mandate = AP2_EVIDENCE.read(headers, evidence::parse)?;
    let trace = named.or_else(|| secure::trace_in(request.as_ref()?.state.as_deref()?));
    Ok(RiskContext { session, trace, request, mandate })
}

impl RiskHeader {
    /// The header's value, as `parse` has it.
    fn read<T>(
        &self,
        headers: &HeaderMap,
        parse: impl Fn(&str) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Problem> {
        self.parsed(headers, parse).map_err(|invalid| self.refused(invalid))
    }

    fn parsed<T>(
        &self,
        headers: &HeaderMap,
        parse: impl Fn(&str) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Invalid> {
        let mut values = headers.get_all(self.name).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.any(|other| other != value) {
            return Err(Invalid::Ambiguous);
        }
        if value.len() > self.longest {
            return Err(Invalid::TooLong(self.longest));
        }
        let text = value.to_str().map_err(|_| Malformed::Character)?;
        Ok(Some(parse(text)?))
    }

    /// The value itself is not repeated: it may be somebody's secret in the wrong place.
    fn refused(&self, invalid: Invalid) -> Problem {
        let Self { name, code, form, .. } = self;
        let detail = format!("must be {form}: {invalid}");
        Problem::new(ProblemCode::InvalidRiskHeader)
            .detail(format!("{name} {detail}"))
            .field(FieldError::new(format!("/headers/{name}"), *code, detail))
    }
}

/// A UUID as agents are given them, whatever the case of its letters.
fn agents_uuid(text: &str) -> Result<Uuid, Malformed> {
    let id = hyphenated(text).ok_or(Malformed::Value("it is no UUID"))?;
    let is_agents = matches!(id.get_version_num(), 1 | 4) && id.get_variant() == Variant::RFC4122;
    is_agents.then_some(id).ok_or(Malformed::Value("it is a UUID of another version"))
}

fn hyphenated(text: &str) -> Option<Uuid> {
    (text.len() == UUID_CHARACTERS).then(|| Uuid::try_parse(text).ok())?
}

/// What an engine is told. It demands to know where the request stands in a trace, so where the agent
/// has a session and does not say, it is our own.
pub(crate) fn traced(handed_over: &RiskContext, own: &TraceContext) -> RiskContext {
    let mut context = handed_over.clone();
    if context.session.is_some() && context.request.is_none() {
        context.request = Some(RequestTrace { parent: own.to_string(), state: None });
    }
    context
}

#[cfg(test)]
mod tests;
