//! The keys that the settlement worker signs with.

use std::fmt;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::ReadFile;
use super::environment::{self, SIGNER_KEYS, SIGNER_PASSWORD};
use super::error::ConfigError;
use super::value::{self, RpcUrl};

/// What a network's CAIP-2 id begins with.
const EIP155: &str = "eip155:";

/// Hexadecimal digits of a secp256k1 private key.
const KEY_DIGITS: usize = 64;

/// A key and the chain it signs for.
#[derive(Clone)]
pub struct SignerConfig {
    /// The EIP-155 chain id.
    pub chain_id: u64,
    /// Where it was set, for messages: `signers[0]`, or a variable.
    pub setting: String,
    /// Where the key is.
    pub key: KeySource,
}

/// Where a key is.
#[derive(Clone)]
pub enum KeySource {
    /// Here: `0x` and 64 hexadecimal digits.
    Raw(SecretString),
    /// In an encrypted file (Web3 secret storage).
    Keystore {
        /// The file.
        file: PathBuf,
        /// What it is decrypted with.
        password: SecretString,
    },
    /// In AWS KMS.
    Kms {
        /// Its id or ARN.
        key_id: String,
        /// Its region.
        region: String,
        /// Where KMS is reached, if not where it is for everybody. It may hold a password.
        endpoint_url: Option<RpcUrl>,
    },
}

impl fmt::Debug for SignerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("SignerConfig");
        shown.field("chain_id", &self.chain_id).field("key", &self.key).finish_non_exhaustive()
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw(_) => "Raw(..)",
            Self::Keystore { .. } => "Keystore(..)",
            Self::Kms { .. } => "Kms(..)",
        })
    }
}

/// `[[signers]]` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenSigner {
    chain_id: u64,
    key: Option<SecretString>,
    key_file: Option<String>,
    keystore_file: Option<PathBuf>,
    password: Option<SecretString>,
    password_file: Option<String>,
    kms_key_id: Option<String>,
    kms_region: Option<String>,
    #[serde(default, deserialize_with = "value::unset_if_empty")]
    kms_endpoint_url: Option<RpcUrl>,
}

/// Where secrets outside the file are found.
struct Outside<'a> {
    environment: &'a [(String, String)],
    read_file: &'a ReadFile<'a>,
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
            let outside = Outside { environment, read_file };
            let each = written.iter().enumerate();
            each.map(|(index, signer)| signer.resolve(index, &outside)).collect::<Result<_, _>>()?
        }
    };
    refuse_duplicates(&signers)?;
    Ok(signers)
}

impl WrittenSigner {
    fn resolve(&self, index: usize, outside: &Outside<'_>) -> Result<SignerConfig, ConfigError> {
        let setting = format!("signers[{index}]");
        let ways = [
            self.key.is_some(),
            self.key_file.is_some(),
            self.keystore_file.is_some(),
            self.kms_key_id.is_some(),
        ];
        if ways.into_iter().filter(|is_set| *is_set).count() != 1 {
            let problem = "needs exactly one of key, key_file, keystore_file and kms_key_id";
            return Err(ConfigError::invalid(setting, problem));
        }
        self.refuse_strays(&setting)?;
        let key = match (&self.keystore_file, &self.kms_key_id) {
            (Some(file), _) => {
                let password = self.password(&setting, outside)?;
                KeySource::Keystore { file: file.clone(), password }
            }
            (None, Some(key_id)) => self.kms(&setting, key_id)?,
            (None, None) => self.raw(&setting, outside)?,
        };
        Ok(SignerConfig { chain_id: self.chain_id, setting, key })
    }

    /// A setting of one way beside the key of another was meant for something: nobody knows what.
    fn refuse_strays(&self, setting: &str) -> Result<(), ConfigError> {
        let has_password = self.password.is_some() || self.password_file.is_some();
        if has_password && self.keystore_file.is_none() {
            let problem = "a password belongs to a keystore_file";
            return Err(ConfigError::invalid(setting, problem));
        }
        let has_kms = self.kms_region.is_some() || self.kms_endpoint_url.is_some();
        if has_kms && self.kms_key_id.is_none() {
            let problem = "kms_region and kms_endpoint_url belong to a kms_key_id";
            return Err(ConfigError::invalid(setting, problem));
        }
        Ok(())
    }

