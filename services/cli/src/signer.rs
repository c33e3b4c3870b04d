//! `quittance signer list|addresses`

use std::process::ExitCode;

use domain::ChainId;
use runtime::Config;
use serde_json::json;

use crate::args::SignerCommand;
use crate::failure::{Failure, print};
use crate::networks::signers;
use crate::serve::open_store;

pub(crate) async fn run(config: &Config, command: SignerCommand) -> Result<ExitCode, Failure> {
    match command {
        SignerCommand::List => list(config).await?,
        SignerCommand::Addresses => addresses(config)?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(config: &Config) -> Result<(), Failure> {
    for signer in open_store(config)?.list_signers().await? {
        let (owner, until) = signer.lease.unzip();
        print(json!({
            "id": signer.id,
            "network": signer.chain,
            "address": signer.address,
            "next_nonce": signer.next_nonce,
            "lease_owner": owner.map(|owner| owner.to_string()),
            "lease_until": until,
            "lease_epoch": signer.epoch,
            "paused_reason": signer.paused_reason,
        }))?;
    }
    Ok(())
}

fn addresses(config: &Config) -> Result<(), Failure> {
    for network in &config.networks {
        let Some(chain) = ChainId::new(network.chain_id) else { continue };
        for signer in signers(config, chain)? {
            print(json!({ "network": chain, "address": signer.address() }))?;
        }
    }
    Ok(())
}
