//! Under which names the APIs are reached, and from which pages.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use url::Url;

use super::value::ValueError;

/// `[http]`: what both APIs say to browsers and proxies.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// The names under which the APIs are reached; none: any.
    #[serde(deserialize_with = "some")]
    pub hosts: Vec<HostName>,
    /// The origins whose pages may read answers; none: no page.
    #[serde(deserialize_with = "some")]
    pub cors_origins: Vec<Origin>,
    /// For how long browsers are to insist on TLS, in seconds; 0: nothing is said of it.
    pub hsts_secs: u64,
}

/// A host's name as `Host` has it, without a port, in small letters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostName(String);

impl HostName {
    /// Reads a name or an address.
    ///
    /// # Errors
    /// When it has anything besides: a scheme, a port, a path.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        match url::Host::parse(text) {
            Ok(host) if !text.contains('*') => Ok(Self(host.to_string())),
            Ok(_) | Err(_) => Err(ValueError::HostName),
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A page's origin as browsers write it: scheme and host, and the port where it is not the scheme's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin(String);

impl Origin {
    /// Reads an origin.
    ///
    /// # Errors
    /// When no browser would write it so; `*` is none.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let url = Url::parse(text).map_err(|_| ValueError::Origin)?;
        let is_web = matches!(url.scheme(), "http" | "https") && !text.contains('*');
        match url.origin().ascii_serialization() {
            origin if is_web && origin == text => Ok(Self(origin)),
            _ => Err(ValueError::Origin),
        }
    }

    /// The origin.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for HostName {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        Self::parse(&text)
    }
}

impl TryFrom<String> for Origin {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        Self::parse(&text)
    }
}

/// Those that are not empty: a variable without a value is a list of one empty text.
fn some<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<String, Error = ValueError>,
{
    let texts = Vec::<String>::deserialize(deserializer)?;
    let texts = texts.into_iter().filter(|text| !text.is_empty());
    texts.map(|text| T::try_from(text).map_err(D::Error::custom)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_alone() {
        for (text, read) in [
            ("pay.example.com", Some("pay.example.com")),
            ("Pay.Example.COM", Some("pay.example.com")),
            ("192.0.2.1", Some("192.0.2.1")),
            ("[2001:db8::1]", Some("[2001:db8::1]")),
            ("pay.example.com:443", None),
            ("https://pay.example.com", None),
            ("pay.example.com/", None),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(HostName::parse(text).ok().as_ref().map(HostName::as_str), read, "{text}");
        }
    }

    #[test]
    fn an_origin_is_what_browsers_write() {
        for (text, good) in [
            ("https://shop.example", true),
            ("http://localhost:3000", true),
            ("https://shop.example:443", false),
            ("https://shop.example/", false),
            ("https://Shop.example", false),
            ("shop.example", false),
            ("null", false),
            ("*", false),
            ("https://*.example", false),
            ("file:///tmp", false),
        ] {
            assert_eq!(Origin::parse(text).is_ok(), good, "{text}");
        }
    }
}
