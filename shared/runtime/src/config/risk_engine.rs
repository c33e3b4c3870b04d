//! The risk engine: its settings, and the variables of others that mean the same.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use toml::{Table, Value};

use super::environment;
use super::error::{ConfigError, Issue};
use super::value::{self, PublicUrl};
use super::{Config, ReadFile};

/// `[risk.engine]`: whom risk asks besides the chain.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RiskEngineConfig {
    /// How it is spoken to.
    pub dialect: Dialect,
    /// Where a remote one is.
    #[serde(deserialize_with = "value::unset_if_empty")]
    pub url: Option<PublicUrl>,
    /// What a remote one is shown; empty where it asks for nothing.
    pub token: SecretString,
    /// How long one call may take as a whole, in milliseconds.
    pub timeout_ms: u64,
    /// Calls under way at once.
    pub max_in_flight: usize,
    /// From this score on a human decides.
    pub review_from: f64,
    /// From this score on a payment is refused.
    pub deny_from: f64,
    /// Where a remote one takes receipts of payments that are over, below its URL; empty for none.
    pub receipt_path: String,
    /// Whether every payment needs a session, whatever its tenant's policy says.
    pub require_session: bool,
    /// How long a session with the local one lasts, in seconds.
    pub session_ttl_secs: u64,
    /// The models that agents may use, by the local one; none stands for any.
    pub models: Vec<String>,
}

/// How an engine is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// There is none.
    Off,
    /// Our own, in this installation.
    Local,
    /// Sessions, traces and decisions, as x402-secure speaks.
    Trustline,
    /// A number between 0 and 1.
    Score,
}

const LOCAL_RISK: &str = "PROXY_LOCAL_RISK";
const LOCAL_RISK_TTL: &str = "PROXY_LOCAL_RISK_TTL";
const ENGINE_URL: &str = "RISK_ENGINE_URL";
const ENGINE_COMPAT: &str = "RISK_ENGINE_COMPAT";
const INTERNAL_TOKEN: &str = "RISK_INTERNAL_TOKEN";

/// The variables of x402-secure that are honoured, besides files of secrets.
pub(super) const VARIABLES: [&str; 5] =
    [LOCAL_RISK, LOCAL_RISK_TTL, ENGINE_URL, ENGINE_COMPAT, INTERNAL_TOKEN];

const SETTING: &str = "risk.engine";

/// What x402-secure takes for yes, and for no.
const YES: [&str; 3] = ["1", "true", "yes"];
const NO: [&str; 3] = ["0", "false", "no"];
const COMPAT_YES: [&str; 5] = ["trustline", "tl", "on", "true", "1"];
const COMPAT_NO: [&str; 4] = ["off", "false", "0", "no"];

/// A setting that a variable makes: the key in `[risk.engine]`, its value, and the variable.
pub(super) struct Alias {
    pub(super) key: &'static str,
    pub(super) value: Value,
    pub(super) variable: String,
}

/// What the variables of x402-secure set.
pub(super) fn aliases(
    environment: &[(String, String)],
    read_file: &ReadFile<'_>,
) -> Result<Vec<Alias>, ConfigError> {
    let lookup = |name| environment::lookup(environment, name);
    let mut aliases = Vec::new();
    if let Some(text) = lookup(LOCAL_RISK)
        && yes_or_no(LOCAL_RISK, text, &YES, &NO)?
    {
        let value = Value::String("local".to_owned());
        aliases.push(Alias { key: "dialect", value, variable: LOCAL_RISK.to_owned() });
    }
    if let Some(text) = lookup(LOCAL_RISK_TTL) {
        let secs = text.parse().map_err(|_| {
            ConfigError::invalid(LOCAL_RISK_TTL, "must be a whole number of seconds")
        })?;
        let (key, value) = ("session_ttl_secs", Value::Integer(secs));
        aliases.push(Alias { key, value, variable: LOCAL_RISK_TTL.to_owned() });
    }
    if let Some(url) = lookup(ENGINE_URL) {
        let value = Value::String(url.trim_end_matches('/').to_owned());
        aliases.push(Alias { key: "url", value, variable: ENGINE_URL.to_owned() });
    }
    if let Some(text) = lookup(ENGINE_COMPAT)
        && yes_or_no(ENGINE_COMPAT, text, &COMPAT_YES, &COMPAT_NO)?
    {
        // What else it changes is how a proxy passes sessions on, and none is passed on here.
        let value = Value::String("trustline".to_owned());
        aliases.push(Alias { key: "dialect", value, variable: ENGINE_COMPAT.to_owned() });
    }
    if let Some((variable, token)) = environment::secret(INTERNAL_TOKEN, environment, read_file)? {
        aliases.push(Alias { key: "token", value: Value::String(token), variable });
    }
    Ok(aliases)
}

fn yes_or_no(variable: &str, text: &str, yes: &[&str], no: &[&str]) -> Result<bool, ConfigError> {
    let text = text.trim().to_ascii_lowercase();
    match (yes.contains(&text.as_str()), no.contains(&text.as_str())) {
        (true, _) => Ok(true),
        (_, true) => Ok(false),
        (false, false) => {
            let problem = format!("must be one of {} or {}", yes.join(", "), no.join(", "));
            Err(ConfigError::invalid(variable, problem))
        }
    }
}

/// The section of the merged layers.
pub(super) fn section(merged: &mut Table) -> Option<&mut Table> {
    merged.get_mut("risk")?.as_table_mut()?.get_mut("engine")?.as_table_mut()
}

/// Settings that contradict each other.
pub(super) fn errors(config: &Config) -> Vec<Issue> {
    let engine = &config.risk.engine;
    let issue = |key: &str, problem: &str| Issue::new(format!("{SETTING}.{key}"), problem);
    let remote = matches!(engine.dialect, Dialect::Trustline | Dialect::Score);
    let mut issues = Vec::new();
    if remote && engine.url.is_none() {
        let problem = "is not set, and risk.engine.dialect (RISK_ENGINE_COMPAT) is of a remote \
                       engine: set RISK_ENGINE_URL";
        issues.push(issue("url", problem));
    }
    if !remote && engine.url.is_some() {
        let problem = "is set (RISK_ENGINE_URL), and risk.engine.dialect (PROXY_LOCAL_RISK) says \
                       that no remote engine is asked";
        issues.push(issue("url", problem));
    }
    if !remote && !engine.token.expose_secret().is_empty() {
        let problem = "is set (RISK_INTERNAL_TOKEN), and risk.engine.dialect (PROXY_LOCAL_RISK) \
                       says that no remote engine is asked";
        issues.push(issue("token", problem));
    }
    if !engine.token.expose_secret().bytes().all(|byte| byte.is_ascii_graphic()) {
        issues.push(issue("token", "(RISK_INTERNAL_TOKEN) must be printable ASCII without spaces"));
    }
    let scores = 0.0..=1.0;
    if !scores.contains(&engine.review_from) || !scores.contains(&engine.deny_from) {
        issues.push(issue("review_from", "and risk.engine.deny_from must be between 0 and 1"));
    }
    let path = &engine.receipt_path;
    let is_path = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
    if !path.is_empty() && !is_path {
        issues.push(issue("receipt_path", "must be empty or a path that begins with /"));
    }
    if engine.review_from > engine.deny_from {
        issues.push(issue("review_from", "must not be more than risk.engine.deny_from"));
    }
    issues
}
