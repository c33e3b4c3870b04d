//! Events that tell of an endpoint: the body that the seller's other endpoints are sent.

use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use crate::{AccountId, EndpointId, EventId, EventType, PayloadVersion, Timestamp, WebhookBody};

/// What happened to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointNews<'a> {
    /// Nothing has arrived at it since then.
    Failing(Timestamp),
    /// It is told nothing more, for this reason.
    Disabled(&'a str),
}

/// The body of such an event (Standard Webhooks 1.0.0: `type`, `timestamp`, `data`, and our own).
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = EndpointEvent)]
pub struct EndpointEvent<'a> {
    r#type: EventType,
    /// When it happened.
    timestamp: Timestamp,
    id: EventId,
    /// The version of the body's shape.
    api_version: PayloadVersion,
    account: AccountId,
    data: EndpointStanding<'a>,
}

/// Without its URL, which may hold a secret and is none of the other receivers' business.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = EndpointStanding)]
struct EndpointStanding<'a> {
    #[schema(schema_with = endpoint_object)]
    object: &'static str,
    id: EndpointId,
    /// `enabled` or `disabled`.
    status: &'static str,
    #[schema(required = true)]
    disabled_reason: Option<&'a str>,
    #[schema(required = true)]
    failing_since: Option<Timestamp>,
}

fn endpoint_object() -> RefOr<Schema> {
    crate::schema::constant("webhook_endpoint")
}

impl EndpointNews<'_> {
    /// The type of the event that tells of it.
    pub const fn kind(&self) -> EventType {
        match self {
            Self::Failing(_) => EventType::EndpointFailing,
            Self::Disabled(_) => EventType::EndpointDisabled,
        }
    }
}

impl<'a> EndpointEvent<'a> {
    /// Tells that this happened to the account's endpoint `at` this time.
    pub fn new(
        id: EventId,
        account: AccountId,
        endpoint: EndpointId,
        news: EndpointNews<'a>,
        at: Timestamp,
    ) -> Self {
        let (status, disabled_reason, failing_since) = match news {
            EndpointNews::Failing(since) => ("enabled", None, Some(since)),
            EndpointNews::Disabled(reason) => ("disabled", Some(reason), None),
        };
        let object = "webhook_endpoint";
        Self {
            r#type: news.kind(),
            timestamp: at,
            id,
            api_version: WebhookBody::API_VERSION,
            account,
            data: EndpointStanding { object, id: endpoint, status, disabled_reason, failing_since },
        }
    }

    /// The bytes to store, sign and send.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a body of strings is always JSON")
    }
}
