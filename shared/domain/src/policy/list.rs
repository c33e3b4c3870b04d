//! Lists of what is allowed and what is not.

use serde::{Deserialize, Serialize};

use super::PolicyReason;

/// What is denied, and, where anything is named there, what alone is allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List<T> {
    /// Nothing but these; everything, where it is empty.
    #[serde(default = "Vec::new")]
    pub allow: Vec<T>,
    /// None of these, whatever is allowed.
    #[serde(default = "Vec::new")]
    pub deny: Vec<T>,
}

/// How a list refuses something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Blocked,
    NotAllowed,
}

impl Refusal {
    /// The reason that it is told by.
    pub(super) const fn of(self, blocked: PolicyReason, not_allowed: PolicyReason) -> PolicyReason {
        match self {
            Self::Blocked => blocked,
            Self::NotAllowed => not_allowed,
        }
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { allow: Vec::new(), deny: Vec::new() }
    }
}

impl<T> List<T> {
    /// Whether the list refuses what `is` recognises; what is not known is not allowed where only
    /// something is.
    pub(super) fn refuses(&self, is: impl Fn(&T) -> bool) -> Option<Refusal> {
        if self.deny.iter().any(&is) {
            return Some(Refusal::Blocked);
        }
        let allowed = self.allow.is_empty() || self.allow.iter().any(is);
        if allowed { None } else { Some(Refusal::NotAllowed) }
    }
}
