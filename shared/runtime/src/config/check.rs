//! What types cannot say: ranges, uniqueness and settings that contradict each other.

use std::collections::HashSet;

use secrecy::{ExposeSecret, SecretString};

use super::error::Issue;
use super::{
    AssetConfig, Config, NetworkConfig, TransferMethod, facilitator, jwt, known_networks, limits,
    risk_engine,
};

const DATABASE_SCHEMES: &[&str] = &["postgres://", "postgresql://"];
const REDIS_SCHEMES: &[&str] =
    &["redis://", "rediss://", "valkey://", "valkeys://", "redis+unix://", "unix://"];

/// Tokens have at most this many decimals; more would be a slip.
const MAX_DECIMALS: u8 = 36;

/// Decisions that hold for less than this are often stale before their payment's turn comes, in seconds.
const SHORT_DECISION_SECS: u64 = 30;

/// What to write for a network of which no token is built in.
const NO_TOKEN: &str = "no token of this network is built in: list one or more as [[networks.assets]], each with address, \
    name and version (of its EIP-712 domain), decimals and symbol";

/// Settings with which the process must not start.
pub(super) fn errors(config: &Config) -> Vec<Issue> {
    let mut issues = Vec::new();
    issues.extend(bad_url("database.url", "DATABASE_URL", &config.database.url, DATABASE_SCHEMES));
    issues.extend(bad_url("redis.url", "REDIS_URL", &config.redis.url, REDIS_SCHEMES));
    issues.extend(zeros(config));
    issues.extend(risk_engine::errors(config));
    issues.extend(facilitator::errors(config));
    issues.extend(jwt::errors(config));
    if config.ingress.min_validity_secs >= config.ingress.max_validity_secs {
        issues.push(Issue::new(
            "ingress.min_validity_secs",
            "must be less than ingress.max_validity_secs, or no payment can be accepted",
        ));
    }
    issues.extend(duplicates("networks", "chain_id", config.networks.iter().map(|n| n.chain_id)));
    let names = config.networks.iter().filter_map(|n| n.name.as_deref());
    issues.extend(duplicates("networks", "name", names));
    issues.extend(config.networks.iter().flat_map(network_errors));
    for signer in &config.signers {
        if config.network(signer.chain_id).is_none() {
            issues.push(Issue::new(
                "signers",
                format!("there is a key for eip155:{}, which is not configured", signer.chain_id),
            ));
        }
    }
    issues
}

/// Settings that are allowed and probably not meant.
pub(super) fn warnings(config: &Config) -> Vec<Issue> {
    let (ingress, results) = (&config.ingress, &config.results);
    let sends_none = config.settlement.min_remaining_secs >= ingress.min_validity_secs;
    let rechecks_late = results.recheck_ms > results.max_wait_secs.saturating_mul(1_000);
    let lets_go = config.shutdown.drain_secs.saturating_mul(1_000) < config.notifier.timeout_ms;
    let candidates = [
        (
            config.networks.is_empty(),
            "networks",
            "none is configured: no payment can be accepted or settled",
        ),
        (
            sends_none,
            "settlement.min_remaining_secs",
            "is not less than ingress.min_validity_secs: a payment may be accepted that is never broadcast",
        ),
        (
            rechecks_late,
            "results.recheck_ms",
            "is longer than results.max_wait_secs: a long poll never looks again by itself",
        ),
        (
            config.risk.decision_validity_secs < SHORT_DECISION_SECS,
            "risk.decision_validity_secs",
            "is so short that many decisions are made twice",
        ),
        (
            lets_go,
            "shutdown.drain_secs",
            "is less than notifier.timeout_ms: a stopping process may cut webhook calls off",
        ),
        (
            config.notifier.allow_private_targets,
            "notifier.allow_private_targets",
            "is on: webhooks can reach this network's inside; for development only",
        ),
    ];
    let chosen = candidates.into_iter().filter(|(applies, _, _)| *applies);
    let mut issues: Vec<_> =
        chosen.map(|(_, setting, problem)| Issue::new(setting, problem)).collect();
    issues.extend(shared_listener(config));
    issues
}

fn bad_url(setting: &str, variable: &str, url: &SecretString, schemes: &[&str]) -> Option<Issue> {
    let url = url.expose_secret();
    if url.is_empty() {
        let problem = format!("is not set: set {variable} or {variable}_FILE");
        return Some(Issue::new(setting, problem));
    }
    let known = schemes.iter().any(|scheme| url.starts_with(scheme));
    (!known).then(|| Issue::new(setting, format!("must begin with {}", schemes.join(" or "))))
}

