//! Calling URLs that strangers chose: webhooks.
//!
//! Only public addresses are ever dialled. A name is looked up once per connection, *all* its answers are judged, and
//! exactly the judged addresses are dialled, so that no second look-up can give another answer.

mod address;
mod failure;
mod resolver;
mod target;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName};
use reqwest::dns::Resolve;
use reqwest::header::RETRY_AFTER;
use reqwest::{Certificate, Client, redirect, retry};

pub use self::address::{Forbidden, forbidden};
pub use self::failure::EgressError;
pub use self::target::{Blocked, Targets};

use self::resolver::{FilteringResolver, SystemResolver};

/// How long look-up, connection and TLS handshake may take together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The most that is read of a response's body, in bytes.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// The most that is kept of a response's body, in bytes.
const MAX_EXCERPT_BYTES: usize = 4 * 1024;

/// The longest header value that is kept, in characters.
const MAX_HEADER_CHARS: usize = 128;

/// The most that an HTTP/2 peer may send as headers, in bytes.
const MAX_HEADER_LIST_BYTES: u32 = 16 * 1024;

/// Connections kept open to one host while idle.
const MAX_IDLE_PER_HOST: usize = 64;

/// How long an idle connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// A receiver's wish for the further deliveries.
const WEBHOOK_DELIVERY: HeaderName = HeaderName::from_static("webhook-delivery");

/// How an [`EgressClient`] is made.
pub struct EgressOptions {
    /// Which URLs may be called.
    pub targets: Targets,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// Certificate authorities to trust besides the system's.
    pub extra_roots: Vec<Certificate>,
    /// Looks names up; the system's resolver when not set. Its answers are judged like any other's.
    pub resolver: Option<Arc<dyn Resolve>>,
}

impl EgressOptions {
    /// The system's resolver and certificate authorities.
    #[must_use]
    pub fn new(targets: Targets, user_agent: impl Into<String>) -> Self {
        Self { targets, user_agent: user_agent.into(), extra_roots: Vec::new(), resolver: None }
    }
}

impl std::fmt::Debug for EgressOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EgressOptions").field("targets", &self.targets).finish_non_exhaustive()
    }
}

/// The client for URLs that strangers chose. Follows no redirects, uses no proxy, keeps no cookies, never tries again
/// by itself. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct EgressClient {
    client: Client,
    targets: Targets,
}

/// What a receiver answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressResponse {
    /// The HTTP status.
    pub status: u16,
    /// `Retry-After` as it was sent, cut at 128 characters.
    pub retry_after: Option<String>,
    /// `Webhook-Delivery` as it was sent, cut at 128 characters.
    pub webhook_delivery: Option<String>,
    /// The first 4 KiB of the body; what is not printable text is replaced.
    pub body_excerpt: String,
    /// True when the body was longer than the excerpt.
    pub body_cut: bool,
    /// From the call to the last byte read.
    pub duration: Duration,
}

impl EgressClient {
    /// Makes a client.
    ///
    /// # Errors
    /// When the system has no certificate authorities (the package `ca-certificates`), or the user agent is no valid
    /// header.
    pub fn new(options: EgressOptions) -> Result<Self, EgressSetupError> {
        install_tls_provider();
        let resolver = options.resolver.unwrap_or_else(|| Arc::new(SystemResolver::new()));
        let client = Client::builder()
            .dns_resolver(FilteringResolver::new(resolver, options.targets))
            .user_agent(options.user_agent)
            .tls_certs_merge(options.extra_roots)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .no_proxy()
            .http2_max_header_list_size(MAX_HEADER_LIST_BYTES)
            .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build()
            .map_err(EgressSetupError)?;
        Ok(Self { client, targets: options.targets })
    }

    /// Posts `body` to `url`. `deadline` bounds everything: look-up, connection, request and the response's body.
    ///
    /// # Errors
    /// See [`EgressError`]. An answer of any status is no error.
    pub async fn post(
        &self,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
        deadline: Duration,
    ) -> Result<EgressResponse, EgressError> {
        let started = Instant::now();
        let url = self.targets.check(url)?;
        let request = self.client.post(url).headers(headers).body(body);
        let attempt = async {
            let response = request.send().await.map_err(|error| EgressError::of(&error))?;
            read(response, started).await
        };
        tokio::time::timeout(deadline, attempt).await.unwrap_or(Err(EgressError::Timeout))
    }
}

impl EgressResponse {
    /// True for a status of the 200s.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }
}

/// The client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the webhook client; are the system's certificate authorities installed?")]
pub struct EgressSetupError(#[source] reqwest::Error);

/// Makes *ring* the process's cryptography for TLS. Doing so again changes nothing.
pub fn install_tls_provider() {
    // The only failure is that a provider is there already.
    let _already_there = rustls::crypto::ring::default_provider().install_default();
}

async fn read(
    mut response: reqwest::Response,
    started: Instant,
) -> Result<EgressResponse, EgressError> {
    let status = response.status().as_u16();
    let retry_after = text_of(response.headers(), &RETRY_AFTER);
    let webhook_delivery = text_of(response.headers(), &WEBHOOK_DELIVERY);
    let mut body = Vec::new();
    while body.len() < MAX_BODY_BYTES {
        match response.chunk().await.map_err(|error| EgressError::of(&error))? {
            Some(chunk) => {
                body.extend_from_slice(&chunk[..chunk.len().min(MAX_BODY_BYTES - body.len())])
            }
            None => break,
        }
    }
    Ok(EgressResponse {
        status,
        retry_after,
        webhook_delivery,
        body_excerpt: excerpt(&body),
        body_cut: body.len() > MAX_EXCERPT_BYTES,
        duration: started.elapsed(),
    })
}

fn text_of(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    Some(value.chars().take(MAX_HEADER_CHARS).collect())
}

/// Text that any database and terminal can take: no control characters but line breaks and tabs.
fn excerpt(body: &[u8]) -> String {
    let kept = &body[..body.len().min(MAX_EXCERPT_BYTES)];
    let printable = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    let text = String::from_utf8_lossy(kept);
    text.chars().map(|c| if printable(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}
