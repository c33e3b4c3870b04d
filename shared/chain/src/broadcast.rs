//! Sending signed bytes, and reading what the node made of them.

use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use tokio::sync::mpsc;

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
        ChainError::Refused { message, .. } | ChainError::Reverted { reason: message, .. } => {
            message
        }
        ChainError::TimedOut { .. }
        | ChainError::Unreachable(_)
        | ChainError::Behind
        | ChainError::WrongNetwork { .. }
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

/// What one node's answer says about the transaction; `None` when it takes none at all.
fn vote(answer: Result<B256, ChainError>) -> Option<SendAnswer> {
    match answer {
        Ok(_) => Some(SendAnswer::Accepted),
        Err(error) if error.is_missing_method() => None,
        Err(error) => Some(classify(&error)),
    }
}

impl SendAnswer {
    /// Of two nodes' answers, the one to act on: what may have been taken by one of them is not
    /// refused, whatever the other says, and of two refusals the lesser counts.
    fn or(self, other: Self) -> Self {
        if other.weight() < self.weight() { other } else { self }
    }

    const fn weight(&self) -> u8 {
        match self {
            Self::Accepted => 0,
            Self::AlreadyKnown => 1,
            // It makes us look at the chain, and nothing else.
            Self::NonceTooLow => 2,
            Self::Unknown(_) => 3,
            Self::Underpriced => 4,
            Self::OutOfGasMoney => 5,
            Self::Rejected(_) => 6,
        }
    }

    const fn is_taken(&self) -> bool {
        matches!(self, Self::Accepted | Self::AlreadyKnown)
    }
}

/// How many nodes are given each transaction.
const MOST_GIVEN: usize = 2;

impl Node {
    /// Sends signed bytes to two endpoints at once, so that one of them that takes and forgets
    /// them does no harm. Sending the same bytes again is harmless.
    ///
    /// When one has taken them, the other is not waited for: it is still given its time.
    pub async fn send(&self, raw: &[u8]) -> SendAnswer {
        let bytes = Bytes::copy_from_slice(raw);
        let (told, mut answers) = mpsc::channel(MOST_GIVEN);
        for endpoint in self.witnesses().await.into_iter().take(MOST_GIVEN) {
            let (endpoint, bytes, told) = (Arc::clone(endpoint), bytes.clone(), told.clone());
            self.in_background(async move {
                let deadline = endpoint.deadline();
                let answer = endpoint.ask("eth_sendRawTransaction", (bytes,), deadline).await;
                // Nobody waits any more when the other endpoint has taken it.
                let _ = told.send(vote(answer)).await;
            });
        }
        drop(told);
        let mut combined: Option<SendAnswer> = None;
        while let Some(answer) = answers.recv().await {
            combined = match (combined, answer) {
                (Some(one), Some(other)) => Some(one.or(other)),
                (one, other) => one.or(other),
            };
            if combined.as_ref().is_some_and(SendAnswer::is_taken) {
                break;
            }
        }
        combined.unwrap_or_else(|| SendAnswer::Unknown("no node takes transactions".to_owned()))
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
    #[test]
    fn of_two_answers_the_one_counts_from_which_less_follows() {
        use SendAnswer::{Accepted, AlreadyKnown, NonceTooLow, OutOfGasMoney, Underpriced};
        let unknown = || SendAnswer::Unknown("silence".to_owned());
        let rejected = || SendAnswer::Rejected("intrinsic gas too low".to_owned());
        for (one, other, expected) in [
            (Accepted, Accepted, "accepted"),
            (Accepted, unknown(), "accepted"),
            (Accepted, rejected(), "accepted"),
            (Accepted, NonceTooLow, "accepted"),
            (Accepted, AlreadyKnown, "accepted"),
            (AlreadyKnown, rejected(), "already_known"),
            (AlreadyKnown, NonceTooLow, "already_known"),
            (NonceTooLow, Underpriced, "nonce_too_low"),
            (NonceTooLow, rejected(), "nonce_too_low"),
            (NonceTooLow, unknown(), "nonce_too_low"),
            (unknown(), rejected(), "unknown"),
            (unknown(), OutOfGasMoney, "unknown"),
            (unknown(), Underpriced, "unknown"),
            (Underpriced, OutOfGasMoney, "underpriced"),
            (Underpriced, rejected(), "underpriced"),
            (OutOfGasMoney, rejected(), "out_of_gas_money"),
            (rejected(), rejected(), "rejected"),
        ] {
            assert_eq!(one.clone().or(other.clone()).as_str(), expected, "{one:?} {other:?}");
            assert_eq!(other.clone().or(one.clone()).as_str(), expected, "{other:?} {one:?}");
        }
    }

    #[test]
    fn a_node_that_takes_no_transactions_has_no_vote() {
        let error = |code, message: &str| ChainError::Refused { code, message: message.to_owned() };
        assert_eq!(vote(Err(error(-32_601, "method not found"))), None);
        assert_eq!(vote(Err(error(-32_000, "nonce too low"))), Some(SendAnswer::NonceTooLow));
        assert_eq!(vote(Ok(B256::ZERO)), Some(SendAnswer::Accepted));
    }
}
