//! `quittance`: one binary, every role. See `quittance --help`.

mod api_key;
mod args;
mod audit;
mod catalogue;
mod demo;
mod denial;
mod failure;
mod health;
mod http_client;
mod key_terms;
mod migrate;
mod networks;
mod openapi;
mod role;
mod serve;
mod settings;
mod signer;
mod signing_key;
mod verify_receipt;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use runtime::Config;

use crate::args::{Args, Command, ReceiptCommand};
use crate::failure::Failure;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(args)),
        Err(error) => Err(Failure::Start(error)),
    };
    match result {
        Ok(code) => code,
        Err(failure) => {
            // The one line that a person at a terminal needs; the log has the rest.
            failure.report();
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<ExitCode, Failure> {
    let Args { config: file, command } = args;
    let config = || Config::load(file.as_deref());
    match command {
        Command::Serve(roles) => serve::run(&config()?, &roles.roles()).await,
        Command::Migrate => migrate::run(&config()?).await,
        Command::Config => settings::run(file.as_deref()),
        Command::Health { url } => health::run(url, config).await,
        Command::Key(command) => api_key::run(&config()?, command).await,
        Command::Signer(command) => signer::run(&config()?, command).await,
        Command::Denial(command) => denial::run(&config()?, command).await,
        Command::SigningKey(command) => signing_key::run(&config()?, command).await,
        // Whoever was given a receipt has no settings of ours.
        Command::Receipt(ReceiptCommand::Verify(args)) => verify_receipt::run(args).await,
        // It says the same whatever the settings are.
        Command::Openapi => openapi::run(),
        Command::Metrics { json } => catalogue::print(json),
        Command::Audit(args) => audit::run(&config()?, args).await,
        Command::Demo { deadline_secs, command } => {
            demo::run(&config()?, Duration::from_secs(deadline_secs), command).await
        }
    }
}
