//! Why a call has no answer.

use std::error::Error;
use std::io;

use super::resolver::LookupFailed;
use super::target::Blocked;

/// The most links followed from an error to its cause.
const MAX_CAUSES: usize = 16;

/// The longest reason told, in characters.
const MAX_REASON_CHARS: usize = 200;

/// Why a call has no answer. No text holds the URL: its path may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// The URL must not be called. Trying again helps only when its name resolves differently.
    #[error("blocked: {0}")]
    Blocked(#[from] Blocked),
    /// The name cannot be resolved. Nothing was sent.
    #[error("the host's name cannot be resolved")]
    Dns,
    /// No connection. Nothing was sent.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// A connection, but no secure one: a wrong or expired certificate, no common version. Nothing was sent.
    #[error("no secure connection: {0}")]
    Tls(String),
    /// Not finished within the deadline, or not connected within 3 seconds. The receiver may have the message.
    #[error("timed out")]
    Timeout,
    /// The connection broke. The receiver may have the message.
    #[error("the receiver closed the connection")]
    Reset,
    /// The answer is not HTTP, or another failure. The receiver may have the message.
    #[error("{0}")]
    Other(String),
}

impl EgressError {
    pub(super) fn of(error: &reqwest::Error) -> Self {
        let root: &(dyn Error + 'static) = error;
        let causes =
            || std::iter::successors(Some(root), |&cause| cause_of(cause)).take(MAX_CAUSES);
        // The innermost cause says most; the outermost one is left out because it names the URL.
        let innermost = || {
            causes()
                .skip(1)
                .last()
                .map_or_else(|| "the call failed".to_owned(), |cause| reason(&cause))
        };
        if let Some(blocked) = causes().find_map(|cause| cause.downcast_ref::<Blocked>()) {
            return Self::Blocked(*blocked);
        }
        if causes().any(|cause| cause.is::<LookupFailed>()) {
            return Self::Dns;
        }
        if let Some(tls) = causes().find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
            return Self::Tls(reason(tls));
        }
        if error.is_timeout() {
            return Self::Timeout;
        }
        if error.is_connect() {
            return Self::Connect(innermost());
        }
        if causes().any(is_reset) {
            return Self::Reset;
        }
        Self::Other(innermost())
    }
}

/// The next cause. An `io::Error` hides the error that it wraps: its `source` is already the one below.
fn cause_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

fn is_reset(cause: &(dyn Error + 'static)) -> bool {
    if let Some(error) = cause.downcast_ref::<hyper::Error>() {
        return error.is_incomplete_message() || error.is_closed();
    }
    cause.downcast_ref::<io::Error>().is_some_and(|error| {
        matches!(
            error.kind(),
            io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof
        )
    })
}

fn reason(cause: &dyn std::fmt::Display) -> String {
    cause.to_string().chars().take(MAX_REASON_CHARS).collect()
}