fn zeros(config: &Config) -> Vec<Issue> {
    let counts = [
        ("database.max_connections", u64::from(config.database.max_connections)),
        ("database.acquire_timeout_ms", config.database.acquire_timeout_ms),
        ("http_client.timeout_ms", config.http_client.timeout_ms),
        ("jwt.refresh_secs", config.jwt.refresh_secs),
        ("ingress.max_body_bytes", wide(config.ingress.max_body_bytes)),
        ("ingress.max_batch", wide(config.ingress.max_batch)),
        ("ingress.max_in_flight", wide(config.ingress.max_in_flight)),
        ("ingress.max_backlog", config.ingress.max_backlog),
        ("results.recheck_ms", config.results.recheck_ms),
        ("results.max_waiters", wide(config.results.max_waiters)),
        ("risk.concurrency", wide(config.risk.concurrency)),
        ("risk.max_batch", wide(config.risk.max_batch)),
        ("risk.decision_validity_secs", config.risk.decision_validity_secs),
        ("risk.engine.timeout_ms", config.risk.engine.timeout_ms),
        ("risk.engine.max_in_flight", wide(config.risk.engine.max_in_flight)),
        ("risk.engine.session_ttl_secs", config.risk.engine.session_ttl_secs),
        ("settlement.concurrency", wide(config.settlement.concurrency)),
        ("settlement.max_batch", wide(config.settlement.max_batch)),
        ("settlement.max_lanes", wide(config.settlement.max_lanes)),
        ("settlement.max_in_flight", wide(config.settlement.max_in_flight)),
        ("settlement.lease_secs", config.settlement.lease_secs),
        ("settlement.bump_after_blocks", config.settlement.bump_after_blocks),
        ("notifier.concurrency", wide(config.notifier.concurrency)),
        ("notifier.timeout_ms", config.notifier.timeout_ms),
        ("reconciler.interval_ms", config.reconciler.interval_ms),
        ("reconciler.batch", wide(config.reconciler.batch)),
        ("reconciler.audit_interval_secs", config.reconciler.audit_interval_secs),
        ("reconciler.audit_blocks", config.reconciler.audit_blocks),
    ];
    let mut issues = zero_issues("", &counts);
    issues.extend(zero_issues("", &facilitator::counts(config)));
    issues.extend(zero_issues("", &limits::counts(config)));
    issues
}

fn network_errors(network: &NetworkConfig) -> Vec<Issue> {
    let prefix = format!("network {}: ", network.caip2());
    let counts = [
        ("chain_id", network.chain_id),
        ("rpc_urls (number of them)", wide(network.rpc_urls.len())),
        ("confirmations", network.confirmations),
        ("block_time_ms", network.block_time_ms),
        ("max_fee_per_gas_gwei", network.max_fee_per_gas_gwei),
        ("rpc_timeout_ms", network.rpc_timeout_ms),
        ("log_lookback_blocks", network.log_lookback_blocks),
    ];
    let mut issues = zero_issues(&prefix, &counts);
    if network.assets.is_empty() {
        let problem = match known_networks::has_assets(network.chain_id) {
            true => "is empty: list the tokens to settle in, or leave it out for the built-in ones",
            false => NO_TOKEN,
        };
        issues.push(Issue::new(format!("{prefix}assets"), problem));
    }
    if network.gas_balance_pause_gwei > network.gas_balance_warn_gwei {
        issues.push(Issue::new(
            format!("{prefix}gas_balance_pause_gwei"),
            "must not be more than gas_balance_warn_gwei",
        ));
    }
    let addresses = network.assets.iter().map(|asset| asset.address.as_str().to_ascii_lowercase());
    issues.extend(duplicates(&format!("{prefix}assets"), "address", addresses));
    let mute = network.assets.iter().filter(|asset| asset.transfer_methods.is_empty());
    issues.extend(mute.map(|asset| {
        Issue::new(
            format!("{prefix}asset {}", asset.address),
            "has no transfer_methods, so that nothing can be paid in it",
        )
    }));
    let is_idle = |asset: &&AssetConfig| {
        !asset.gas_sponsoring.is_empty()
            && !asset.transfer_methods.contains(&TransferMethod::Permit2)
    };
    issues.extend(network.assets.iter().filter(is_idle).map(|asset| {
        Issue::new(
            format!("{prefix}asset {}", asset.address),
            "has gas_sponsoring, which is for Permit2, and no permit2 among its transfer_methods",
        )
    }));
    let endless = network.assets.iter().filter(|asset| asset.decimals > MAX_DECIMALS);
    issues.extend(endless.map(|asset| {
        Issue::new(format!("{prefix}asset {}", asset.address), "has more decimals than any token")
    }));
    issues
}

fn zero_issues(prefix: &str, counts: &[(&str, u64)]) -> Vec<Issue> {
    let zeros = counts.iter().filter(|(_, count)| *count == 0);
    zeros
        .map(|(setting, _)| Issue::new(format!("{prefix}{setting}"), "must be at least 1"))
        .collect()
}

fn duplicates<T>(setting: &str, key: &str, values: impl Iterator<Item = T>) -> Vec<Issue>
where
    T: std::hash::Hash + Eq + Clone + std::fmt::Display,
{
    let mut seen = HashSet::new();
    let again = values.filter(|value| !seen.insert(value.clone()));
    again.map(|value| Issue::new(setting, format!("two entries have the {key} {value}"))).collect()
}

fn shared_listener(config: &Config) -> Option<Issue> {
    let listeners = [config.ingress.listen, config.results.listen, config.metrics.listen];
    let fixed: Vec<_> = listeners.iter().filter(|listen| listen.port() != 0).collect();
    let distinct: HashSet<_> = fixed.iter().collect();
    (distinct.len() < fixed.len()).then(|| {
        Issue::new(
            "listen",
            "two listeners share an address: their roles cannot run in one process",
        )
    })
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
