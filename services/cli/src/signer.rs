//! `quittance signer list|add|pause|resume|events|addresses`

mod add;
mod listing;

use std::process::ExitCode;

use domain::ChainId;
use runtime::Config;
use serde_json::json;
use store::{SignerRow, Store};

use crate::args::{SignerCommand, SignerRef};
use crate::failure::{Failure, print};
use crate::networks::signers;
use crate::serve::open_store;

pub(crate) async fn run(config: &Config, command: SignerCommand) -> Result<ExitCode, Failure> {
    match command {
        SignerCommand::List { table } => listing::list(config, table).await?,
        SignerCommand::Add(new) => add::add(&open_store(config)?, new).await?,
        SignerCommand::Pause { signer, network, reason } => {
            let store = open_store(config)?;
            let signer = find(&store, signer, network).await?;
            let changed = store.pause_signer(signer.id, &reason).await?;
            print(json!({
                "id": signer.id, "address": signer.address, "network": signer.chain,
                "paused_reason": reason, "changed": changed, "in_flight": signer.in_flight,
            }))?;
        }
        SignerCommand::Resume { signer, network } => {
            let store = open_store(config)?;
            let signer = find(&store, signer, network).await?;
            let changed = store.resume_signer(signer.id).await?;
            print(json!({
                "id": signer.id, "address": signer.address, "network": signer.chain,
                "paused_reason": null, "changed": changed,
            }))?;
        }
        SignerCommand::Events { signer, network, last } => {
            let store = open_store(config)?;
            let signer = find(&store, signer, network).await?;
            for event in store.signer_events(signer.id, last).await? {
                print(json!(event))?;
            }
        }
        SignerCommand::Addresses => addresses(config).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The one signer that is meant.
async fn find(
    store: &Store,
    meant: SignerRef,
    network: Option<ChainId>,
) -> Result<SignerRow, Failure> {
    let is_meant = |row: &SignerRow| {
        network.is_none_or(|chain| row.chain == chain)
            && match meant {
                SignerRef::Id(id) => row.id == id,
                SignerRef::Address(address) => row.address == address,
            }
    };
    let mut found: Vec<_> = store.list_signers().await?.into_iter().filter(is_meant).collect();
    match (found.pop(), found.len()) {
        (None, _) => Err(Failure::Said(format!("the ledger knows no signer {meant} there"))),
        (Some(signer), 0) => Ok(signer),
        (Some(_), _) => {
            Err(Failure::Said(format!("{meant} signs on several networks: say which, --network")))
        }
    }
}

async fn addresses(config: &Config) -> Result<(), Failure> {
    for network in &config.networks {
        let Some(chain) = ChainId::new(network.chain_id) else { continue };
        for signer in signers(config, chain).await? {
            print(json!({ "network": chain, "address": signer.address() }))?;
        }
    }
    Ok(())
}
