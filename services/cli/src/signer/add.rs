//! `quittance signer add`

use std::path::Path;

use chain::Signer;
use domain::{Address, ChainId, SignerId};
use secrecy::SecretString;
use serde_json::json;
use store::Store;

use crate::args::NewSigner;
use crate::failure::{Failure, print};

/// Makes a signer known; with a new key, that is on disk before anybody hears of its address.
pub(super) async fn add(store: &Store, new: NewSigner) -> Result<(), Failure> {
    let NewSigner { network, address, new_keystore, password_file } = new;
    match (address, &new_keystore, &password_file) {
        (Some(address), _, _) => register(store, network, address, None).await,
        (None, Some(file), Some(password_file)) => {
            // Before the key is made: without a ledger there is nothing to add it to.
            store.ping().await?;
            let address = make_key(file, password_file).await?;
            register(store, network, address, Some(file)).await.map_err(|failure| {
                let (file, retry) = (file.display(), "signer add --address");
                Failure::Said(format!(
                    "{failure}; the key of {address} is in {file}: finish with {retry} {address}"
                ))
            })
        }
        _ => Err(Failure::Said("give --address, or --new-keystore with --password-file".into())),
    }
}

async fn make_key(file: &Path, password_file: &Path) -> Result<Address, Failure> {
    let password = std::fs::read_to_string(password_file).map_err(|error| {
        Failure::Said(format!("--password-file: cannot read {}: {error}", password_file.display()))
    })?;
    let password = SecretString::from(password.trim().to_owned());
    let made = Signer::new_keystore(file, &password).await;
    let signer =
        made.map_err(|error| Failure::Said(format!("--new-keystore {}: {error}", file.display())))?;
    Ok(signer.address())
}

async fn register(
    store: &Store,
    network: ChainId,
    address: Address,
    file: Option<&Path>,
) -> Result<(), Failure> {
    let id = SignerId::new(runtime::new_uuid());
    let is_new = store.register_signer(id, network, address).await?;
    let known = store.list_signers().await?;
    let known = known.iter().find(|row| (row.chain, row.address) == (network, address));
    print(json!({
        "id": known.map_or(id, |row| row.id),
        "network": network,
        "address": address,
        "new": is_new,
        "keystore_file": file.map(|file| file.display().to_string()),
    }))
}
