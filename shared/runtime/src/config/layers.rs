//! Merging the layers, and remembering where each setting came from.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::environment::{self, DATABASE_URL, Override, REDIS_URL};
use super::error::{ConfigError, Issue};
use super::{DEFAULTS, ReadFile, SignerConfig, known_networks, risk_engine, shown};
use crate::shape::Mismatch;

/// The section whose entries are addressed by chain id in the environment.
const NETWORKS: &str = "networks";

/// The defaults, the file and the environment as one table.
pub(super) struct Layers {
    merged: Table,
    /// The sections that the file has.
    file_sections: Vec<String>,
    /// From a setting's path to the variable that set it.
    variables: BTreeMap<String, String>,
}

impl Layers {
    pub(super) fn merge(
        file_text: &str,
        environment: &[(String, String)],
        read_file: &ReadFile<'_>,
    ) -> Result<Self, ConfigError> {
        let defaults: Table = DEFAULTS.parse().expect("the compiled-in defaults are valid TOML");
        let file: Table = file_text.parse().map_err(|error| syntax_error(file_text, &error))?;
        let mut layers = Self {
            merged: defaults,
            file_sections: file.keys().cloned().collect(),
            variables: BTreeMap::new(),
        };
        let engine = file.get("risk").and_then(|risk| risk.get("engine"));
        let mut dialect_is_set = engine.is_some_and(|engine| engine.get("dialect").is_some());
        overlay(&mut layers.merged, file);
        layers.merged.get_mut(NETWORKS).into_iter().for_each(known_networks::complete);
        let nodes_read = environment::with_node_files(environment, read_file)?;
        let overrides = environment::overrides(&nodes_read);
        let issues: Vec<_> =
            overrides.iter().filter_map(|setting| layers.apply(setting).err()).collect();
        if !issues.is_empty() {
            return Err(ConfigError::Invalid(issues));
        }
        layers.apply_secret(DATABASE_URL, "database", environment, read_file)?;
        layers.apply_secret(REDIS_URL, "redis", environment, read_file)?;
        dialect_is_set |= layers.variables.contains_key("risk.engine.dialect");
        layers.apply_engine(environment, read_file, dialect_is_set)?;
        Ok(layers)
    }

    /// Sets `[risk.engine]` as the variables of x402-secure say.
    fn apply_engine(
        &mut self,
        environment: &[(String, String)],
        read_file: &ReadFile<'_>,
        mut dialect_is_set: bool,
    ) -> Result<(), ConfigError> {
        let aliases = risk_engine::aliases(environment, read_file)?;
        let implying = aliases.iter().find(|alias| alias.key == "url");
        let implying = implying.map(|alias| alias.variable.clone());
        for risk_engine::Alias { key, value, variable } in aliases {
            let path = format!("risk.engine.{key}");
            if let Some(other) = self.variables.get(&path) {
                let problem = format!("is set together with {other}");
                return Err(ConfigError::invalid(variable, problem));
            }
            let Some(section) = risk_engine::section(&mut self.merged) else { continue };
            if key == "dialect" {
                // Another dialect that was chosen contradicts what its alias says.
                if dialect_is_set && section.get(key) != Some(&value) {
                    let problem = "is set together with another risk.engine.dialect";
                    return Err(ConfigError::invalid(variable, problem));
                }
                dialect_is_set = true;
            }
            section.insert(key.to_owned(), value);
            self.variables.insert(path, variable);
        }
        if let (Some(variable), false) = (implying, dialect_is_set)
            && let Some(section) = risk_engine::section(&mut self.merged)
        {
            section.insert("dialect".to_owned(), Value::String("trustline".to_owned()));
            self.variables.insert("risk.engine.dialect".to_owned(), variable);
        }
        Ok(())
    }

