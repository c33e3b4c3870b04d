//! Encrypted key files: Web3 secret storage, version 3.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use alloy::signers::k256::elliptic_curve::rand_core::OsRng;
use alloy::signers::local::{LocalSignerError, PrivateKeySigner};
use eth_keystore::{EthKeystore, KdfType, KdfparamsType};
use secrecy::{ExposeSecret, SecretString};

/// The longest file that is read; real ones have about 500 bytes.
const FILE_LIMIT: u64 = 64 * 1024;

/// The most memory that deriving the password's key may take, in bytes: what go-ethereum's files ask
/// for (N = 2^18, r = 8).
const MEMORY_LIMIT: u64 = 256 << 20;

/// The most work of scrypt, as N·r·p: eight times that of go-ethereum's files.
const SCRYPT_LIMIT: u64 = 1 << 24;

/// The most rounds of PBKDF2.
const PBKDF2_LIMIT: u32 = 10_000_000;

/// The derived key: half of it decrypts, half of it proves.
const DERIVED_LEN: u8 = 32;

/// The shortest password that a new file is protected with, in characters: whoever has the file can
/// try short ones out.
const PASSWORD_MIN: usize = 12;

/// Why a key file cannot be used, or made.
#[derive(Debug, thiserror::Error)]
pub enum KeystoreError {
    /// It cannot be read, or not be written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// There is a file of this name.
    #[error("there is a file of this name already")]
    Exists,
    /// It is longer than any key file.
    #[error("it is longer than a key file can be")]
    TooLong,
    /// It is not a key file of version 3, or it is damaged.
    #[error("it is not an encrypted key file (Web3 secret storage, version 3)")]
    Malformed,
    /// Its parameters ask for more memory or time than any honest file.
    #[error("decrypting it would take more memory or time than is given to it")]
    Costly,
    /// The password is wrong, or the file is damaged.
    #[error("the password is wrong, or the file is damaged")]
    WrongPassword,
    /// The password is too short for a new file.
    #[error("the password must have at least {PASSWORD_MIN} characters")]
    WeakPassword,
}

/// The key in this file.
pub(super) fn open(
    path: &Path,
    password: &SecretString,
) -> Result<PrivateKeySigner, KeystoreError> {
    check(&read(path)?)?;
    PrivateKeySigner::decrypt_keystore(path, password.expose_secret()).map_err(reason)
}

fn read(path: &Path) -> Result<String, KeystoreError> {
    let mut text = String::new();
    let read = File::open(path)?.take(FILE_LIMIT + 1).read_to_string(&mut text);
    match read {
        Ok(length) if u64::try_from(length).is_ok_and(|length| length > FILE_LIMIT) => {
            Err(KeystoreError::TooLong)
        }
        Ok(_) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(KeystoreError::Malformed),
        Err(error) => Err(error.into()),
    }
}

/// Refuses what the library would take as it is: foreign ciphers, lengths that make it panic, and
/// parameters that make it take all memory.
fn check(text: &str) -> Result<(), KeystoreError> {
    let file: EthKeystore = serde_json::from_str(text).map_err(|_| KeystoreError::Malformed)?;
    let crypto = &file.crypto;
    let lengths = (crypto.cipherparams.iv.len(), crypto.ciphertext.len(), crypto.mac.len());
    if file.version != 3 || crypto.cipher != "aes-128-ctr" || lengths != (16, 32, 32) {
        return Err(KeystoreError::Malformed);
    }
    let (is_known, is_costly) = match (&crypto.kdf, &crypto.kdfparams) {
        (KdfType::Scrypt, KdfparamsType::Scrypt { dklen, n, p, r, .. }) => {
            let work = u64::from(*n).saturating_mul(u64::from(*r));
            let is_known =
                *dklen == DERIVED_LEN && *n > 1 && n.is_power_of_two() && *p > 0 && *r > 0;
            let is_costly = work.saturating_mul(128) > MEMORY_LIMIT
                || work.saturating_mul(u64::from(*p)) > SCRYPT_LIMIT;
            (is_known, is_costly)
        }
        (KdfType::Pbkdf2, KdfparamsType::Pbkdf2 { c, dklen, prf, .. }) => {
            (*dklen == DERIVED_LEN && *c > 0 && prf == "hmac-sha256", *c > PBKDF2_LIMIT)
        }
        _ => (false, false),
    };
    match (is_known, is_costly) {
        (false, _) => Err(KeystoreError::Malformed),
        (true, true) => Err(KeystoreError::Costly),
        (true, false) => Ok(()),
    }
}

fn reason(error: LocalSignerError) -> KeystoreError {
    match error {
        LocalSignerError::EthKeystoreError(eth_keystore::KeystoreError::MacMismatch) => {
            KeystoreError::WrongPassword
        }
        LocalSignerError::IoError(error) => error.into(),
        LocalSignerError::EthKeystoreError(eth_keystore::KeystoreError::StdIo(error)) => {
            io::Error::other(error).into()
        }
        _ => KeystoreError::Malformed,
    }
}

/// Makes a new key, and the file that keeps it.
pub(super) fn create(
    path: &Path,
    password: &SecretString,
) -> Result<PrivateKeySigner, KeystoreError> {
    if password.expose_secret().chars().count() < PASSWORD_MIN {
        return Err(KeystoreError::WeakPassword);
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    // The library writes over what is there and lets everybody read it, so it writes elsewhere.
    let aside = tempfile::Builder::new()
        .prefix(".new-key-")
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir_in(&folder)?;
    let password = password.expose_secret();
    let (key, name) =
        PrivateKeySigner::new_keystore(aside.path(), &mut OsRng, password, None).map_err(reason)?;
    let written = aside.path().join(name);
    // Money will be sent to the address: the file must give the key back.
    let read_back = PrivateKeySigner::decrypt_keystore(&written, password).map_err(reason)?;
    if read_back.address() != key.address() {
        return Err(KeystoreError::Malformed);
    }
    keep(&read(&written)?, path, &folder)?;
    Ok(key)
}

/// Writes a file that was not there, and sees to it that it is there after a power cut, too.
fn keep(text: &str, path: &Path, folder: &Path) -> Result<(), KeystoreError> {
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(KeystoreError::Exists);
        }
        Err(error) => return Err(error.into()),
    };
    let kept = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| File::open(folder)?.sync_all());
    if let Err(error) = kept {
        // Half a key file is of no use, and stands in the way of the next attempt.
        let _ = std::fs::remove_file(path);
        return Err(error.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
