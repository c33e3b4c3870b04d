//! Why a caller may not do what it asks.

use std::sync::Arc;

use domain::Scope;
use runtime::{Problem, ProblemCode};
use store::StoreError;

use crate::jwt::BadToken;

/// Why a request is not let in. As a [`Problem`] it is what the client is told.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Denied {
    /// It brought no key.
    #[error("Send the API key as `Authorization: Bearer <key>`")]
    Missing,
    /// What it brought cannot be a key.
    #[error("The Authorization header must be `Bearer <key>`, once")]
    Malformed,
    /// There is no such key.
    #[error("The API key is not known")]
    Unknown,
    /// The key is no longer good.
    #[error("The API key was revoked")]
    Revoked,
    /// The key ended by itself, or another took its place.
    #[error("The API key has expired")]
    Expired,
    /// The key is good, but not for this.
    #[error("The API key lacks the scope {0}")]
    OutOfScope(Scope),
    /// It brought a token of an identity provider, which is not good.
    #[error(transparent)]
    BadToken(#[from] BadToken),
    /// Its token names an account that is not there.
    #[error("The token names an account that is not there")]
    UnknownAccount,
    /// Its token is good, but not for this.
    #[error("The token lacks the scope {0}, or may not have it")]
    TokenOutOfScope(Scope),
    /// It brought a poll token, which is good for another payment or none.
    #[error("The poll token is not this payment's")]
    NotItsToken,
    /// The poll token was good until its payment had been over for an hour.
    #[error("The poll token has expired: its payment has been over for an hour")]
    TokenExpired,
    /// Nobody can say now whether the key is good.
    #[error("The API key cannot be looked up")]
    Undecided(#[source] Arc<StoreError>),
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        let code = match &denied {
            Denied::Missing
            | Denied::Malformed
            | Denied::Unknown
            | Denied::BadToken(_)
            | Denied::UnknownAccount
            | Denied::NotItsToken
            | Denied::TokenExpired => ProblemCode::Unauthorized,
            Denied::Revoked => ProblemCode::KeyRevoked,
            Denied::Expired => ProblemCode::KeyExpired,
            Denied::OutOfScope(_) | Denied::TokenOutOfScope(_) => ProblemCode::Forbidden,
            Denied::Undecided(error) if error.is_unavailable() => ProblemCode::Unavailable,
            Denied::Undecided(_) => ProblemCode::InternalError,
        };
        match denied {
            // The ledger's own words are for the log.
            Denied::Undecided(_) => Self::new(code),
            told @ (Denied::Missing
            | Denied::Malformed
            | Denied::Unknown
            | Denied::Revoked
            | Denied::Expired
            | Denied::OutOfScope(_)
            | Denied::BadToken(_)
            | Denied::UnknownAccount
            | Denied::TokenOutOfScope(_)
            | Denied::NotItsToken
            | Denied::TokenExpired) => Self::new(code).detail(told.to_string()),
        }
    }
}
