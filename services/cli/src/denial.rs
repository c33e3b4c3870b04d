//! `quittance denial add|remove|list`

use std::process::ExitCode;

use domain::Timestamp;
use runtime::{Clock, Config};
use serde_json::json;
use store::DenialRow;

use crate::args::DenialCommand;
use crate::failure::{Failure, print};
use crate::serve::open_store;

pub(crate) async fn run(config: &Config, command: DenialCommand) -> Result<ExitCode, Failure> {
    let store = open_store(config)?;
    match command {
        DenialCommand::Add { denial, reason } => {
            let now = Timestamp::from_unix_ms(Clock::system().now_unix_ms());
            let is_new = store.deny(&denial, &reason, now).await?;
            print(json!({ "denial": denial.to_string(), "new": is_new }))?;
        }
        DenialCommand::Remove { denial } => {
            if !store.stop_denying(&denial).await? {
                return Err(Failure::Said(format!("{denial} is not denied")));
            }
            print(json!({ "removed": denial.to_string() }))?;
        }
        DenialCommand::List => {
            for DenialRow { denial, reason, created_at } in store.denials().await? {
                let denial = denial.to_string();
                print(json!({ "denial": denial, "reason": reason, "created_at": created_at }))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
