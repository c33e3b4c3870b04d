//! `quittance openapi`

use std::io::Write;
use std::process::ExitCode;

use crate::failure::Failure;

/// Prints the document of the HTTP API, as both services serve it.
pub(crate) fn run() -> Result<ExitCode, Failure> {
    let document = reference::document::assemble([ingress::api(), results::api()]);
    let text = reference::document::to_text(&document);
    std::io::stdout().write_all(text.as_bytes()).map_err(Failure::Start)?;
    Ok(ExitCode::SUCCESS)
}
