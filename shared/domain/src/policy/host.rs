//! Hosts in a policy: exact, or all below a name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest name of a host (RFC 1035).
const MAX_CHARS: usize = 253;

/// A host, or with `*.` before it every host below that name.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HostPattern {
    name: String,
    below: bool,
}

/// Text that is no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a host, nor *. and a host")]
pub struct InvalidHost;

impl HostPattern {
    /// Whether a host is meant, whatever its case. `*.shop.example` means `a.shop.example`, and
    /// neither `shop.example` nor `myshop.example`: names are compared label by label.
    pub fn matches(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        if !self.below {
            return host == self.name;
        }
        host.strip_suffix(&self.name)
            .and_then(|above| above.strip_suffix('.'))
            .is_some_and(|above| !above.is_empty())
    }

    /// Every pattern that means this host; none where it is no host at all.
    pub(crate) fn matching(host: &str) -> Vec<Self> {
        // A star in a name is a star, and no pattern.
        let Ok(exact @ Self { below: false, .. }) = host.trim_end_matches('.').parse() else {
            return Vec::new();
        };
        let names = std::iter::successors(Some(exact.name.as_str()), |name| {
            name.split_once('.').map(|(_, above)| above)
        });
        let below = |name: &str| Self { name: name.to_owned(), below: true };
        let mut all: Vec<Self> = names.skip(1).map(below).collect();
        all.push(exact);
        all
    }
}

impl FromStr for HostPattern {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let (name, below) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text, false),
        };
        let label = |label: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            (1..=63).contains(&label.len()) && label.bytes().all(plain)
        };
        if name.len() > MAX_CHARS || !name.split('.').all(label) {
            return Err(InvalidHost);
        }
        Ok(Self { name: name.to_ascii_lowercase(), below })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.below {
            f.write_str("*.")?;
        }
        f.write_str(&self.name)
    }
}

impl fmt::Debug for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for HostPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HostPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_label_by_label() {
        for (pattern, host, expected) in [
            ("shop.example", "shop.example", true),
            ("shop.example", "SHOP.Example.", true),
            ("shop.example", "a.shop.example", false),
            ("*.openai.com", "api.openai.com", true),
            ("*.openai.com", "a.b.openai.com", true),
            ("*.openai.com", "openai.com", false),
            ("*.openai.com", "notopenai.com", false),
            ("*.openai.com", "x-openai.com", false),
            ("*.openai.com", "api.openaixcom", false),
            ("*.openai.com", ".openai.com", false),
            ("*.openai.com", "api.openai.com.evil.example", false),
        ] {
            let parsed: HostPattern = pattern.parse().unwrap();
            assert_eq!(parsed.matches(host), expected, "{pattern} and {host}");
            assert_eq!(parsed.to_string(), pattern);
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let long = "a".repeat(64);
        for bad in ["", "*", "*.", "a..b", ".a", "a b", "*.*.a", "https://a", "a/b", "a:1", &long] {
            assert_eq!(bad.parse::<HostPattern>(), Err(InvalidHost), "{bad:?}");
        }
    }
}
