//! `[[networks]]`: the chains payments are settled on.

use serde::Deserialize;

use super::value::{self, EvmAddress, PublicUrl, RpcUrl};

/// Multicall3's address on nearly every chain (<https://www.multicall3.com>).
const MULTICALL3: &str = "0xcA11bde05977b3631167028862bE2a173976CA11";

/// x402's proxy for Permit2 and the scheme `exact`, at the address that its reference publishes.
const EXACT_PERMIT2_PROXY: &str = "0x402085c248EeA27D92E8b30b2C58ed07f9E20001";

/// x402's proxy for Permit2 and the scheme `upto`, at the address that its reference publishes.
const UPTO_PERMIT2_PROXY: &str = "0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002";

/// One chain.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// The EIP-155 chain id.
    pub chain_id: u64,
    /// The network's name in x402 version 1, where the protocol has no other.
    #[serde(default, deserialize_with = "value::unset_if_empty")]
    pub name: Option<String>,
    /// RPC nodes in order of preference.
    pub rpc_urls: Vec<RpcUrl>,
    /// Blocks after which a payment counts as settled, its own included.
    #[serde(default = "default_confirmations")]
    pub confirmations: u64,
    /// The usual time between blocks, in milliseconds.
    #[serde(default = "default_block_time_ms")]
    pub block_time_ms: u64,
    /// Multicall3.
    #[serde(default = "default_multicall")]
    pub multicall: EvmAddress,
    /// x402's proxy through which Permit2 pays by the scheme `exact`.
    #[serde(default = "default_exact_permit2_proxy")]
    pub exact_permit2_proxy: EvmAddress,
    /// x402's proxy through which Permit2 pays by the scheme `upto`.
    #[serde(default = "default_upto_permit2_proxy")]
    pub upto_permit2_proxy: EvmAddress,
    /// A block explorer's base URL.
    #[serde(default, deserialize_with = "value::unset_if_empty")]
    pub explorer_url: Option<PublicUrl>,
    /// The most ever paid for a unit of gas, in gwei.
    #[serde(default = "default_max_fee_per_gas_gwei")]
    pub max_fee_per_gas_gwei: u64,
    /// Warn when a signer has less of the gas token, in gwei.
    #[serde(default = "default_gas_balance_warn_gwei")]
    pub gas_balance_warn_gwei: u64,
    /// Stop sending when a signer has less of the gas token, in gwei.
    #[serde(default = "default_gas_balance_pause_gwei")]
    pub gas_balance_pause_gwei: u64,
    /// How long one call of a node may take, in milliseconds.
    #[serde(default = "default_rpc_timeout_ms")]
    pub rpc_timeout_ms: u64,
    /// How far back logs are searched for a payment's outcome, in blocks.
    #[serde(default = "default_log_lookback_blocks")]
    pub log_lookback_blocks: u64,
    /// Contracts that may deploy a wallet for its payment (ERC-6492).
    #[serde(default)]
    pub signature_factories: Vec<EvmAddress>,
    /// The tokens payments may be made in; when it is not said, those that are built in.
    #[serde(default)]
    pub assets: Vec<AssetConfig>,
}

impl NetworkConfig {
    /// The network's CAIP-2 id, for example `eip155:84532`.
    #[must_use]
    pub fn caip2(&self) -> String {
        format!("eip155:{}", self.chain_id)
    }
}

/// `[[networks.assets]]`: one token.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssetConfig {
    /// The token contract.
    pub address: EvmAddress,
    /// `name` of the token's EIP-712 domain.
    pub name: String,
    /// `version` of the token's EIP-712 domain.
    pub version: String,
    /// Digits after the point when an amount is shown.
    pub decimals: u8,
    /// The ticker, for people.
    pub symbol: String,
    /// By what payments in it may be authorized; by EIP-3009 alone when it is not said.
    #[serde(default = "default_transfer_methods")]
    pub transfer_methods: Vec<TransferMethod>,
    /// By what Permit2 may be let move the token with the payment, so that its payer needs no gas for
    /// that; by nothing when it is not said.
    #[serde(default)]
    pub gas_sponsoring: Vec<GasSponsoring>,
}

/// By what Permit2 may be let move a token with the payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GasSponsoring {
    /// By a permit of the token (EIP-2612): the extension `eip2612GasSponsoring` of x402.
    Eip2612,
}

/// By what payments in a token may be authorized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransferMethod {
    /// By the token's own authorizations.
    Eip3009,
    /// By Permit2, through x402's proxy.
    Permit2,
    /// By Permit2 up to an amount, through x402's proxy for that.
    Upto,
}

const fn default_confirmations() -> u64 {
    1
}

const fn default_block_time_ms() -> u64 {
    2_000
}

fn default_multicall() -> EvmAddress {
    EvmAddress::parse(MULTICALL3).expect("the constant is an address")
}

fn default_exact_permit2_proxy() -> EvmAddress {
    EvmAddress::parse(EXACT_PERMIT2_PROXY).expect("the constant is an address")
}

fn default_upto_permit2_proxy() -> EvmAddress {
    EvmAddress::parse(UPTO_PERMIT2_PROXY).expect("the constant is an address")
}

fn default_transfer_methods() -> Vec<TransferMethod> {
    vec![TransferMethod::Eip3009]
}

const fn default_max_fee_per_gas_gwei() -> u64 {
    100
}

const fn default_gas_balance_warn_gwei() -> u64 {
    5_000_000
}

const fn default_gas_balance_pause_gwei() -> u64 {
    500_000
}

const fn default_rpc_timeout_ms() -> u64 {
    5_000
}

const fn default_log_lookback_blocks() -> u64 {
    5_000
}
