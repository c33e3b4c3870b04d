//! The configuration of a whole process: compiled-in defaults, one TOML file, the environment, in rising precedence.

mod check;
mod environment;
mod error;
mod facilitator;
mod http;
mod jwt;
mod known_networks;
mod layers;
mod limits;
mod network;
mod risk_engine;
mod sections;
mod shown;
mod signer;
mod value;

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use self::environment::PASSED_BY;
pub use self::error::{ConfigError, Issue};
pub use self::facilitator::{FacilitatorConfig, ListedAddress, OpenLimitsConfig};
pub use self::http::{HostName, HttpConfig, Origin};
pub use self::jwt::{JwtAlgorithm, JwtConfig};
pub use self::limits::LimitsConfig;
pub use self::network::{AssetConfig, GasSponsoring, NetworkConfig, TransferMethod};
pub use self::risk_engine::{Dialect, RiskEngineConfig};
pub use self::sections::{
    DatabaseConfig, HttpClientConfig, IngressConfig, LogConfig, MetricsConfig, NotifierConfig,
    ReconcilerConfig, RedisConfig, ResultsConfig, RiskConfig, SettlementConfig, ShutdownConfig,
};
pub use self::signer::{KeySource, SignerConfig};
pub use self::value::{EvmAddress, PublicUrl, RpcUrl, ValueError};
use crate::fail_point::ArmedPoint;

/// The variable that names the configuration file when the command line does not.
const CONFIG_VARIABLE: &str = "QUITTANCE_CONFIG";

/// Every setting with its default and what it means.
pub const DEFAULTS: &str = include_str!("../quittance.default.toml");

/// Everything a process is told from outside. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Config {
    /// The ledger.
    pub database: DatabaseConfig,
    /// The queue.
    pub redis: RedisConfig,
    /// Calls to other services.
    pub http_client: HttpClientConfig,
    /// What both APIs say to browsers and proxies.
    pub http: HttpConfig,
    /// How often both APIs may be asked.
    pub limits: LimitsConfig,
    /// Tokens of an identity provider.
    pub jwt: JwtConfig,
    /// The payment API.
    pub ingress: IngressConfig,
    /// What stock x402 servers ask of it.
    pub facilitator: FacilitatorConfig,
    /// The status API.
    pub results: ResultsConfig,
    /// Metrics and health.
    pub metrics: MetricsConfig,
    /// Logging.
    pub log: LogConfig,
    /// Stopping.
    pub shutdown: ShutdownConfig,
    /// The risk worker.
    pub risk: RiskConfig,
    /// The settlement worker.
    pub settlement: SettlementConfig,
    /// The webhook worker.
    pub notifier: NotifierConfig,
    /// The reconciler.
    pub reconciler: ReconcilerConfig,
    /// The chains; chain ids are unique.
    pub networks: Vec<NetworkConfig>,
    /// The keys to settle with; only the settlement worker has them.
    pub signers: Vec<SignerConfig>,
    /// Where to die, for tests; always none in a build without fail points.
    pub fail_point: Option<ArmedPoint>,
}

/// Reads a file that holds settings or a secret.
pub type ReadFile<'a> = dyn Fn(&Path) -> io::Result<String> + 'a;

impl Config {
    /// Reads the process's environment and the file at `path`, or the one that `QUITTANCE_CONFIG` names.
    ///
    /// # Errors
    /// See [`ConfigError`]; the process should print it and end.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        Self::load_shown(path).map(|(config, _)| config)
    }

    /// As [`Config::load`], and the settings in force as they may be shown: without secrets.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn load_shown(path: Option<&Path>) -> Result<(Self, serde_json::Value), ConfigError> {
        let environment = environment::of_process()?;
        let named = environment.iter().find(|(name, _)| name == CONFIG_VARIABLE);
        let (what, path) = match (path, named) {
            (Some(path), _) => ("--config", Some(path.to_owned())),
            (None, Some((_, value))) if !value.is_empty() => {
                (CONFIG_VARIABLE, Some(PathBuf::from(value)))
            }
            (None, _) => (CONFIG_VARIABLE, None),
        };
        let read_file = |path: &Path| std::fs::read_to_string(path);
        let text = match path {
            Some(path) => read_file(&path).map_err(|source| ConfigError::Unreadable {
                what: what.to_owned(),
                path,
                source,
            })?,
            None => String::new(),
        };
        Self::shown_from_sources(&text, &environment, &read_file)
    }

    /// Makes a configuration from the text of a file (possibly empty), the environment's pairs and a way to read
    /// the files in which secrets are kept. Reads nothing else.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn from_sources(
        file_text: &str,
        environment: &[(String, String)],
        read_file: &ReadFile<'_>,
    ) -> Result<Self, ConfigError> {
        Self::shown_from_sources(file_text, environment, read_file).map(|(config, _)| config)
    }

    /// As [`Config::from_sources`], and the settings in force as they may be shown: without secrets.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn shown_from_sources(
        file_text: &str,
        environment: &[(String, String)],
        read_file: &ReadFile<'_>,
    ) -> Result<(Self, serde_json::Value), ConfigError> {
        let layers = layers::Layers::merge(file_text, environment, read_file)?;
        let settings: Settings = layers.read()?;
        let signers = signer::resolve(&settings.signers, environment, read_file)?;
        let shown = layers.shown(&signers);
        let config =
            Self { fail_point: environment::fail_point(environment)?, ..settings.with(signers) };
        let errors = check::errors(&config);
        if errors.is_empty() { Ok((config, shown)) } else { Err(ConfigError::Invalid(errors)) }
    }

    /// Settings that are allowed and probably not meant; to be logged at start-up.
    #[must_use]
    pub fn warnings(&self) -> Vec<Issue> {
        check::warnings(self)
    }

    /// The network with this chain id.
    #[must_use]
    pub fn network(&self, chain_id: u64) -> Option<&NetworkConfig> {
        self.networks.iter().find(|network| network.chain_id == chain_id)
    }
}

/// The merged layers as they are written, before signers are looked up.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    database: DatabaseConfig,
    redis: RedisConfig,
    http_client: HttpClientConfig,
    http: HttpConfig,
    limits: LimitsConfig,
    jwt: JwtConfig,
    ingress: IngressConfig,
    facilitator: FacilitatorConfig,
    results: ResultsConfig,
    metrics: MetricsConfig,
    log: LogConfig,
    shutdown: ShutdownConfig,
    risk: RiskConfig,
    settlement: SettlementConfig,
    notifier: NotifierConfig,
    reconciler: ReconcilerConfig,
    #[serde(default)]
    networks: Vec<NetworkConfig>,
    #[serde(default)]
    signers: Vec<signer::WrittenSigner>,
}

impl Settings {
    fn with(self, signers: Vec<SignerConfig>) -> Config {
        Config {
            database: self.database,
            redis: self.redis,
            http_client: self.http_client,
            http: self.http,
            limits: self.limits,
            jwt: self.jwt,
            ingress: self.ingress,
            facilitator: self.facilitator,
            results: self.results,
            metrics: self.metrics,
            log: self.log,
            shutdown: self.shutdown,
            risk: self.risk,
            settlement: self.settlement,
            notifier: self.notifier,
            reconciler: self.reconciler,
            networks: self.networks,
            signers,
            fail_point: None,
        }
    }
}
