//! `quittance`: one binary, every role. See `quittance --help`.

mod api_key;
mod args;
mod audit;
mod demo;
mod failure;
mod migrate;
mod networks;
mod openapi;
mod role;
mod serve;
mod signer;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use runtime::Config;

use crate::args::{Args, Command};
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
    if let Command::Openapi = args.command {
        // It says the same whatever the settings are, and needs none.
        return openapi::run();
    }
    let config = Config::load(args.config.as_deref())?;
    match args.command {
        Command::Serve(roles) => serve::run(&config, &roles.roles()).await,
        Command::Migrate => migrate::run(&config).await,
        Command::Key(command) => api_key::run(&config, command).await,
        Command::Signer(command) => signer::run(&config, command).await,
        Command::Openapi => openapi::run(),
        Command::Audit(args) => audit::run(&config, args).await,
        Command::Demo { deadline_secs, command } => {
            demo::run(&config, Duration::from_secs(deadline_secs), command).await
        }
    }
}