    /// Reads the merged table; unknown settings, wrong types and malformed values are refused.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        serde_path_to_error::deserialize(Value::Table(self.merged.clone())).map_err(|error| {
            let mismatch = Mismatch::from_message(error.inner().message());
            let mut path = error.path().to_string();
            if let Some(field) = &mismatch.field
                && path.rsplit('.').next() != Some(field)
            {
                path = if path == "." { field.clone() } else { format!("{path}.{field}") };
            }
            ConfigError::invalid(format!("{path}{}", self.origin(&path)), mismatch.detail)
        })
    }

    /// The merged table without secrets.
    pub(super) fn shown(&self, signers: &[SignerConfig]) -> serde_json::Value {
        shown::without_secrets(&self.merged, signers)
    }

    fn origin(&self, path: &str) -> String {
        let at_or_below = |known: &str| {
            path.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('['))
        };
        if let Some((_, variable)) = self.variables.iter().find(|(known, _)| at_or_below(known)) {
            return format!(" (from {variable})");
        }
        let section = path.split(['.', '[']).next().unwrap_or_default();
        if self.file_sections.iter().any(|known| known == section) {
            " (in the configuration file)".to_owned()
        } else {
            String::new()
        }
    }

    fn apply(&mut self, setting: &Override<'_>) -> Result<(), Issue> {
        let (path, (table, key)) = self.resolve(setting)?;
        let like = table.get(&key);
        let coerced =
            coerce(setting.value, like).map_err(|problem| Issue::new(setting.variable, problem))?;
        table.insert(key, coerced);
        self.variables.insert(path, setting.variable.to_owned());
        Ok(())
    }

    /// The setting's path in words, the table that holds it, and its key there.
    fn resolve(&mut self, setting: &Override<'_>) -> Result<(String, (&mut Table, String)), Issue> {
        let unknown = || Issue::new(setting.variable, "is not a setting of Quittance");
        match setting.path.as_slice() {
            [networks, chain_id, key] if networks == NETWORKS => {
                let (index, table) = network(&mut self.merged, chain_id).ok_or_else(|| {
                    Issue::new(setting.variable, "there is no such network in the file")
                })?;
                Ok((format!("{NETWORKS}[{index}].{key}"), (table, key.clone())))
            }
            [section, key] => {
                let table = self.merged.get_mut(section).and_then(Value::as_table_mut);
                let table = table.filter(|table| table.contains_key(key)).ok_or_else(unknown)?;
                Ok((format!("{section}.{key}"), (table, key.clone())))
            }
            [section, part, key] => {
                let table = self.merged.get_mut(section).and_then(|table| table.get_mut(part));
                let table = table.and_then(Value::as_table_mut);
                let table = table.filter(|table| table.contains_key(key)).ok_or_else(unknown)?;
                Ok((format!("{section}.{part}.{key}"), (table, key.clone())))
            }
            _ => Err(unknown()),
        }
    }

    /// Sets `<section>.url` from `variable` or the file it names.
    fn apply_secret(
        &mut self,
        variable: &str,
        section: &str,
        environment: &[(String, String)],
        read_file: &ReadFile<'_>,
    ) -> Result<(), ConfigError> {
        let Some((origin, value)) = environment::secret(variable, environment, read_file)? else {
            return Ok(());
        };
        let path = format!("{section}.url");
        if let Some(other) = self.variables.get(&path) {
            return Err(ConfigError::invalid(origin, format!("is set together with {other}")));
        }
        if let Some(table) = self.merged.get_mut(section).and_then(Value::as_table_mut) {
            table.insert("url".to_owned(), Value::String(value));
        }
        self.variables.insert(path, origin);
        Ok(())
    }
}

/// Puts `upper` over `lower`: tables key by key, anything else as a whole.
fn overlay(lower: &mut Table, upper: Table) {
    for (key, value) in upper {
        match (lower.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => overlay(below, above),
            (_, value) => {
                lower.insert(key, value);
            }
        }
    }
}

fn network<'a>(merged: &'a mut Table, chain_id: &str) -> Option<(usize, &'a mut Table)> {
    let wanted: i64 = chain_id.parse().ok()?;
    let networks = merged.get_mut(NETWORKS)?.as_array_mut()?;
    networks
        .iter_mut()
        .enumerate()
        .filter_map(|(index, network)| Some((index, network.as_table_mut()?)))
        .find(|(_, network)| network.get("chain_id").and_then(Value::as_integer) == Some(wanted))
}

/// Gives a variable's text the type of the value that it replaces.
fn coerce(text: &str, like: Option<&Value>) -> Result<Value, String> {
    match like {
        Some(Value::Integer(_)) => {
            text.parse().map(Value::Integer).map_err(|_| "must be a whole number".to_owned())
        }
        Some(Value::Boolean(_)) => {
            text.parse().map(Value::Boolean).map_err(|_| "must be true or false".to_owned())
        }
        Some(Value::Array(_)) => Ok(Value::Array(
            text.split(',').map(|part| Value::String(part.trim().to_owned())).collect(),
        )),
        Some(Value::String(_)) => Ok(Value::String(text.to_owned())),
        Some(Value::Float(_)) => {
            text.parse().map(Value::Float).map_err(|_| "must be a number".to_owned())
        }
        Some(Value::Datetime(_) | Value::Table(_)) => {
            Err("cannot be set from the environment".to_owned())
        }
        // A network's optional setting that the file leaves out: its form decides.
        None => Ok(text.parse().map_or_else(|_| Value::String(text.to_owned()), Value::Integer)),
    }
}

/// The parser's own rendering quotes the line, which may hold a password: only the place and the message are kept.
fn syntax_error(text: &str, error: &toml::de::Error) -> ConfigError {
    let end = error.span().map_or(0, |span| span.start).min(text.len());
    let before = text.get(..end).unwrap_or_default();
    ConfigError::Syntax {
        line: before.matches('\n').count() + 1,
        column: before.chars().rev().take_while(|c| *c != '\n').count() + 1,
        message: error.message().to_owned(),
    }
}
