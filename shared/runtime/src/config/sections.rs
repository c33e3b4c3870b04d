//! The settings, one structure per concern. Defaults and explanations are in `quittance.default.toml`.

use std::net::SocketAddr;

use secrecy::SecretString;
use serde::Deserialize;

use super::risk_engine::RiskEngineConfig;
use super::value::{self, PublicUrl};

/// `[database]`: the ledger.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseConfig {
    /// PostgreSQL URL.
    pub url: SecretString,
    /// Connections this process may hold.
    pub max_connections: u32,
    /// How long a request may wait for a connection, in milliseconds.
    pub acquire_timeout_ms: u64,
}

/// `[redis]`: the queue.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisConfig {
    /// Redis URL.
    pub url: SecretString,
    /// Put in front of every key.
    pub prefix: String,
}

/// `[http_client]`: calls to other services of the operator's choice.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpClientConfig {
    /// How long one call may take as a whole, in milliseconds.
    pub timeout_ms: u64,
    /// Connections kept open to one host while idle.
    pub max_idle_per_host: usize,
    /// How long an idle connection is kept, in seconds.
    pub idle_timeout_secs: u64,
}

/// `[ingress]`: the payment API.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngressConfig {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Where clients reach the API, for absolute status URLs.
    #[serde(deserialize_with = "value::unset_if_empty")]
    pub public_url: Option<PublicUrl>,
    /// How many proxies stand in front, each of which says in `X-Forwarded-For` who called it.
    pub trusted_proxies: u32,
    /// The longest request body, in bytes.
    pub max_body_bytes: usize,
    /// The smallest remaining time of `validBefore`, in seconds.
    pub min_validity_secs: u64,
    /// The longest window ahead, in seconds.
    pub max_validity_secs: u64,
    /// Whether signatures are taken that only a contract wallet can judge.
    pub contract_wallets: bool,
    /// The most payments stored in one statement.
    pub max_batch: usize,
    /// Submissions worked on at once; further ones are asked to come back.
    pub max_in_flight: usize,
    /// While more payments than this wait for risk and settlement, no further ones are taken.
    pub max_backlog: u64,
    /// `Retry-After` of a 202, in seconds.
    pub status_retry_after_secs: u32,
    /// `Retry-After` of a 503 while payments cannot be stored, in seconds.
    pub unavailable_retry_after_secs: u32,
}

/// `[results]`: the status, event and operator API.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResultsConfig {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// The longest a long poll may wait, in seconds.
    pub max_wait_secs: u64,
    /// How often a waiting request looks into the ledger by itself, in milliseconds.
    pub recheck_ms: u64,
    /// Long polls and streams served at once.
    pub max_waiters: usize,
}

/// `[metrics]`: metrics and health.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsConfig {
    /// Address to listen on.
    pub listen: SocketAddr,
}

/// `[log]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// A level, or directives as `tracing_subscriber::EnvFilter` reads them.
    pub level: String,
}

/// `[shutdown]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShutdownConfig {
    /// How long a stopping process may take to finish what is under way, in seconds.
    pub drain_secs: u64,
}

/// `[risk]`: the risk worker.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RiskConfig {
    /// Payments in work at once.
    pub concurrency: usize,
    /// The most payments judged with one look at the chain.
    pub max_batch: usize,
    /// How long a decision holds, in seconds.
    pub decision_validity_secs: u64,
    /// Whom risk asks besides the chain.
    pub engine: RiskEngineConfig,
}

/// `[settlement]`: the settlement worker.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettlementConfig {
    /// Payments in work at once.
    pub concurrency: usize,
    /// The most payments in one transaction.
    pub max_batch: usize,
    /// Signers that one process holds at once.
    pub max_lanes: usize,
    /// Unmined transactions per signer.
    pub max_in_flight: usize,
    /// How long a signer stays with a silent process, in seconds.
    pub lease_secs: u64,
    /// Blocks after which an unmined transaction is replaced.
    pub bump_after_blocks: u64,
    /// A payment with less validity left is not broadcast, in seconds.
    pub min_remaining_secs: u64,
}

/// `[notifier]`: the webhook worker.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotifierConfig {
    /// Calls under way at once.
    pub concurrency: usize,
    /// How long one call may take as a whole, in milliseconds.
    pub timeout_ms: u64,
    /// Development only: allows http, any port and private addresses.
    pub allow_private_targets: bool,
    /// The `User-Agent` of the calls.
    pub user_agent: String,
}

/// `[reconciler]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReconcilerConfig {
    /// How often the ledger is searched for due payments, in milliseconds.
    pub interval_ms: u64,
    /// The most payments woken in one round.
    pub batch: usize,
    /// How often ledger and chain are compared, in seconds.
    pub audit_interval_secs: u64,
    /// The most blocks compared in one audit, and how many the first one looks back.
    pub audit_blocks: u64,
}
