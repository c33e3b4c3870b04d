//! The closed list of problem codes and what is fixed for each.

use axum::http::StatusCode;
use serde::{Serialize, Serializer};

/// Writes the enum and its tables from one list, so that a code cannot lack a status or a title.
macro_rules! problem_codes {
    ($($variant:ident = $text:literal, $status:ident, $retry:ident, $title:literal;)+) => {
        /// Every way in which the API refuses a request. A code's text is part of the API and never changes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ProblemCode {
            $(#[doc = $title] $variant,)+
        }

        impl ProblemCode {
            /// All codes, for documentation and tests.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The code as it is written in the API.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The HTTP status that goes with the code.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)+ }
            }

            /// One short sentence, the same for every occurrence.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }

            /// Whether the same request may succeed later, unchanged.
            #[must_use]
            pub const fn retryable(self) -> bool {
                match self { $(Self::$variant => matches!(Retry::$retry, Retry::Later),)+ }
            }
        }
    };
}

/// Whether repeating the request unchanged can help.
enum Retry {
    Never,
    Later,
}

problem_codes! {
    MalformedJson = "malformed_json", BAD_REQUEST, Never, "The body is not JSON";
    InvalidRequest = "invalid_request", BAD_REQUEST, Never, "The request has the wrong shape";
    InvalidQuery = "invalid_query", BAD_REQUEST, Never, "A query parameter is not valid";
    InvalidCursor = "invalid_cursor", BAD_REQUEST, Never, "The cursor is not one of ours";
    InvalidIdempotencyKey = "invalid_idempotency_key", BAD_REQUEST, Never, "The Idempotency-Key is not valid";
    InvalidRiskHeader = "invalid_risk_header", BAD_REQUEST, Never, "A header for the risk engine is not valid";
    PaymentHeaderMismatch = "payment_header_mismatch", BAD_REQUEST, Never, "The header and the body carry different payments";
    Unauthorized = "unauthorized", UNAUTHORIZED, Never, "The API key is missing or unknown";
    KeyRevoked = "key_revoked", UNAUTHORIZED, Never, "The API key was revoked";
    KeyExpired = "key_expired", UNAUTHORIZED, Never, "The API key has expired";
    Forbidden = "forbidden", FORBIDDEN, Never, "The API key lacks the scope for this";
    PayToNotYours = "pay_to_not_yours", FORBIDDEN, Never, "The recipient belongs to another account";
    NotFound = "not_found", NOT_FOUND, Never, "There is nothing here";
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, Never, "The method is not allowed here";
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT, Later, "The request did not arrive in time";
    Conflict = "conflict", CONFLICT, Never, "The current state does not allow this";
    AuthorizationAlreadySubmitted = "authorization_already_submitted", CONFLICT, Never, "The authorization was submitted by another account";
    EndpointLimitReached = "endpoint_limit_reached", CONFLICT, Never, "The account has as many webhook endpoints as it may have";
    PayloadTooLarge = "payload_too_large", PAYLOAD_TOO_LARGE, Never, "The body is too large";
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, Never, "The body must be application/json";
    MisdirectedRequest = "misdirected_request", MISDIRECTED_REQUEST, Never, "This is not the host that was asked for";
    UnsupportedVersion = "unsupported_version", UNPROCESSABLE_ENTITY, Never, "The x402 version is not supported";
    UnsupportedScheme = "unsupported_scheme", UNPROCESSABLE_ENTITY, Never, "The payment scheme is not supported";
    UnsupportedNetwork = "unsupported_network", UNPROCESSABLE_ENTITY, Never, "The network is not supported";
    UnsupportedAsset = "unsupported_asset", UNPROCESSABLE_ENTITY, Never, "The asset is not supported on this network";
    UnsupportedSignature = "unsupported_signature", UNPROCESSABLE_ENTITY, Never, "The signature has a form that is not supported";
    MalformedField = "malformed_field", UNPROCESSABLE_ENTITY, Never, "A field is not well formed";
    AmountMismatch = "amount_mismatch", UNPROCESSABLE_ENTITY, Never, "The authorized amount is not the required one";
    RecipientMismatch = "recipient_mismatch", UNPROCESSABLE_ENTITY, Never, "The authorized recipient is not the required one";
    NetworkMismatch = "network_mismatch", UNPROCESSABLE_ENTITY, Never, "Payload and requirements name different networks";
    AssetMismatch = "asset_mismatch", UNPROCESSABLE_ENTITY, Never, "Payload and requirements name different assets";
    SchemeMismatch = "scheme_mismatch", UNPROCESSABLE_ENTITY, Never, "Payload and requirements name different schemes";
    AuthorizationExpired = "authorization_expired", UNPROCESSABLE_ENTITY, Never, "Too little of the authorization's time is left";
    AuthorizationNotYetValid = "authorization_not_yet_valid", UNPROCESSABLE_ENTITY, Later, "The authorization is not valid yet";
    AuthorizationWindowTooLong = "authorization_window_too_long", UNPROCESSABLE_ENTITY, Never, "The authorization is valid for too long";
    InvalidSignature = "invalid_signature", UNPROCESSABLE_ENTITY, Never, "The signature is not the payer's";
    IdempotencyKeyReused = "idempotency_key_reused", UNPROCESSABLE_ENTITY, Never, "The Idempotency-Key was used with a different body";
    InvalidWebhookUrl = "invalid_webhook_url", UNPROCESSABLE_ENTITY, Never, "The webhook URL may not be called";
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, Later, "Too many requests";
    InternalError = "internal_error", INTERNAL_SERVER_ERROR, Later, "Something went wrong on our side";
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, Later, "More payments wait than can be worked off soon";
    AcceptUnavailable = "accept_unavailable", SERVICE_UNAVAILABLE, Later, "Payments cannot be accepted at the moment";
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, Later, "The service is not available at the moment";
}

impl ProblemCode {
    /// The URI that identifies the problem's type; also where its documentation is.
    #[must_use]
    pub fn type_uri(self) -> String {
        format!("{TYPE_BASE}{}", self.as_str())
    }
}

/// Where the documentation of the codes is served.
const TYPE_BASE: &str = "https://quittance.dev/problems/";

impl Serialize for ProblemCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_code_has_a_text_of_its_own_in_snake_case() {
        let texts: HashSet<_> = ProblemCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), ProblemCode::ALL.len());
        for text in texts {
            assert!(text.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{text}");
        }
    }

    #[test]
    fn every_code_is_documented_with_its_status() {
        let page = include_str!("../../../../docs/problems.md");
        for code in ProblemCode::ALL {
            let row = format!("| `{}` | {} |", code.as_str(), code.status().as_u16());
            assert!(page.contains(&row), "docs/problems.md lacks: {row}");
        }
        let rows = page.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(rows, ProblemCode::ALL.len(), "docs/problems.md has a code that is none");
    }

    #[test]
    fn every_code_is_an_error_and_every_server_error_may_be_retried() {
        for code in ProblemCode::ALL {
            let status = code.status();
            assert!(status.is_client_error() || status.is_server_error(), "{code:?}");
            assert!(!status.is_server_error() || code.retryable(), "{code:?}");
        }
    }
}
