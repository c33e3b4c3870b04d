//! How an endpoint wants to be told, as requests and answers say it.

use domain::{DeliveryOrder, EndpointTerms, PayloadVersion};
use runtime::{FieldError, Problem, ProblemCode};
use serde::{Deserialize, Deserializer, Serialize};
use store::EndpointUpdate;

/// An endpoint as a request describes it; what is not there is as usual, or stays as it is.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndpointWanted {
    pub(super) url: Option<String>,
    pub(super) event_types: Option<Vec<String>>,
    payload_version: Option<String>,
    ordering: Option<String>,
    /// None inside is an explicit `null`: no bound.
    #[serde(default, deserialize_with = "present")]
    max_in_flight: Option<Option<u32>>,
    #[serde(default, deserialize_with = "present")]
    max_per_second: Option<Option<u32>>,
    signatures: Option<Vec<String>>,
}

/// What an answer says of it.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct TermsResource {
    payload_version: PayloadVersion,
    ordering: DeliveryOrder,
    max_in_flight: Option<u32>,
    max_per_second: Option<u32>,
    signatures: &'static [&'static str],
}

impl From<EndpointTerms> for TermsResource {
    fn from(terms: EndpointTerms) -> Self {
        Self {
            payload_version: terms.payload_version,
            ordering: terms.ordering,
            max_in_flight: terms.max_in_flight,
            max_per_second: terms.max_per_second,
            signatures: if terms.ed25519 { &["v1", "v1a"] } else { &["v1"] },
        }
    }
}

impl EndpointWanted {
    /// How a new endpoint is told.
    pub(super) fn terms(&self) -> Result<EndpointTerms, Problem> {
        let update = self.change_of_terms()?;
        let usual = EndpointTerms::default();
        Ok(EndpointTerms {
            payload_version: update.payload_version.unwrap_or(usual.payload_version),
            ordering: update.ordering.unwrap_or(usual.ordering),
            max_in_flight: update.max_in_flight.unwrap_or(usual.max_in_flight),
            max_per_second: update.max_per_second.unwrap_or(usual.max_per_second),
            ed25519: update.ed25519.unwrap_or(usual.ed25519),
        })
    }

    /// What becomes of how an endpoint is told.
    pub(super) fn change_of_terms(&self) -> Result<EndpointUpdate, Problem> {
        let versions = PayloadVersion::ALL.iter().map(|version| version.as_str());
        let orders = DeliveryOrder::ALL.iter().map(|order| order.as_str());
        let (at_once, a_second) = (EndpointTerms::MOST_IN_FLIGHT, EndpointTerms::MOST_PER_SECOND);
        Ok(EndpointUpdate {
            payload_version: choice("/payload_version", self.payload_version.as_deref(), versions)?,
            ordering: choice("/ordering", self.ordering.as_deref(), orders)?,
            max_in_flight: bound("/max_in_flight", self.max_in_flight, at_once)?,
            max_per_second: bound("/max_per_second", self.max_per_second, a_second)?,
            ed25519: self.signatures.as_deref().map(has_ed25519).transpose()?,
            ..EndpointUpdate::default()
        })
    }
}

/// Tells `null` from what is not there.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u32>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

fn choice<T: std::str::FromStr>(
    pointer: &str,
    text: Option<&str>,
    all: impl Iterator<Item = &'static str>,
) -> Result<Option<T>, Problem> {
    let Some(text) = text else { return Ok(None) };
    text.parse().map(Some).map_err(|_| {
        let all: Vec<_> = all.collect();
        refused(pointer, "unknown", format!("must be one of: {}", all.join(", ")))
    })
}

fn bound(
    pointer: &str,
    wanted: Option<Option<u32>>,
    most: u32,
) -> Result<Option<Option<u32>>, Problem> {
    match wanted {
        Some(Some(number)) if !(1..=most).contains(&number) => {
            Err(refused(pointer, "out_of_range", format!("must be from 1 to {most}, or null")))
        }
        other => Ok(other),
    }
}

/// `v1` is always made; `v1a` besides where it is named.
fn has_ed25519(named: &[String]) -> Result<bool, Problem> {
    if let Some(at) = named.iter().position(|name| name != "v1" && name != "v1a") {
        return Err(refused(&format!("/signatures/{at}"), "unknown", "must be v1 or v1a".into()));
    }
    if !named.iter().any(|name| name == "v1") {
        return Err(refused("/signatures", "missing", "must hold v1, which is always made".into()));
    }
    Ok(named.iter().any(|name| name == "v1a"))
}

fn refused(pointer: &str, code: &'static str, detail: String) -> Problem {
    Problem::new(ProblemCode::MalformedField)
        .detail("The endpoint cannot be told in this way")
        .field(FieldError::new(pointer, code, detail))
}
