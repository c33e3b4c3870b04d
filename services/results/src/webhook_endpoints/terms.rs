//! How an endpoint wants to be told, as requests and answers say it.

use std::borrow::Cow;

use domain::{DeliveryOrder, EndpointTerms, PayloadVersion};
use runtime::{FieldError, Problem, ProblemCode};
use serde::{Deserialize, Deserializer, Serialize};
use store::EndpointUpdate;
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, Type};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::create::wanted_types;

/// An endpoint as a request describes it; what is not there is as usual, or stays as it is.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookEndpointWanted, description = "What an endpoint is to be. What is not there is \
    as usual for a new one, and stays as it is for another.")]
pub(super) struct EndpointWanted {
    /// Where events are sent: public, and `https` unless the operator allows more.
    #[schema(format = "uri")]
    pub(super) url: Option<String>,
    #[schema(schema_with = wanted_types, required = false)]
    pub(super) event_types: Option<Vec<String>>,
    #[schema(value_type = Option<PayloadVersion>)]
    payload_version: Option<String>,
    #[schema(value_type = Option<DeliveryOrder>)]
    ordering: Option<String>,
    /// At most so many calls at once, from all notifiers together; null is no bound.
    // None inside is an explicit `null`.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 64)]
    max_in_flight: Option<Option<u32>>,
    /// At most so many calls a second, from all notifiers together; null is no bound.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    max_per_second: Option<Option<u32>>,
    /// `["v1"]`, or `["v1", "v1a"]`: signed with Ed25519 besides.
    signatures: Option<Vec<String>>,
}

/// What a new endpoint is to be: it has to be somewhere.
pub(super) enum NewEndpointWanted {}

impl PartialSchema for NewEndpointWanted {
    fn schema() -> RefOr<Schema> {
        AllOfBuilder::new()
            .item(Ref::from_schema_name(EndpointWanted::name()))
            .item(ObjectBuilder::new().schema_type(Type::Object).required("url"))
            .into()
    }
}

impl ToSchema for NewEndpointWanted {
    fn name() -> Cow<'static, str> {
        "NewWebhookEndpoint".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((EndpointWanted::name().into_owned(), EndpointWanted::schema()));
        EndpointWanted::schemas(schemas);
    }
}

/// What an answer says of it.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = WebhookTerms)]
pub(super) struct TermsResource {
    payload_version: PayloadVersion,
    ordering: DeliveryOrder,
    /// At most so many calls at once; null is no bound.
    #[schema(required = true)]
    max_in_flight: Option<u32>,
    /// At most so many calls a second; null is no bound.
    #[schema(required = true)]
    max_per_second: Option<u32>,
    /// `v1`, and `v1a` where the endpoint is told with Ed25519 besides.
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
