//! From the settings of networks to the nodes and signers that the workers use.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chain::{BreakerPolicy, KmsKey, Node, NodeConfig, Signer};
use domain::{Address, ChainId, U256};
use reconciler::audit::AuditNetwork;
use risk::RiskNetwork;
use runtime::config::{KeySource, NetworkConfig};
use runtime::{Clock, Config};
use secrecy::SecretString;
use settlement::{Policy, SettlementNetwork};
use x402::{Asset, Methods, TokenDomain};

use crate::failure::Failure;

const WEI_PER_GWEI: u128 = 1_000_000_000;

/// How long AWS KMS may take to sign. Within it the payments of a round wait, and nothing else.
const KMS_TIMEOUT: Duration = Duration::from_secs(5);

/// How often the balance of a signer at work is read.
const GAS_LOOK_EVERY: Duration = Duration::from_secs(30);

fn chain_id(network: &NetworkConfig) -> Result<ChainId, Failure> {
    ChainId::new(network.chain_id)
        .ok_or_else(|| Failure::Said(format!("{} is not a chain id", network.chain_id)))
}

/// A process's nodes, one for each network: its roles share what is known of every URL.
#[derive(Debug, Default)]
pub(crate) struct Nodes(HashMap<ChainId, Node>);

impl Nodes {
    /// A node for each network, each behind all its URLs; they are connected to when first asked.
    pub(crate) fn open(config: &Config) -> Result<Self, Failure> {
        let http = chain::HttpClient::new();
        let nodes = config.networks.iter().map(|network| {
            let node = open(&http, network)?;
            Ok((node.chain(), node))
        });
        nodes.collect::<Result<_, Failure>>().map(Self)
    }

    /// Every node.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Node> {
        self.0.values()
    }

    /// The node of this network.
    pub(crate) fn of(&self, network: &NetworkConfig) -> Result<Node, Failure> {
        let chain = chain_id(network)?;
        let node = self.0.get(&chain).cloned();
        node.ok_or_else(|| Failure::Said(format!("network {chain} has no node")))
    }
}

fn open(http: &chain::HttpClient, network: &NetworkConfig) -> Result<Node, Failure> {
    let chain = chain_id(network)?;
    let unusable = |what: &str| Failure::Said(format!("network {chain}: {what}"));
    let urls = network.rpc_urls.iter().map(|url| SecretString::from(url.expose().to_owned()));
    let multicall = network.multicall.as_str().parse();
    let factories: Result<HashSet<Address>, _> =
        network.signature_factories.iter().map(|factory| factory.as_str().parse()).collect();
    let config = NodeConfig {
        chain,
        urls: urls.collect(),
        timeout: Duration::from_millis(network.rpc_timeout_ms),
        block_time: Duration::from_millis(network.block_time_ms),
        breaker: BreakerPolicy::default(),
        multicall: multicall.map_err(|_| unusable("multicall is not an address"))?,
        signature_factories: factories
            .map_err(|_| unusable("one of signature_factories is not an address"))?,
        log_lookback_blocks: network.log_lookback_blocks,
        now: || Clock::system().now_unix_secs(),
    };
    Node::new(http, config).map_err(|error| unusable(&error.to_string()))
}

/// The networks as risk sees them.
pub(crate) fn for_risk(
    config: &Config,
    nodes: &Nodes,
) -> Result<HashMap<ChainId, RiskNetwork>, Failure> {
    let networks = config.networks.iter().map(|network| {
        let seen = RiskNetwork {
            node: nodes.of(network)?,
            confirmations: network.confirmations,
            tokens: Arc::new(tokens(network)?),
            min_remaining_secs: seconds(config.settlement.min_remaining_secs),
        };
        Ok((chain_id(network)?, seen))
    });
    networks.collect()
}

/// The domains in which a network's tokens are signed for.
fn tokens(network: &NetworkConfig) -> Result<HashMap<Address, TokenDomain>, Failure> {
    let chain = chain_id(network)?;
    let domains = network.assets.iter().map(|asset| {
        let address: Address = asset
            .address
            .as_str()
            .parse()
            .map_err(|_| Failure::Said(format!("network {chain}: an asset is no address")))?;
        let (name, version) = (asset.name.clone(), asset.version.clone());
        Ok((
            address,
            TokenDomain::new(&Asset { chain, address, name, version, methods: Methods::EIP3009 }),
        ))
    });
    domains.collect()
}

