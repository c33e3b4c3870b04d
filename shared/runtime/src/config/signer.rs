//! The keys that the settlement worker signs with.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::ReadFile;
use super::environment::{self, SIGNER_KEYS};
use super::error::ConfigError;

/// What a network's CAIP-2 id begins with.
const EIP155: &str = "eip155:";

/// Hexadecimal digits of a secp256k1 private key.
const KEY_DIGITS: usize = 64;

/// A key and the chain it signs for.
#[derive(Clone)]
pub struct SignerConfig {
    /// The EIP-155 chain id.
    pub chain_id: u64,
    /// The private key: `0x` and 64 hexadecimal digits.
    pub key: SecretString,
}

impl fmt::Debug for SignerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignerConfig").field("chain_id", &self.chain_id).finish_non_exhaustive()
    }
}

/// `[[signers]]` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenSigner {
    chain_id: u64,
    key: Option<SecretString>,
    key_file: Option<String>,
}

/// Collects the keys of the file or of the environment and checks their form.
pub(super) fn resolve(
    written: &[WrittenSigner],
    environment: &[(String, String)],
    read_file: &ReadFile<'_>,
) -> Result<Vec<SignerConfig>, ConfigError> {
    let signers = match environment::secret(SIGNER_KEYS, environment, read_file)? {
        Some((variable, _)) if !written.is_empty() => {
            return Err(ConfigError::invalid(variable, "is set together with [[signers]]"));
        }
        Some((variable, list)) => parse_list(&variable, &list)?,
        None => {
            let each = written.iter().enumerate();
            each.map(|(index, signer)| signer.resolve(index, read_file))
                .collect::<Result<_, _>>()?
        }
    };
    refuse_duplicates(&signers)?;
    Ok(signers)
}

impl WrittenSigner {
    fn resolve(&self, index: usize, read_file: &ReadFile<'_>) -> Result<SignerConfig, ConfigError> {
        let setting = format!("signers[{index}]");
        let text = match (&self.key, &self.key_file) {
            (Some(key), None) => key.expose_secret().to_owned(),
            (None, Some(path)) => {
                environment::read_secret(&format!("{setting}.key_file"), path, read_file)?
            }
            (Some(_), Some(_)) | (None, None) => {
                return Err(ConfigError::invalid(setting, "needs either key or key_file"));
            }
        };
        let key = parse_key(&text).ok_or_else(|| malformed_key(&setting))?;
        Ok(SignerConfig { chain_id: self.chain_id, key })
    }
}

/// `eip155:84532=0x…,0x…,eip155:8453=0x…`: a key without a chain belongs to the chain before it.
fn parse_list(variable: &str, list: &str) -> Result<Vec<SignerConfig>, ConfigError> {
    let entries = list.split([',', '\n', '\r']).map(str::trim);
    let mut signers: Vec<SignerConfig> = Vec::new();
    for (index, entry) in entries.filter(|entry| !entry.is_empty()).enumerate() {
        // The entry itself is never shown: it holds a key.
        let place = format!("{variable}, entry {}", index + 1);
        let (chain_id, key) = match (entry.split_once('='), signers.last()) {
            (Some((chain, key)), _) => (parse_chain(chain.trim()), key.trim()),
            (None, Some(last)) => (Some(last.chain_id), entry),
            (None, None) => (None, entry),
        };
        let chain_id = chain_id.ok_or_else(|| {
            ConfigError::invalid(&place, "must be of the form eip155:<chain id>=<key>")
        })?;
        let key = parse_key(key).ok_or_else(|| malformed_key(&place))?;
        signers.push(SignerConfig { chain_id, key });
    }
    Ok(signers)
}

fn parse_chain(text: &str) -> Option<u64> {
    text.strip_prefix(EIP155)?.parse().ok()
}

fn parse_key(text: &str) -> Option<SecretString> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let hex = digits.len() == KEY_DIGITS && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let zero = digits.bytes().all(|b| b == b'0');
    (hex && !zero).then(|| SecretString::from(format!("0x{}", digits.to_ascii_lowercase())))
}

fn malformed_key(place: &str) -> ConfigError {
    ConfigError::invalid(place, "the key must be 0x and 64 hexadecimal digits, not all zero")
}

fn refuse_duplicates(signers: &[SignerConfig]) -> Result<(), ConfigError> {
    for (index, signer) in signers.iter().enumerate() {
        let twice = signers[..index].iter().any(|earlier| {
            earlier.chain_id == signer.chain_id
                && earlier.key.expose_secret() == signer.key.expose_secret()
        });
        if twice {
            let problem = format!("the same key is given twice for eip155:{}", signer.chain_id);
            return Err(ConfigError::invalid(format!("signer {}", index + 1), problem));
        }
    }
    Ok(())
}
