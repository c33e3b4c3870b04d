//! The HTTP client of commands that ask other services.

use std::time::Duration;

use crate::failure::Failure;

/// How long one request may take as a whole, unless it says so itself.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// A client that follows no redirects and knows no proxy.
pub(crate) fn http_client() -> Result<reqwest::Client, Failure> {
    // Another part of the process may have chosen the same provider before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(TIMEOUT)
        .build()
        .map_err(|error| Failure::Said(format!("no HTTP client: {error}")))
}
