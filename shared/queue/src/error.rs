//! What can go wrong, and what the caller can do about it.

use std::fmt;

use redis::RedisError;

/// Redis did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// Nobody answered, or not in time. Whether the command took effect is unknown: repeat it, as
    /// a second delivery does no harm.
    #[error("Redis is not available: {0}")]
    Unavailable(#[source] RedisError),
    /// No answer within the time the caller was ready to wait.
    #[error("Redis did not answer in time")]
    TimedOut,
    /// Redis answered, and refused: out of memory, loading its data, no permission. Look at Redis.
    #[error("Redis refused: {0}")]
    Refused(#[source] RedisError),
}

impl From<RedisError> for QueueError {
    fn from(error: RedisError) -> Self {
        match error.kind() {
            redis::ErrorKind::Server(_) | redis::ErrorKind::Extension => Self::Refused(error),
            // The list of kinds is open; every other one is about the way to Redis.
            _ => Self::Unavailable(error),
        }
    }
}

/// A worker stopped with something left over. Nothing is lost: it is delivered again, to any
/// consumer, when the lease has run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WorkError {
    /// Handlers still ran at the drain deadline and were stopped, or finished without Redis
    /// hearing of it.
    #[error("{entries} jobs were not acknowledged before the deadline and will be delivered again")]
    Unfinished {
        /// How many.
        entries: usize,
    },
}

/// Why a handler did not finish its job. It is logged and counted, and the job is acknowledged all
/// the same: the ledger still says when the payment is due, and the reconciler rings again then.
///
/// Any error converts into it, so handlers may use `?`.
pub struct HandlerError(Box<dyn std::error::Error + Send + Sync>);

impl HandlerError {
    /// An error that is nothing but this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into().into())
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl fmt::Display for HandlerError {
    /// The error and all its causes on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HandlerError({self})")
    }
}
