//! Which environment variables are ours and what they set.

use std::ffi::OsString;

use super::error::ConfigError;
use super::{Issue, ReadFile, risk_engine};
use crate::fail_point::{ArmedPoint, FailPointError};

/// What our variables begin with.
const PREFIX: &str = "QUITTANCE_";

/// Divides section and key, since keys have single underscores.
const DIVIDER: &str = "__";

/// What is put behind a secret's variable to name a file that holds it.
const FILE_SUFFIX: &str = "_FILE";

pub(super) const DATABASE_URL: &str = "DATABASE_URL";
pub(super) const REDIS_URL: &str = "REDIS_URL";
pub(super) const SIGNER_KEYS: &str = "QUITTANCE_SIGNER_KEYS";
pub(super) const SIGNER_PASSWORD: &str = "QUITTANCE_SIGNER_PASSWORD";

/// What stands before and behind the chain id in the variable of a network's nodes.
const NETWORKS_PREFIX: &str = "QUITTANCE_NETWORKS__";
const NODES_SUFFIX: &str = "__RPC_URLS";

/// Arms a fail point; no variable of ours in a build that has none.
const FAIL_POINT: &str = "QUITTANCE_FAIL_POINT";

/// Variables that may be set beside the settings: the file's name, and what the local stack reads and exports.
pub const PASSED_BY: &[&str] = &[
    "QUITTANCE_CONFIG",
    "QUITTANCE_LOCAL_DIR",
    "QUITTANCE_RPC_URL",
    "QUITTANCE_CHAIN_ID",
    "QUITTANCE_TOKEN",
    "QUITTANCE_MULTICALL",
    "QUITTANCE_PG_ADMIN_URL",
    "QUITTANCE_PG_BIN_DIR",
    "QUITTANCE_LOCAL_INSTALL",
    "QUITTANCE_BIN",
];

/// One setting from the environment.
#[derive(Debug)]
pub(super) struct Override<'a> {
    pub(super) variable: &'a str,
    /// Section, then key; for networks: `networks`, chain id, key.
    pub(super) path: Vec<String>,
    pub(super) value: &'a str,
}

/// Our variables of this process; the only place that looks at its environment.
pub(super) fn of_process() -> Result<Vec<(String, String)>, ConfigError> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((ours(name)?, value)))
        .map(readable)
        .collect()
}

/// The settings among the variables, in the order of their names.
pub(super) fn overrides(environment: &[(String, String)]) -> Vec<Override<'_>> {
    let mut found: Vec<_> = environment.iter().filter_map(as_override).collect();
    found.sort_by_key(|setting| setting.variable);
    found
}

/// The variables, with the nodes of networks read from the files that `…__RPC_URLS_FILE` names, one URL a line or
/// separated by commas: such URLs hold keys.
pub(super) fn with_node_files(
    environment: &[(String, String)],
    read_file: &ReadFile<'_>,
) -> Result<Vec<(String, String)>, ConfigError> {
    let named = environment.iter().map(|(variable, path)| {
        let Some(name) = variable.strip_suffix(FILE_SUFFIX).filter(|name| is_node_list(name))
        else {
            return Ok(Some((variable.clone(), path.clone())));
        };
        if path.is_empty() {
            return Ok(None);
        }
        if lookup(environment, name).is_some() {
            return Err(ConfigError::invalid(name, format!("is set together with {variable}")));
        }
        let text = read_secret(variable, path, read_file)?;
        let urls: Vec<_> =
            text.split(['\n', ',']).map(str::trim).filter(|url| !url.is_empty()).collect();
        Ok(Some((name.to_owned(), urls.join(","))))
    });
    named.filter_map(Result::transpose).collect()
}

fn is_node_list(name: &str) -> bool {
    name.starts_with(NETWORKS_PREFIX) && name.ends_with(NODES_SUFFIX)
}

/// A secret's value and the variable it came from: `NAME` itself, or the file that `NAME_FILE` names.
pub(super) fn secret(
    name: &str,
    environment: &[(String, String)],
    read_file: &ReadFile<'_>,
) -> Result<Option<(String, String)>, ConfigError> {
    let file_variable = format!("{name}{FILE_SUFFIX}");
    match (lookup(environment, name), lookup(environment, &file_variable)) {
        (Some(_), Some(_)) => {
            Err(ConfigError::invalid(name, format!("is set together with {file_variable}")))
        }
        (Some(value), None) => Ok(Some((name.to_owned(), value.to_owned()))),
        (None, Some(path)) => {
            let value = read_secret(&file_variable, path, read_file)?;
            Ok(Some((file_variable, value)))
        }
        (None, None) => Ok(None),
    }
}

/// The fail point that is armed, in a build that has them.
pub(super) fn fail_point(
    environment: &[(String, String)],
) -> Result<Option<ArmedPoint>, ConfigError> {
    if !cfg!(feature = "fail-points") {
        return Ok(None);
    }
    let armed = lookup(environment, FAIL_POINT).map(str::parse).transpose();
    armed.map_err(|error: FailPointError| ConfigError::invalid(FAIL_POINT, error.to_string()))
}

/// The content of a secret's file without the line's end.
pub(super) fn read_secret(
    what: &str,
    path: &str,
    read_file: &ReadFile<'_>,
) -> Result<String, ConfigError> {
    let text = read_file(path.as_ref()).map_err(|source| ConfigError::Unreadable {
        what: what.to_owned(),
        path: path.into(),
        source,
    })?;
    Ok(text.trim().to_owned())
}

pub(super) fn lookup<'a>(environment: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let (_, value) = environment.iter().find(|(key, _)| key == name)?;
    // Compose files pass unset variables on as empty ones.
    (!value.is_empty()).then_some(value)
}

fn as_override((variable, value): &(String, String)) -> Option<Override<'_>> {
    let setting = variable.strip_prefix(PREFIX)?;
    let bare = variable.strip_suffix(FILE_SUFFIX).unwrap_or(variable);
    let elsewhere = PASSED_BY.contains(&variable.as_str())
        || (cfg!(feature = "fail-points") && variable == FAIL_POINT)
        || bare == SIGNER_KEYS
        || bare == SIGNER_PASSWORD;
    if elsewhere {
        return None;
    }
    let path = setting.split(DIVIDER).map(str::to_ascii_lowercase).collect();
    Some(Override { variable, path, value })
}

fn ours(name: OsString) -> Option<String> {
    let name = name.into_string().ok()?;
    let bare = name.strip_suffix(FILE_SUFFIX).unwrap_or(&name);
    let ours = name.starts_with(PREFIX) || bare == DATABASE_URL || bare == REDIS_URL;
    (ours || risk_engine::VARIABLES.contains(&bare)).then_some(name)
}

fn readable((name, value): (String, OsString)) -> Result<(String, String), ConfigError> {
    match value.into_string() {
        Ok(value) => Ok((name, value)),
        Err(_) => Err(ConfigError::Invalid(vec![Issue::new(name, "is not valid UTF-8")])),
    }
}
