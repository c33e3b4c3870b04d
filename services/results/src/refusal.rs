//! How what went wrong is told to the client.

use std::str::FromStr;
use std::sync::Arc;

use access::Denied;
use axum::response::{IntoResponse, Response};
use runtime::{CoalesceError, Problem, ProblemCode};
use store::StoreError;

/// Why a request has no answer but a problem.
#[derive(Clone, Debug)]
pub(crate) struct Refusal(Problem);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<ProblemCode> for Refusal {
    fn from(code: ProblemCode) -> Self {
        Self(code.into())
    }
}

/// The ledger's own words are for the log.
impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Arc::new(error).into()
    }
}

/// What several requests were told at once.
impl From<Arc<StoreError>> for Refusal {
    fn from(error: Arc<StoreError>) -> Self {
        if error.is_unavailable() {
            tracing::warn!(%error, "the ledger does not answer");
            return ProblemCode::Unavailable.into();
        }
        tracing::error!(%error, "the ledger refused");
        ProblemCode::InternalError.into()
    }
}

impl From<CoalesceError> for Refusal {
    fn from(error: CoalesceError) -> Self {
        tracing::warn!(%error, "more is asked than can be read");
        ProblemCode::Unavailable.into()
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        if let Denied::Undecided(error) = &denied {
            tracing::warn!(%error, "an API key cannot be looked up");
        }
        Self(denied.into())
    }
}

/// The id in a path. What cannot be an id names nothing, and is told like any other absence.
pub(crate) fn id<T: FromStr>(text: &str) -> Result<T, Refusal> {
    text.parse().map_err(|_| ProblemCode::NotFound.into())
}
