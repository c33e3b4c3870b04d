//! What the payment API takes from the configuration.

use std::collections::HashSet;

use domain::{Address, ChainId};
use runtime::Config;
use runtime::config::{
    AssetConfig, EvmAddress, GasSponsoring, IngressConfig, NetworkConfig, PublicUrl, TransferMethod,
};
use x402::{Asset, Assets, Limits, Methods, Wallets};

/// What an operator decides about the payment API.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The networks and tokens that payments may be made in.
    pub assets: Assets,
    /// For how long an authorization must and may be valid.
    pub limits: Limits,
    /// Whether payers may be contract wallets.
    pub wallets: Wallets,
    /// Where clients reach the API; status URLs are relative without it.
    pub public_url: Option<PublicUrl>,
    /// The longest request body, in bytes.
    pub max_body_bytes: usize,
    /// The most payments committed together.
    pub max_batch: usize,
    /// The most submissions worked on at once.
    pub max_in_flight: usize,
    /// The most payments that may wait for risk and settlement.
    pub max_backlog: u64,
    /// When a seller should first ask for the status, in seconds.
    pub status_retry_after_secs: u32,
    /// When to come back while payments cannot be stored, in seconds.
    pub unavailable_retry_after_secs: u32,
}

/// A network or token that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The ledger and the protocol know no such chain id.
    #[error("networks: chain_id {0} is not between 1 and 2^63 - 1")]
    ChainId(u64),
    /// Not an address.
    #[error("networks: {0:?} is not an address")]
    Address(String),
    /// A name that stands for another network wherever version 1 is spoken.
    #[error("network {chain}: name: version 1 of x402 calls {other} {name:?}")]
    Name {
        /// Whose it was to be.
        chain: ChainId,
        /// The name.
        name: String,
        /// Whose it is.
        other: ChainId,
    },
    /// Not an account.
    #[error("facilitator.open_account: {0:?} is not an account, which begins with acct_")]
    Account(String),
    /// Not an address.
    #[error("facilitator.payees: {0:?} is not an address")]
    Payee(String),
    /// Not an address.
    #[error("networks.signature_factories: {0:?} is not an address")]
    Factory(String),
}

impl Settings {
    /// The settings in this configuration.
    ///
    /// # Errors
    /// [`SettingsError`] when a network or token cannot be.
    pub fn from_config(config: &Config) -> Result<Self, SettingsError> {
        let IngressConfig {
            listen: _,
            public_url,
            trusted_proxies: _,
            max_body_bytes,
            min_validity_secs,
            max_validity_secs,
            contract_wallets,
            max_batch,
            max_in_flight,
            max_backlog,
            status_retry_after_secs,
            unavailable_retry_after_secs,
        } = config.ingress.clone();
        let limits = Limits {
            min_validity_secs: seconds(min_validity_secs),
            max_validity_secs: seconds(max_validity_secs),
        };
        Ok(Self {
            assets: listed(&config.networks, |_, _| true)?,
            limits,
            wallets: match contract_wallets {
                true => Wallets::Taken { factories: factories(&config.networks)? },
                false => Wallets::Refused,
            },
            public_url,
            max_body_bytes,
            max_batch,
            max_in_flight,
            max_backlog,
            status_retry_after_secs,
            unavailable_retry_after_secs,
        })
    }
}

fn seconds(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Those of the networks' tokens that are wanted.
pub(crate) fn listed(
    networks: &[NetworkConfig],
    is_wanted: impl Fn(u64, &EvmAddress) -> bool,
) -> Result<Assets, SettingsError> {
    let assets = networks
        .iter()
        .flat_map(|network| network.assets.iter().map(move |asset| (network, asset)))
        .filter(|(network, asset)| is_wanted(network.chain_id, &asset.address))
        .map(|(network, asset)| listing(network, asset))
        .collect::<Result<Vec<_>, _>>()?;
    let named = networks.iter().filter_map(|network| Some((network, network.name.clone()?)));
    let names = named.map(|(network, name)| own_name(network.chain_id, name));
    Ok(Assets::new(assets).called(names.collect::<Result<Vec<_>, _>>()?))
}

/// A buyer's client signs for the network that everybody calls so: it can be no other.
fn own_name(chain_id: u64, name: String) -> Result<(ChainId, String), SettingsError> {
    let chain = ChainId::new(chain_id).ok_or(SettingsError::ChainId(chain_id))?;
    match x402::from_v1_name(&name).filter(|known| *known != chain) {
        Some(other) => Err(SettingsError::Name { chain, name, other }),
        None => Ok((chain, name)),
    }
}

fn factories(networks: &[NetworkConfig]) -> Result<HashSet<(ChainId, Address)>, SettingsError> {
    let listed = networks.iter().flat_map(|network| {
        network.signature_factories.iter().map(|factory| (network.chain_id, factory.as_str()))
    });
    listed
        .map(|(chain_id, factory)| {
            let chain = ChainId::new(chain_id).ok_or(SettingsError::ChainId(chain_id))?;
            let address = factory.parse();
            Ok((chain, address.map_err(|_| SettingsError::Factory(factory.to_owned()))?))
        })
        .collect()
}

fn listing(network: &NetworkConfig, asset: &AssetConfig) -> Result<Asset, SettingsError> {
    let chain_id = network.chain_id;
    let takes = |method| asset.transfer_methods.contains(&method);
    let through = |method, proxy: &EvmAddress| match takes(method) {
        true => address(proxy.as_str()).map(Some),
        false => Ok(None),
    };
    Ok(Asset {
        chain: ChainId::new(chain_id).ok_or(SettingsError::ChainId(chain_id))?,
        address: address(asset.address.as_str())?,
        name: asset.name.clone(),
        version: asset.version.clone(),
        methods: Methods {
            eip3009: takes(TransferMethod::Eip3009),
            permit2: through(TransferMethod::Permit2, &network.exact_permit2_proxy)?,
            upto: through(TransferMethod::Upto, &network.upto_permit2_proxy)?,
            permits: takes(TransferMethod::Permit2)
                && asset.gas_sponsoring.contains(&GasSponsoring::Eip2612),
        },
    })
}

fn address(text: &str) -> Result<Address, SettingsError> {
    text.parse().map_err(|_| SettingsError::Address(text.to_owned()))
}
