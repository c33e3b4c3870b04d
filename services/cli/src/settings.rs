//! `quittance config`

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use runtime::Config;

use crate::failure::{Failure, print};

/// Prints the settings in force without their secrets, and what is doubtful about them.
pub(crate) fn run(file: Option<&Path>) -> Result<ExitCode, Failure> {
    let (config, shown) = Config::load_shown(file)?;
    print(format_args!("{shown:#}"))?;
    for issue in config.warnings() {
        // Whoever reads standard output by a program is not to find words there.
        writeln!(std::io::stderr(), "quittance: questionable: {issue}").map_err(Failure::Start)?;
    }
    Ok(ExitCode::SUCCESS)
}
