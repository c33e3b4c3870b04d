//! What the status API takes from the configuration.

use std::collections::HashMap;
use std::time::Duration;

use domain::ChainId;
use runtime::Config;
use runtime::config::{Dialect, ResultsConfig};
use runtime::egress::Targets;

use crate::LocalRisk;

/// Waiters of one API key at once, as a share of those of the process: one key alone cannot take
/// the places of all others.
const KEYS_SHARE: usize = 10;

/// How long a look at the signing keys counts: however many ask for them, the ledger is asked twice
/// a minute.
const SIGNING_KEYS_KEPT: Duration = Duration::from_secs(30);

/// What an operator decides about the status API.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The longest a long poll may wait.
    pub max_wait: Duration,
    /// How often a waiting request looks into the ledger by itself.
    pub recheck: Duration,
    /// Requests that may wait at once; further ones are answered at once.
    pub max_waiters: usize,
    /// Requests of one API key that may wait at once.
    pub max_waiters_per_key: usize,
    /// The usual time between blocks of each network: how soon asking again makes sense.
    pub block_times: HashMap<ChainId, Duration>,
    /// Where webhook endpoints may be; the notifier's own rule.
    pub targets: Targets,
    /// How long a look at the installation's signing keys counts.
    pub signing_keys_kept: Duration,
    /// The local risk engine, where it is on.
    pub local_risk: Option<LocalRisk>,
}

impl Settings {
    /// The settings in this configuration.
    pub fn from_config(config: &Config) -> Self {
        let ResultsConfig { listen: _, max_wait_secs, recheck_ms, max_waiters } =
            config.results.clone();
        let engine = &config.risk.engine;
        let block_times = config.networks.iter().filter_map(|network| {
            let chain = ChainId::new(network.chain_id)?;
            Some((chain, Duration::from_millis(network.block_time_ms)))
        });
        Self {
            max_wait: Duration::from_secs(max_wait_secs),
            recheck: Duration::from_millis(recheck_ms),
            max_waiters,
            max_waiters_per_key: (max_waiters / KEYS_SHARE).max(1),
            block_times: block_times.collect(),
            targets: Targets::from_setting(config.notifier.allow_private_targets),
            signing_keys_kept: SIGNING_KEYS_KEPT,
            local_risk: (engine.dialect == Dialect::Local).then(|| LocalRisk {
                session_ttl: Duration::from_secs(engine.session_ttl_secs),
                models: engine.models.clone(),
            }),
        }
    }
}
