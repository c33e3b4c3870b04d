//! `quittance migrate`

use std::process::ExitCode;

use runtime::Config;

use crate::failure::{Failure, print};
use crate::serve::open_store;

pub(crate) async fn run(config: &Config) -> Result<ExitCode, Failure> {
    open_store(config)?.migrate().await?;
    print("the ledger's schema is up to date")?;
    Ok(ExitCode::SUCCESS)
}
