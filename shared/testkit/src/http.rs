//! The HTTP client of the tests.

use std::time::Duration;

/// Longer than the longest long poll.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A client that follows no redirects and knows no proxy.
pub fn client() -> reqwest::Client {
    builder().build().unwrap()
}

/// The same as a proxy in front of a service: it begins with HTTP/2, and brings all requests over one connection.
pub fn proxy() -> reqwest::Client {
    builder().http2_prior_knowledge().build().unwrap()
}

fn builder() -> reqwest::ClientBuilder {
    // Whoever comes second finds a provider installed, which is as good.
    rustls::crypto::ring::default_provider().install_default().ok();
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(TIMEOUT)
}
