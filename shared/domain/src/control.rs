//! What operators let nobody do, whatever tenants allow.

use std::fmt;
use std::str::FromStr;

use crate::{Address, Authorization, HostPattern, PolicyReason};

/// What operators say about a payment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Control {
    /// Nothing.
    #[default]
    Free,
    /// It waits: its network, its account or everything is paused.
    Paused,
    /// It may not be settled.
    Denied(PolicyReason),
}

/// Whom or what operators deny.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Denial {
    /// Nobody is paid from this address.
    Payer(Address),
    /// Nobody pays to this address.
    PayTo(Address),
    /// Nobody pays with this token, on any network.
    Asset(Address),
    /// Nobody pays for what is on this host.
    Host(HostPattern),
}

/// Text that names nothing that can be denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not payer:, pay_to: or asset: and an address, nor host: and a host")]
pub struct InvalidDenial;

impl Denial {
    /// `payer`, `pay_to`, `asset` or `host`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Payer(_) => "payer",
            Self::PayTo(_) => "pay_to",
            Self::Asset(_) => "asset",
            Self::Host(_) => "host",
        }
    }

    /// The address in lower case, or the host.
    pub fn value(&self) -> String {
        match self {
            Self::Payer(address) | Self::PayTo(address) | Self::Asset(address) => {
                format!("{address:#x}")
            }
            Self::Host(pattern) => pattern.to_string(),
        }
    }

    /// Why a payment is denied that this is about.
    pub const fn reason(&self) -> PolicyReason {
        match self {
            Self::Payer(_) => PolicyReason::PayerBlocked,
            Self::PayTo(_) => PolicyReason::RecipientBlocked,
            Self::Asset(_) => PolicyReason::AssetBlocked,
            Self::Host(_) => PolicyReason::EndpointBlocked,
        }
    }

    /// Everything that would deny a payment, were it denied.
    pub fn of(authorization: &Authorization, host: Option<&str>) -> Vec<Self> {
        let parties = [
            Self::Payer(authorization.payer),
            Self::PayTo(authorization.pay_to),
            Self::Asset(authorization.asset),
        ];
        let hosts = host.into_iter().flat_map(HostPattern::matching).map(Self::Host);
        parties.into_iter().chain(hosts).collect()
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind(), self.value())
    }
}

impl FromStr for Denial {
    type Err = InvalidDenial;

    fn from_str(text: &str) -> Result<Self, InvalidDenial> {
        let (kind, value) = text.split_once(':').ok_or(InvalidDenial)?;
        let address = || match value.strip_prefix("0x") {
            Some(_) => value.parse::<Address>().map_err(|_| InvalidDenial),
            None => Err(InvalidDenial),
        };
        match kind {
            "payer" => address().map(Self::Payer),
            "pay_to" => address().map(Self::PayTo),
            "asset" => address().map(Self::Asset),
            "host" => value.parse().map(Self::Host).map_err(|_| InvalidDenial),
            _ => Err(InvalidDenial),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_denied_is_named_in_one_word() {
        let payer = format!("payer:0x{}", "Ab".repeat(20));
        assert_eq!(payer.parse::<Denial>().unwrap().to_string(), payer.to_lowercase());
        let host: Denial = "host:*.Shop.example".parse().unwrap();
        assert_eq!(host.to_string(), "host:*.shop.example");
        for text in [
            "",
            "payer",
            "payer:",
            "payer:abababababababababababababababababababab",
            "payer:0xabab",
            "payee:0xabababababababababababababababababababab",
            "host:",
            "host:a b",
            "host:*.",
            "asset:shop.example",
        ] {
            assert_eq!(text.parse::<Denial>(), Err(InvalidDenial), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_host_is_denied_by_exactly_the_patterns_that_match_it(
            host in "[a-c]{1,2}(\\.[a-c]{1,2}){0,3}",
            pattern in "(\\*\\.)?[a-c]{1,2}(\\.[a-c]{1,2}){0,2}",
        ) {
            let pattern: HostPattern = pattern.parse().unwrap();
            let named = HostPattern::matching(&host).contains(&pattern);
            prop_assert_eq!(named, pattern.matches(&host));
        }
    }
}
