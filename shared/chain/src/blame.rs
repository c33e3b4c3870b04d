//! Who is to blame for a call without an answer.

use crate::ChainError;

/// Who is to blame for an error, and so whether somebody else may do better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// The request: this is its answer, and any endpoint's would be the same.
    Request,
    /// This endpoint is not the one to be asked this.
    Call,
    /// This endpoint fails.
    Endpoint,
}

/// EIP-1474: the method does not exist, is not supported.
const MISSING_METHOD: [i64; 2] = [-32_601, -32_004];

/// EIP-1474: internal error, resource not found, resource unavailable.
const FAULTS: [i64; 3] = [-32_603, -32_001, -32_002];

/// EIP-1474: the limit of requests is exceeded. Some providers use HTTP's number.
const TOO_MANY: [i64; 2] = [-32_005, 429];

const TOO_MANY_PHRASES: [&str; 4] =
    ["rate limit", "too many requests", "request limit", "capacity exceeded"];

/// A query that asks for more than this endpoint gives out.
const TOO_WIDE_PHRASES: [&str; 4] = ["block range", "range of blocks", "query returned", "results"];

/// How providers say that they do not answer this customer, or nobody at present.
const TURNED_AWAY_PHRASES: [&str; 5] =
    ["unauthori", "authenticat", "api key", "no backend", "service unavailable"];

/// How nodes say that they do not have a state or a block, or do not do something.
const FAULT_PHRASES: [&str; 10] = [
    "pruned",
    "method not found",
    "does not exist",
    "not supported",
    "not available",
    "internal error",
    "header not found",
    "block not found",
    "unknown block",
    "missing trie node",
];

impl ChainError {
    /// Who is to blame.
    pub(crate) fn blame(&self) -> Blame {
        match self {
            Self::Reverted { .. } => Blame::Request,
            Self::Refused { code, message } => blame_for(*code, &message.to_lowercase()),
            Self::TimedOut { .. } | Self::Unreachable(_) | Self::Unreadable(_) => Blame::Endpoint,
            Self::Behind | Self::WrongNetwork { .. } => Blame::Call,
        }
    }

    /// Whether the node does not do this at all.
    pub(crate) fn is_missing_method(&self) -> bool {
        matches!(self, Self::Refused { code, message }
            if MISSING_METHOD.contains(code) || message.to_lowercase().contains("method not found"))
    }
}

fn blame_for(code: i64, lower: &str) -> Blame {
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| lower.contains(phrase));
    if says(&TOO_WIDE_PHRASES) {
        Blame::Call
    } else if TOO_MANY.contains(&code)
        || says(&TOO_MANY_PHRASES)
        || says(&TURNED_AWAY_PHRASES)
        || lower == "limit exceeded"
    {
        Blame::Endpoint
    } else if MISSING_METHOD.contains(&code) || FAULTS.contains(&code) || says(&FAULT_PHRASES) {
        Blame::Call
    } else {
        Blame::Request
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_a_node_says_about_the_request_is_an_answer_and_the_rest_is_not() {
        for (code, message, blame) in [
            (-32_000, "nonce too low", Blame::Request),
            (-32_000, "replacement transaction underpriced", Blame::Request),
            (-32_003, "Insufficient funds for gas * price + value", Blame::Request),
            (-32_000, "already known", Blame::Request),
            (-32_000, "account limit exceeded", Blame::Request),
            (-32_000, "exceeds block gas limit", Blame::Request),
            (-32_602, "invalid params", Blame::Request),
            (-32_005, "limit exceeded", Blame::Endpoint),
            (-32_005, "daily request count exceeded", Blame::Endpoint),
            (-32_000, "Rate limit reached", Blame::Endpoint),
            (429, "compute units used up", Blame::Endpoint),
            (-32_005, "query returned more than 10000 results", Blame::Call),
            (-32_000, "exceeds the block range", Blame::Call),
            (-32_601, "the method eth_getBlockReceipts does not exist", Blame::Call),
            (-32_000, "the method does not exist", Blame::Call),
            (-32_600, "Must be authenticated!", Blame::Endpoint),
            (-32_011, "no backends available for method", Blame::Endpoint),
            (4_444, "pruned history unavailable", Blame::Call),
            (-32_603, "oops", Blame::Call),
            (-32_000, "header not found", Blame::Call),
            (-32_000, "missing trie node 12ab", Blame::Call),
        ] {
            let error = ChainError::Refused { code, message: message.to_owned() };
            assert_eq!(error.blame(), blame, "{code} {message}");
        }
    }

    #[test]
    fn silence_and_rubbish_are_the_endpoints_fault_and_a_revert_is_an_answer() {
        let words = || "words".to_owned();
        for (error, blame) in [
            (ChainError::TimedOut { limit: Duration::from_secs(1) }, Blame::Endpoint),
            (ChainError::Unreachable(words()), Blame::Endpoint),
            (ChainError::Unreadable(words()), Blame::Endpoint),
            (ChainError::Behind, Blame::Call),
            (ChainError::WrongNetwork { found: 1 }, Blame::Call),
            (ChainError::Reverted { reason: words(), data: Default::default() }, Blame::Request),
        ] {
            assert_eq!(error.blame(), blame, "{error:?}");
        }
    }
}
