//! Why a node gave no answer to act on.

use std::time::Duration;

use alloy::primitives::Bytes;
use alloy::transports::{RpcError, TransportErrorKind};

/// Why a node gave no answer that can be acted on. Nothing about a payment follows from any of
/// these, except from [`ChainError::Reverted`].
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The node did not answer in time; what was asked of it may have happened.
    #[error("the node did not answer within {limit:?}")]
    TimedOut {
        /// How long it was given.
        limit: Duration,
    },
    /// The node could not be reached, or the connection broke.
    #[error("the node could not be reached: {0}")]
    Unreachable(String),
    /// The node answered with an error of its own.
    #[error("the node answered with error {code}: {message}")]
    Refused {
        /// The JSON-RPC error code.
        code: i64,
        /// What the node said.
        message: String,
    },
    /// The call would revert.
    #[error("the call would revert: {reason}")]
    Reverted {
        /// The contract's own words, where it gave any.
        reason: String,
        /// What the contract returned; nothing where the node does not say.
        data: Bytes,
    },
    /// The node spoke of a block before one that it had told of: it, or another behind the same
    /// URL, lags, and what it says is no evidence.
    #[error("the node speaks of an older block than before")]
    Behind,
    /// The node is on another network: nothing it says is about ours.
    #[error("the node is on eip155:{found}")]
    WrongNetwork {
        /// The network it says it is on.
        found: u64,
    },
    /// The answer does not read as what was asked for.
    #[error("the node's answer cannot be read: {0}")]
    Unreadable(String),
}

/// `execution reverted`, as nodes number it (go-ethereum).
const REVERTED: i64 = 3;

/// How others say it: Besu and Reth, Nethermind, and all of them of a call that uses up its gas.
/// What is taken for it by mistake does no harm, because the token is asked before anything is
/// decided.
const REVERT_PHRASES: [&str; 5] =
    ["revert", "vm execution error", "out of gas", "outofgas", "gas required exceeds allowance"];

/// Node messages can quote whole requests; this much of one is enough to tell what it is.
const MESSAGE_LIMIT: usize = 300;

pub(crate) fn shorten(message: &str) -> String {
    message.chars().take(MESSAGE_LIMIT).collect()
}

impl ChainError {
    /// Nobody was asked.
    pub(crate) fn nobody() -> Self {
        Self::Unreachable("no node to ask".to_owned())
    }
}

impl From<RpcError<TransportErrorKind>> for ChainError {
    fn from(error: RpcError<TransportErrorKind>) -> Self {
        match error {
            RpcError::ErrorResp(payload) => {
                let message = shorten(&payload.message);
                let lower = message.to_lowercase();
                let reverted = REVERT_PHRASES.iter().any(|phrase| lower.contains(phrase));
                if payload.code == REVERTED || reverted {
                    let data = payload.as_revert_data().unwrap_or_default();
                    Self::Reverted { reason: message, data }
                } else {
                    Self::Refused { code: payload.code, message }
                }
            }
            RpcError::NullResp => Self::Unreadable("null".to_owned()),
            RpcError::DeserError { err, .. } => Self::Unreadable(shorten(&err.to_string())),
            RpcError::Transport(error) => Self::from(error),
            RpcError::UnsupportedFeature(_)
            | RpcError::LocalUsageError(_)
            | RpcError::SerError(_) => Self::Unreadable("request could not be made".to_owned()),
        }
    }
}

impl From<TransportErrorKind> for ChainError {
    fn from(error: TransportErrorKind) -> Self {
        if let Some(http) = error.as_http_error() {
            return Self::Unreachable(format!("HTTP status {}", http.status));
        }
        match error {
            // The words of our own transport: they hold no URL, and so no key.
            TransportErrorKind::Custom(words) => Self::Unreachable(words.to_string()),
            TransportErrorKind::NonRetryable(words) => Self::Unreadable(words.to_string()),
            _ => Self::Unreachable("transport error".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy::rpc::json_rpc::ErrorPayload;

    use super::*;

    #[test]
    fn a_revert_is_known_by_its_number_or_by_how_nodes_say_it() {
        for (code, message, reverts) in [
            (3, "execution reverted: FiatToken: paused", true),
            (-32_000, "Execution Reverted", true),
            (-32_015, "VM execution error.", true),
            (-32_000, "gas required exceeds allowance (16777216)", true),
            (-32_000, "out of gas", true),
            (-32_000, "header not found", false),
            (-32_005, "limit exceeded", false),
        ] {
            let payload = ErrorPayload { code, message: message.into(), data: None };
            let error = ChainError::from(RpcError::ErrorResp(payload));
            assert_eq!(matches!(error, ChainError::Reverted { .. }), reverts, "{message}");
        }
    }
}
