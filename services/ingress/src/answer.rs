//! What a seller is told of a payment that the ledger has.

use axum::Json;
use axum::http::header::{ETAG, LOCATION, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::schema::constant;
use domain::{Payment, PaymentId, StateName};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use crate::Settings;

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

const MILLIS_PER_SECOND: u32 = 1_000;

/// Which submission of the payment this was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// The first: it is a payment now.
    Accepted,
    /// The same request under the same key.
    Replayed,
    /// The same authorization by the same account, otherwise.
    Existing,
}

impl Told {
    /// The name in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Replayed => "replayed",
            Self::Existing => "existing",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::Accepted | Self::Replayed => StatusCode::ACCEPTED,
            Self::Existing => StatusCode::OK,
        }
    }

    const fn is_repeat(self) -> bool {
        match self {
            Self::Accepted => false,
            Self::Replayed | Self::Existing => true,
        }
    }
}

/// A payment as it stands now, told to who submitted it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) told: Told,
    pub(crate) payment: Payment,
    /// What whoever has it may read the payment with; none where it could not be made.
    pub(crate) poll_token: Option<String>,
    /// Whether the seller asked for an answer without waiting (`Prefer: respond-async`).
    pub(crate) respond_async: bool,
}

/// A payment that the ledger has.
#[derive(Serialize, ToSchema)]
#[schema(as = TakenPayment)]
pub(crate) struct Body {
    id: PaymentId,
    #[schema(schema_with = payment_object)]
    object: &'static str,
    status: StateName,
    /// Whether nothing can happen to it any more.
    terminal: bool,
    /// 1 when accepted, one more with each change; also its `ETag`.
    #[schema(minimum = 1)]
    version: u32,
    /// Where to ask how it stands; relative where the operator has not named the address.
    #[schema(format = "uri-reference")]
    status_url: String,
    /// Good for reading and following this payment alone, until an hour after its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^qtp_")]
    poll_token: Option<String>,
    /// When to ask first, in milliseconds; not there when the payment is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_poll_ms: Option<u32>,
}

fn payment_object() -> RefOr<Schema> {
    constant("payment")
}

impl Answer {
    /// The response; where nothing can change any more, nobody is asked to come back.
    pub(crate) fn into_response(self, settings: &Settings) -> Response {
        let Payment { id, version, state, .. } = self.payment;
        let path = format!("/v1/payments/{id}");
        let base = settings.public_url.as_ref().map_or("", |url| url.as_str());
        let ask_again = (!state.is_terminal()).then_some(settings.status_retry_after_secs);
        let body = Body {
            id,
            object: "payment",
            status: state.name(),
            terminal: state.is_terminal(),
            version,
            status_url: format!("{base}{path}"),
            poll_token: self.poll_token,
            next_poll_ms: ask_again.map(|secs| secs.saturating_mul(MILLIS_PER_SECOND)),
        };
        let mut response = (self.told.status(), Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(LOCATION, ascii(path));
        headers.insert(ETAG, ascii(format!("\"v{version}\"")));
        if let Some(seconds) = ask_again {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if self.told.is_repeat() {
            headers.insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
        }
        if self.respond_async && self.told.status() == StatusCode::ACCEPTED {
            headers.insert(PREFERENCE_APPLIED, HeaderValue::from_static("respond-async"));
        }
        response
    }
}

fn ascii(text: String) -> HeaderValue {
    text.try_into().expect("ids and numbers are ASCII letters, digits and underscores")
}
