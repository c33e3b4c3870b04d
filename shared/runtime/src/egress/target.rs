//! Which URLs may be called at all.

use std::net::IpAddr;

use url::{Host, Url};

use super::address::forbidden;

/// The usual port of https.
const HTTPS_PORT: u16 = 443;

/// Ports below belong to the operating system's services.
const FIRST_UNPRIVILEGED_PORT: u16 = 1024;

/// The longest URL, in bytes.
const MAX_URL_BYTES: usize = 2_048;

/// Which URLs an [`super::EgressClient`] may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Targets {
    /// https to public addresses, on port 443 or one from 1024 on.
    Public,
    /// Development only: http too, any port, any address.
    PublicAndPrivate,
}

/// Why a URL must not be called. The texts are for the URL's owner and name no address: a name may resolve to
/// something inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Blocked {
    /// Not a URL with a host.
    #[error("the URL is malformed")]
    Malformed,
    /// Longer than 2,048 bytes.
    #[error("the URL is longer than {MAX_URL_BYTES} bytes")]
    TooLong,
    /// Neither https nor, in development, http.
    #[error("the URL must begin with https://")]
    Scheme,
    /// A user name or password in the URL.
    #[error("the URL must hold no user name and password")]
    UserInfo,
    /// A port that is not allowed.
    #[error("port {0} is not allowed: use 443 or one from {FIRST_UNPRIVILEGED_PORT} on")]
    Port(u16),
    /// The host is, or resolves to, an address that is not public.
    #[error("the host's address is not public")]
    Address(&'static str),
}

impl Targets {
    /// What the setting `notifier.allow_private_targets` stands for.
    #[must_use]
    pub const fn from_setting(allow_private_targets: bool) -> Self {
        if allow_private_targets { Self::PublicAndPrivate } else { Self::Public }
    }

    /// Judges a URL without looking its name up: what can be said when a webhook endpoint is created.
    ///
    /// # Errors
    /// Why it must not be called.
    pub fn check(self, url: &str) -> Result<Url, Blocked> {
        if url.len() > MAX_URL_BYTES {
            return Err(Blocked::TooLong);
        }
        let url = Url::parse(url).map_err(|_| Blocked::Malformed)?;
        match (url.scheme(), self) {
            ("https", _) | ("http", Self::PublicAndPrivate) => {}
            (_, Self::Public | Self::PublicAndPrivate) => return Err(Blocked::Scheme),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Blocked::UserInfo);
        }
        let port = url.port_or_known_default().ok_or(Blocked::Malformed)?;
        self.check_port(port)?;
        // The parser has turned decimal, octal, hexadecimal and wide-character hosts into plain addresses.
        match url.host().ok_or(Blocked::Malformed)? {
            Host::Ipv4(address) => self.check_address(address.into())?,
            Host::Ipv6(address) => self.check_address(address.into())?,
            Host::Domain(_) => {}
        }
        Ok(url)
    }

    /// Judges an address that is about to be dialled.
    pub(super) fn check_address(self, address: IpAddr) -> Result<(), Blocked> {
        match (self, forbidden(address)) {
            (Self::Public, Some(forbidden)) => Err(Blocked::Address(forbidden.range)),
            (Self::Public, None) | (Self::PublicAndPrivate, _) => Ok(()),
        }
    }

    fn check_port(self, port: u16) -> Result<(), Blocked> {
        match self {
            Self::Public if port != HTTPS_PORT && port < FIRST_UNPRIVILEGED_PORT => {
                Err(Blocked::Port(port))
            }
            Self::Public | Self::PublicAndPrivate => Ok(()),
        }
    }
}
