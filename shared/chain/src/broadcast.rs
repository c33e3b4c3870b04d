//! Sending signed bytes, and reading what the node made of them.

use alloy_primitives::{B256, Bytes};

use crate::error::shorten;
use crate::{ChainError, Node};

/// What a node made of a transaction that was sent to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendAnswer {
    /// It took it.
    Accepted,
    /// It had it already: as good as taken.
    AlreadyKnown,
    /// The nonce is used: by an attempt of ours that was mined, or by somebody with our key.
    NonceTooLow,
    /// Another transaction of this nonce offers more, or the offer is below what the node takes.
    Underpriced,
    /// The signer cannot pay for the gas.
    OutOfGasMoney,
    /// It will never take these bytes.
    Rejected(String),
    /// Nothing is known; it may have been taken.
    Unknown(String),
}

impl SendAnswer {
    /// The answer in a word, for the ledger and the metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::AlreadyKnown => "already_known",
            Self::NonceTooLow => "nonce_too_low",
            Self::Underpriced => "underpriced",
            Self::OutOfGasMoney => "out_of_gas_money",
            Self::Rejected(_) => "rejected",
            Self::Unknown(_) => "unknown",
        }
    }
}

/// How nodes say it: go-ethereum, Erigon, Nethermind, Besu, Reth and anvil.
const KNOWN: [&str; 3] = ["already known", "already imported", "alreadyknown"];
const NONCE: [&str; 3] = ["nonce too low", "nonce is too low", "oldnonce"];
const FUNDS: [&str; 3] = ["insufficient funds", "insufficientfunds", "upfront cost exceeds"];
const PRICE: [&str; 4] =
    ["underpriced", "less than block base fee", "fee too low", "gas price below minimum"];
const NEVER: [&str; 8] = [
    "intrinsic gas",
    "exceeds block gas limit",
    "gas limit reached",
    "gas limit too high",
    "oversized data",
    "invalid sender",
    "invalid chain",
    "invalid signature",
];

/// What the node's error means for the transaction; what is not recognised may have been taken.
fn classify(error: &ChainError) -> SendAnswer {
    let said = match error {
        ChainError::Refused { message, .. } | ChainError::Reverted { reason: message } => message,
        ChainError::TimedOut { .. }
        | ChainError::Unreachable(_)
        | ChainError::Behind
        | ChainError::Unreadable(_) => return SendAnswer::Unknown(error.to_string()),
    };
    let lower = said.to_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| lower.contains(phrase));
    if says(&KNOWN) {
        SendAnswer::AlreadyKnown
    } else if says(&NONCE) {
        SendAnswer::NonceTooLow
    } else if says(&FUNDS) {
        SendAnswer::OutOfGasMoney
    } else if says(&PRICE) {
        SendAnswer::Underpriced
    } else if says(&NEVER) {
        SendAnswer::Rejected(shorten(said))
    } else {
        SendAnswer::Unknown(shorten(said))
    }
}

impl Node {
    /// Sends signed bytes. Sending the same bytes again is harmless.
    pub async fn send(&self, raw: &[u8]) -> SendAnswer {
        let bytes = Bytes::copy_from_slice(raw);
        match self.ask::<_, B256>("eth_sendRawTransaction", (bytes,)).await {
            Ok(_) => SendAnswer::Accepted,
            Err(error) => classify(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_nodes_say_is_told_apart() {
        for (message, expected) in [
            ("already known", "already_known"),
            ("ALREADY_EXISTS: already known", "already_known"),
            ("transaction already imported", "already_known"),
            ("nonce too low: next nonce 5, tx nonce 4", "nonce_too_low"),
            ("unknown transaction type", "unknown"),
            ("transaction gas limit too high (cap: 16777216, tx: 24060000)", "rejected"),
            ("transaction gas price below minimum: gas tip cap 0", "underpriced"),
            ("OldNonce, Current nonce: 5", "nonce_too_low"),
            ("replacement transaction underpriced", "underpriced"),
            ("transaction underpriced", "underpriced"),
            ("max fee per gas less than block base fee", "underpriced"),
            ("insufficient funds for gas * price + value", "out_of_gas_money"),
            ("Insufficient funds for gas * price + value", "out_of_gas_money"),
            ("intrinsic gas too low", "rejected"),
            ("exceeds block gas limit", "rejected"),
            ("internal error", "unknown"),
            ("", "unknown"),
        ] {
            let error = ChainError::Refused { code: -32000, message: message.to_owned() };
            assert_eq!(classify(&error).as_str(), expected, "{message:?}");
        }
    }

    #[test]
    fn silence_may_mean_sent() {
        let silence = ChainError::TimedOut { limit: Duration::from_secs(1) };
        assert_eq!(classify(&silence).as_str(), "unknown");
    }
}
