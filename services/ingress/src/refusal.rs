//! How what went wrong is told to the seller.

use access::Denied;
use runtime::problem::document::Codes;
use runtime::{FieldError, Problem, ProblemCode};
use x402::{Refusal, RefusalKind};

use crate::Settings;
use crate::door::Full;
use crate::intake::NotAccepted;

/// The answer to a settle request that cannot be taken.
pub(crate) fn not_payable(refusal: Refusal) -> Problem {
    let (code, field_code) = codes(refusal.kind);
    Problem::new(code)
        .detail(refusal.to_string())
        .x402_reason(refusal.reason.as_str())
        .field(FieldError::new(refusal.pointer, field_code, refusal.detail))
}

/// A settle request may be one that cannot be taken.
pub(crate) enum NotPayable {}

impl Codes for NotPayable {
    fn codes() -> Vec<ProblemCode> {
        RefusalKind::ALL.iter().map(|&kind| codes(kind).0).collect()
    }
}

/// A submission may come at a bad time, or not for the first time.
pub(crate) enum NotTaken {}

impl Codes for NotTaken {
    fn codes() -> Vec<ProblemCode> {
        vec![
            ProblemCode::InvalidIdempotencyKey,
            ProblemCode::InvalidRiskHeader,
            ProblemCode::PaymentHeaderMismatch,
            ProblemCode::AuthorizationAlreadySubmitted,
            ProblemCode::IdempotencyKeyReused,
            ProblemCode::InternalError,
            ProblemCode::AcceptUnavailable,
        ]
    }
}

/// The problem and, for the field, what is wrong with it.
const fn codes(kind: RefusalKind) -> (ProblemCode, &'static str) {
    match kind {
        RefusalKind::UnsupportedVersion => (ProblemCode::UnsupportedVersion, "unsupported"),
        RefusalKind::UnsupportedScheme => (ProblemCode::UnsupportedScheme, "unsupported"),
        RefusalKind::UnsupportedNetwork => (ProblemCode::UnsupportedNetwork, "unsupported"),
        RefusalKind::UnsupportedAsset => (ProblemCode::UnsupportedAsset, "unsupported"),
        RefusalKind::UnsupportedSignature => (ProblemCode::UnsupportedSignature, "unsupported"),
        RefusalKind::MissingField => (ProblemCode::MalformedField, "missing"),
        RefusalKind::MalformedField => (ProblemCode::MalformedField, "malformed"),
        RefusalKind::AmountMismatch => (ProblemCode::AmountMismatch, "differs"),
        RefusalKind::RecipientMismatch => (ProblemCode::RecipientMismatch, "differs"),
        RefusalKind::NetworkMismatch => (ProblemCode::NetworkMismatch, "differs"),
        RefusalKind::AssetMismatch => (ProblemCode::AssetMismatch, "differs"),
        RefusalKind::SchemeMismatch => (ProblemCode::SchemeMismatch, "differs"),
        RefusalKind::AuthorizationExpired => (ProblemCode::AuthorizationExpired, "too_early"),
        RefusalKind::AuthorizationNotYetValid => {
            (ProblemCode::AuthorizationNotYetValid, "too_late")
        }
        RefusalKind::AuthorizationWindowTooLong => {
            (ProblemCode::AuthorizationWindowTooLong, "too_late")
        }
        RefusalKind::InvalidSignature => (ProblemCode::InvalidSignature, "invalid"),
    }
}

/// The answer to a submission that there is no room for.
pub(crate) fn no_room(full: Full, settings: &Settings) -> Problem {
    Problem::new(ProblemCode::Overloaded)
        .detail(full.to_string())
        .retry_after_secs(settings.unavailable_retry_after_secs)
}

/// The answer when a submission was not committed, or may not have been.
pub(crate) fn not_accepted(outcome: NotAccepted, settings: &Settings) -> Problem {
    match outcome {
        NotAccepted::Unavailable => unavailable(settings),
        NotAccepted::Refused => Problem::new(ProblemCode::InternalError),
    }
}

/// The answer to a caller that may not submit payments, or of whom nobody can say now.
pub(crate) fn not_let_in(denied: Denied, settings: &Settings) -> Problem {
    if let Denied::Undecided(error) = &denied {
        tracing::warn!(%error, "an API key cannot be looked up");
        if error.is_unavailable() {
            return unavailable(settings);
        }
    }
    denied.into()
}

fn unavailable(settings: &Settings) -> Problem {
    Problem::new(ProblemCode::AcceptUnavailable)
        .detail("Send the same request again: it is accepted once, however often it arrives")
        .retry_after_secs(settings.unavailable_retry_after_secs)
}