/// The networks as the audit sees them.
pub(crate) fn for_audit(config: &Config, nodes: &Nodes) -> Result<Vec<AuditNetwork>, Failure> {
    let networks = config.networks.iter().map(|network| {
        let assets: Result<Vec<Address>, _> =
            network.assets.iter().map(|asset| asset.address.as_str().parse()).collect();
        Ok(AuditNetwork {
            node: nodes.of(network)?,
            assets: assets.map_err(|_| {
                Failure::Said(format!("network {}: an asset is no address", network.caip2()))
            })?,
            confirmations: network.confirmations,
        })
    });
    networks.collect()
}

/// The networks as settlement sees them: those with at least one key. Key files are decrypted here,
/// and AWS KMS is asked for its addresses.
pub(crate) async fn for_settlement(
    config: &Config,
    nodes: &Nodes,
) -> Result<Vec<SettlementNetwork>, Failure> {
    let mut networks = Vec::new();
    for network in &config.networks {
        let signers = signers(config, chain_id(network)?).await?;
        if signers.is_empty() {
            tracing::warn!(network = %network.caip2(), "no key: nothing is settled here");
            continue;
        }
        let policy = policy(config, network);
        networks.push(SettlementNetwork { node: nodes.of(network)?, signers, policy });
    }
    if networks.is_empty() {
        return Err(Failure::Said("no network has a signing key: nothing can be settled".into()));
    }
    Ok(networks)
}

/// The configured signers of a network, each once.
pub(crate) async fn signers(config: &Config, chain: ChainId) -> Result<Vec<Signer>, Failure> {
    let mut signers: Vec<Signer> = Vec::new();
    for configured in config.signers.iter().filter(|signer| signer.chain_id == chain.get()) {
        let refused = |why: String| Failure::Said(format!("{}: {why}", configured.setting));
        let signer = signer(&configured.key).await.map_err(refused)?;
        if signers.iter().any(|earlier| earlier.address() == signer.address()) {
            let address = signer.address();
            return Err(refused(format!("signs for {address} on {chain}, as one before it does")));
        }
        signers.push(signer);
    }
    Ok(signers)
}

/// Finds a key, or says in words why that failed.
async fn signer(key: &KeySource) -> Result<Signer, String> {
    match key {
        KeySource::Raw(key) => Signer::from_key(key).map_err(|error| error.to_string()),
        KeySource::Keystore { file, password } => Signer::from_keystore(file, password)
            .await
            .map_err(|error| format!("keystore_file {}: {error}", file.display())),
        KeySource::Kms { key_id, region, endpoint_url } => {
            let key = KmsKey {
                key_id: key_id.clone(),
                region: region.clone(),
                endpoint_url: endpoint_url.as_ref().map(|url| url.expose().to_owned()),
                timeout: KMS_TIMEOUT,
            };
            let found = Box::pin(Signer::from_kms(&key)).await;
            found.map_err(|error| format!("kms_key_id {key_id}: {error}"))
        }
    }
}

fn policy(config: &Config, network: &NetworkConfig) -> Policy {
    let settlement = &config.settlement;
    Policy {
        max_batch: settlement.max_batch,
        max_lanes: settlement.max_lanes,
        max_in_flight: settlement.max_in_flight,
        lease: Duration::from_secs(settlement.lease_secs),
        bump_after_blocks: settlement.bump_after_blocks,
        min_remaining_secs: seconds(settlement.min_remaining_secs),
        confirmations: network.confirmations,
        max_fee_per_gas: u128::from(network.max_fee_per_gas_gwei).saturating_mul(WEI_PER_GWEI),
        block_time: Duration::from_millis(network.block_time_ms),
        gas_look_every: GAS_LOOK_EVERY,
        gas_warn_wei: wei(network.gas_balance_warn_gwei),
        gas_pause_wei: wei(network.gas_balance_pause_gwei),
    }
}

fn wei(gwei: u64) -> U256 {
    U256::from(u128::from(gwei).saturating_mul(WEI_PER_GWEI))
}

fn seconds(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}
