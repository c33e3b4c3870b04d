//! Validators: what a client has, and whether that is still so (RFC 9110, section 8.8).

use axum::http::header::IF_NONE_MATCH;
use axum::http::{HeaderMap, HeaderValue};

/// The validator of this version of a payment. All that decides anything for a seller changes
/// with it; the counts of webhooks beside it do not.
pub(crate) fn of_version(version: u32) -> HeaderValue {
    HeaderValue::try_from(tag(version)).expect("quotes, a letter and digits are ASCII")
}

fn tag(version: u32) -> String {
    format!("\"v{version}\"")
}

/// `If-None-Match`: the versions that a client has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IfNoneMatch {
    /// Whichever there is (`*`).
    Any,
    /// These.
    Tags(Vec<String>),
}

/// The most validators that are looked at in one request.
const MOST_TAGS: usize = 32;

impl IfNoneMatch {
    /// Reads the header, if it is there. What is not a validator matches nothing.
    pub(crate) fn read(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(IF_NONE_MATCH).iter().peekable();
        values.peek()?;
        let tags: Vec<&str> = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|list| list.split(','))
            .map(str::trim)
            .take(MOST_TAGS)
            .collect();
        if tags.contains(&"*") {
            return Some(Self::Any);
        }
        // The comparison is the weak one (RFC 9110, section 13.1.2).
        let plain = |tag: &&str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
        Some(Self::Tags(tags.iter().map(plain).collect()))
    }

    /// Whether the client has this version.
    pub(crate) fn has(&self, version: u32) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => tags.contains(&tag(version)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&'static str]) -> Option<IfNoneMatch> {
        let header = |value: &&'static str| (IF_NONE_MATCH, HeaderValue::from_static(value));
        let mut headers = HeaderMap::new();
        for (name, value) in values.iter().map(header) {
            headers.append(name, value);
        }
        IfNoneMatch::read(&headers)
    }

    #[test]
    fn a_validator_matches_its_own_version_alone() {
        for value in ["\"v3\"", "W/\"v3\"", "\"x\", \"v3\""] {
            let read = read(&[value]).unwrap();
            assert!(read.has(3) && !read.has(4), "{value}");
        }
        assert!(read(&["\"x\"", "\"v3\""]).unwrap().has(3));
        assert!(read(&["*"]).unwrap().has(3));
    }

    #[test]
    fn what_is_not_a_validator_matches_nothing() {
        assert_eq!(read(&[]), None);
        for value in ["", "v3", "\"v3", "\"V3\"", "3"] {
            assert!(!read(&[value]).unwrap().has(3), "{value}");
        }
    }
}