    fn raw(&self, setting: &str, outside: &Outside<'_>) -> Result<KeySource, ConfigError> {
        let text = match (&self.key, &self.key_file) {
            (Some(key), _) => key.expose_secret().to_owned(),
            (None, path) => {
                let path = path.as_deref().unwrap_or_default();
                environment::read_secret(&format!("{setting}.key_file"), path, outside.read_file)?
            }
        };
        parse_key(&text).map(KeySource::Raw).ok_or_else(|| malformed_key(setting))
    }

    fn password(&self, setting: &str, outside: &Outside<'_>) -> Result<SecretString, ConfigError> {
        match (&self.password, &self.password_file) {
            (Some(password), None) => Ok(password.clone()),
            (None, Some(path)) => {
                let what = format!("{setting}.password_file");
                Ok(environment::read_secret(&what, path, outside.read_file)?.into())
            }
            (Some(_), Some(_)) => {
                Err(ConfigError::invalid(setting, "has both password and password_file"))
            }
            (None, None) => {
                let found =
                    environment::secret(SIGNER_PASSWORD, outside.environment, outside.read_file)?;
                let (_, password) = found.ok_or_else(|| {
                    let problem = format!(
                        "its keystore_file needs password_file, or {SIGNER_PASSWORD}_FILE for all"
                    );
                    ConfigError::invalid(setting, problem)
                })?;
                Ok(password.into())
            }
        }
    }

    fn kms(&self, setting: &str, key_id: &str) -> Result<KeySource, ConfigError> {
        let region = self.kms_region.as_deref().unwrap_or_default().trim();
        if key_id.trim().is_empty() || region.is_empty() {
            let problem = "kms_key_id and kms_region must both be set";
            return Err(ConfigError::invalid(setting, problem));
        }
        Ok(KeySource::Kms {
            key_id: key_id.trim().to_owned(),
            region: region.to_owned(),
            endpoint_url: self.kms_endpoint_url.clone(),
        })
    }
}

/// `eip155:84532=0x…,0x…,eip155:8453=0x…`: a key without a chain belongs to the chain before it.
fn parse_list(variable: &str, list: &str) -> Result<Vec<SignerConfig>, ConfigError> {
    let entries = list.split([',', '\n', '\r']).map(str::trim);
    let mut signers: Vec<SignerConfig> = Vec::new();
    for (index, entry) in entries.filter(|entry| !entry.is_empty()).enumerate() {
        // The entry itself is never shown: it holds a key.
        let setting = format!("{variable}, entry {}", index + 1);
        let (chain_id, key) = match (entry.split_once('='), signers.last()) {
            (Some((chain, key)), _) => (parse_chain(chain.trim()), key.trim()),
            (None, Some(last)) => (Some(last.chain_id), entry),
            (None, None) => (None, entry),
        };
        let chain_id = chain_id.ok_or_else(|| {
            ConfigError::invalid(&setting, "must be of the form eip155:<chain id>=<key>")
        })?;
        let key = parse_key(key).ok_or_else(|| malformed_key(&setting))?;
        signers.push(SignerConfig { chain_id, setting, key: KeySource::Raw(key) });
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
        let twice = signers[..index]
            .iter()
            .any(|earlier| earlier.chain_id == signer.chain_id && earlier.key.is_same(&signer.key));
        if twice {
            let problem = format!("the same key is given twice for eip155:{}", signer.chain_id);
            return Err(ConfigError::invalid(format!("signer {}", index + 1), problem));
        }
    }
    Ok(())
}

impl KeySource {
    /// Whether both plainly are one key; the same key in two forms shows only when it is used.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Raw(one), Self::Raw(other)) => one.expose_secret() == other.expose_secret(),
            (Self::Keystore { file: one, .. }, Self::Keystore { file: other, .. }) => one == other,
            (
                Self::Kms { key_id, region, .. },
                Self::Kms { key_id: other_id, region: other_region, .. },
            ) => (key_id, region) == (other_id, other_region),
            _ => false,
        }
    }
}
