//! What stock x402 servers may ask of the payment API.

use serde::Deserialize;

use super::error::Issue;
use super::value::{EvmAddress, ValueError};
use super::{Config, NetworkConfig};

/// What a network's CAIP-2 id begins with.
const EIP155: &str = "eip155:";

/// `[facilitator]`: what stock x402 servers ask of the payment API.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FacilitatorConfig {
    /// The account whose payments those are that come without an API key; empty: every caller needs one.
    pub open_account: String,
    /// Whom callers without an API key may have paid; empty: everybody.
    pub payees: Vec<ListedAddress>,
    /// The tokens that are settled for servers, with an API key or without; empty: all of the networks.
    pub assets: Vec<ListedAddress>,
    /// The longest that a settlement is waited for, in seconds.
    pub wait_secs: u64,
    /// How often callers without an API key may ask.
    pub open_limits: OpenLimitsConfig,
}

/// `[facilitator.open_limits]`: how often callers without an API key may ask.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenLimitsConfig {
    /// Settlements in a minute from one address.
    pub address_per_minute: u32,
    /// And at once, after a pause.
    pub address_burst: u32,
    /// Settlements in a minute to one payee.
    pub payee_per_minute: u32,
    /// And at once, after a pause.
    pub payee_burst: u32,
    /// How many verifications may be asked for where one settlement may.
    pub verifies_per_settle: u32,
}

/// An address on every network, or on one: `0x…` or `eip155:8453:0x…` (CAIP-10).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct ListedAddress {
    /// The network it is meant on, if it is one.
    pub chain_id: Option<u64>,
    /// The address.
    pub address: EvmAddress,
}

impl ListedAddress {
    /// Reads an address, with its chain or without.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let (chain_id, address) = match text.strip_prefix(EIP155) {
            None => (None, text),
            Some(rest) => {
                let (chain, address) = rest.split_once(':').ok_or(ValueError::ListedAddress)?;
                (Some(chain.parse().map_err(|_| ValueError::ListedAddress)?), address)
            }
        };
        let address = EvmAddress::parse(address).map_err(|_| ValueError::ListedAddress)?;
        Ok(Self { chain_id, address })
    }

    /// Whether this address on this network is meant.
    #[must_use]
    pub fn covers(&self, chain_id: u64, address: &EvmAddress) -> bool {
        self.chain_id.is_none_or(|listed| listed == chain_id)
            && self.address.as_str().eq_ignore_ascii_case(address.as_str())
    }

    fn is_token_of(&self, network: &NetworkConfig) -> bool {
        network.assets.iter().any(|asset| self.covers(network.chain_id, &asset.address))
    }
}

impl TryFrom<String> for ListedAddress {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        Self::parse(&text)
    }
}

/// What is listed and cannot be meant.
pub(super) fn errors(config: &Config) -> Vec<Issue> {
    let FacilitatorConfig { payees, assets, .. } = &config.facilitator;
    let strange = payees.iter().filter_map(|payee| {
        let chain_id = payee.chain_id.filter(|chain_id| config.network(*chain_id).is_none())?;
        let problem = format!("name a payee on eip155:{chain_id}, which is not configured");
        Some(Issue::new("facilitator.payees", problem))
    });
    let unlisted = assets.iter().filter(|asset| {
        let mut networks = config.networks.iter();
        !networks.any(|network| asset.is_token_of(network))
    });
    let unlisted = unlisted.map(|asset| {
        let problem = format!("name {}, which is no asset of a configured network", asset.address);
        Issue::new("facilitator.assets", problem)
    });
    strange.chain(unlisted).collect()
}

/// The settings that must be at least 1.
pub(super) fn counts(config: &Config) -> [(&'static str, u64); 6] {
    let FacilitatorConfig { wait_secs, open_limits, .. } = &config.facilitator;
    [
        ("facilitator.wait_secs", *wait_secs),
        ("facilitator.open_limits.address_per_minute", open_limits.address_per_minute.into()),
        ("facilitator.open_limits.address_burst", open_limits.address_burst.into()),
        ("facilitator.open_limits.payee_per_minute", open_limits.payee_per_minute.into()),
        ("facilitator.open_limits.payee_burst", open_limits.payee_burst.into()),
        ("facilitator.open_limits.verifies_per_settle", open_limits.verifies_per_settle.into()),
    ]
}
