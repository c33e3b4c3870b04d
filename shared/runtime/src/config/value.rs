//! Values that are checked when they are read.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error, IntoDeserializer};
use serde::{Deserialize, Deserializer};
use url::Url;

/// Hexadecimal digits of an EVM address.
const ADDRESS_DIGITS: usize = 40;

/// An EVM address: `0x` and 40 hexadecimal digits, in the case in which it was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct EvmAddress(String);

impl EvmAddress {
    /// Reads an address; the EIP-55 checksum is not looked at.
    ///
    /// # Errors
    /// When the text is not `0x` and 40 hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let digits = text.strip_prefix("0x").ok_or(ValueError::Address)?;
        if digits.len() == ADDRESS_DIGITS && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ValueError::Address)
        }
    }

    /// The address as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for EvmAddress {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        Self::parse(&text)
    }
}

impl fmt::Display for EvmAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An RPC node's URL. Its path and query often hold a key: only scheme and host are ever shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct RpcUrl(Url);

impl RpcUrl {
    /// Reads an `http`, `https`, `ws` or `wss` URL.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let url = Url::parse(text).map_err(|_| ValueError::RpcUrl)?;
        let spoken = matches!(url.scheme(), "http" | "https" | "ws" | "wss");
        if spoken && url.has_host() { Ok(Self(url)) } else { Err(ValueError::RpcUrl) }
    }

    /// The whole URL, keys included: for the connection alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.as_str()
    }

    /// Host and port, for logs and metric labels.
    #[must_use]
    pub fn host(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        self.0.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}

impl TryFrom<String> for RpcUrl {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        Self::parse(&text)
    }
}

impl fmt::Debug for RpcUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RpcUrl({}://{}/…)", self.0.scheme(), self.host())
    }
}

/// A base URL that is shown to clients: http or https, without query, fragment, user or trailing slash.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PublicUrl(String);

impl PublicUrl {
    /// Reads a base URL.
    ///
    /// # Errors
    /// When it is not an http(s) URL or has more than a path.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let url = Url::parse(text).map_err(|_| ValueError::PublicUrl)?;
        let bare = url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if bare && matches!(url.scheme(), "http" | "https") {
            Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
        } else {
            Err(ValueError::PublicUrl)
        }
    }

    /// The URL without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PublicUrl {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        Self::parse(&text)
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a value should have been. The value itself is not repeated: it may be a secret in the wrong place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not an address.
    #[error("must be an address: 0x and 40 hexadecimal digits")]
    Address,
    /// Not an RPC URL.
    #[error("must be an http, https, ws or wss URL")]
    RpcUrl,
    /// Not an address, with its chain or without.
    #[error("must be 0x and 40 hexadecimal digits, with eip155:<chain id>: before it or without")]
    ListedAddress,
    /// Not a host's name.
    #[error("must be a host's name or address, without scheme, port and path")]
    HostName,
    /// Not an origin.
    #[error("must be an origin as browsers write it, https://shop.example, and not *")]
    Origin,
    /// Not a base URL.
    #[error("must be an http or https URL without user, query and fragment")]
    PublicUrl,
}

/// TOML has no null: an empty text stands for "not set".
pub(super) fn unset_if_empty<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    T::deserialize(text.into_deserializer())
        .map(Some)
        .map_err(|error: serde::de::value::Error| D::Error::custom(error))
}

impl FromStr for EvmAddress {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Self::parse(text)
    }
}
