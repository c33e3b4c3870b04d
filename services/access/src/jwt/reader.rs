//! Reading the keys of an issuer, and reading them again.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use jsonwebtoken::Algorithm;
use runtime::config::{JwtAlgorithm, JwtConfig};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::key_set::{Key, KeySet};
use super::{BadToken, cryptography};

/// How soon the keys are read again for a token of a key that is not known, at the earliest.
const AT_ONCE: Duration = Duration::from_secs(10);

/// How long the keys may take to come.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The longest document of keys, in bytes.
const MOST_BYTES: usize = 256 * 1024;

/// The keys as they were read last. They are kept when they cannot be read again.
#[derive(Debug)]
pub(super) struct KeyReader(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    source: Source,
    taken: Vec<JwtAlgorithm>,
    keys: RwLock<Arc<KeySet>>,
    wanted: Notify,
}

#[derive(Debug)]
enum Source {
    File(PathBuf),
    Url(reqwest::Client, String),
}

/// Why tokens cannot be checked.
#[derive(Debug, thiserror::Error)]
#[error("jwt.jwks: {0}")]
pub struct JwtSetupError(String);

impl KeyReader {
    /// Reads a file at once; what a URL says is there a moment later.
    pub(super) fn open(config: &JwtConfig) -> Result<Self, JwtSetupError> {
        let is_url = config.jwks.starts_with("https://") || config.jwks.starts_with("http://");
        let source = match is_url {
            true => Source::Url(client()?, config.jwks.clone()),
            false => Source::File(config.jwks.clone().into()),
        };
        cryptography::install();
        let taken = config.algorithms.clone();
        let shared = Shared { source, taken, keys: RwLock::default(), wanted: Notify::new() };
        if let Source::File(path) = &shared.source {
            let text = std::fs::read_to_string(path).map_err(|error| {
                JwtSetupError(format!("cannot read {}: {error}", path.display()))
            })?;
            shared.take(&text).map_err(JwtSetupError)?;
        } else {
            shared.wanted.notify_one();
        }
        let shared = Arc::new(shared);
        tokio::spawn(keep(Arc::downgrade(&shared), Duration::from_secs(config.refresh_secs)));
        Ok(Self(shared))
    }

    /// The key that a token names. One that is not known has the keys read again.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Key, BadToken> {
        let keys = Arc::clone(&self.0.keys.read().unwrap_or_else(PoisonError::into_inner));
        let found = keys.find(id, algorithm).cloned();
        if found.as_ref().is_err_and(|why| *why == BadToken::UnknownKey) {
            self.0.wanted.notify_one();
        }
        found
    }
}

fn client() -> Result<reqwest::Client, JwtSetupError> {
    runtime::egress::install_tls_provider();
    reqwest::Client::builder()
        .timeout(TIMEOUT)
        // Who may say which keys are good is whom the operator named, and nobody further on.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .map_err(|error| JwtSetupError(error.to_string()))
}

impl Shared {
    fn take(&self, text: &str) -> Result<(), String> {
        let keys = KeySet::read(text, &self.taken).map_err(|error| error.to_string())?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        Ok(())
    }

    async fn read(&self) -> Result<(), String> {
        let text = match &self.source {
            Source::File(path) => {
                tokio::fs::read_to_string(path).await.map_err(|error| error.to_string())?
            }
            Source::Url(client, url) => fetch(client, url).await?,
        };
        self.take(&text)
    }
}

async fn fetch(client: &reqwest::Client, url: &str) -> Result<String, String> {
    // An error of the client names the URL, which may hold a secret.
    let told = |error: reqwest::Error| error.without_url().to_string();
    let mut response = client.get(url).send().await.map_err(told)?;
    if !response.status().is_success() {
        return Err(format!("it answers {}", response.status().as_u16()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(told)? {
        body.extend_from_slice(&chunk);
        if body.len() > MOST_BYTES {
            return Err(format!("it is longer than {MOST_BYTES} bytes"));
        }
    }
    String::from_utf8(body).map_err(|_| "it is no text".to_owned())
}

/// Reads the keys again every so often, and when somebody asks for one that is not known.
async fn keep(reader: Weak<Shared>, every: Duration) {
    let mut last: Option<Instant> = None;
    loop {
        let Some(shared) = reader.upgrade() else { return };
        // Looked at again soon, since this holds on to a reader that everybody else may have left.
        let due = last.map_or_else(Instant::now, |last| last + every);
        let asked =
            tokio::time::timeout_at(due.min(Instant::now() + AT_ONCE), shared.wanted.notified());
        let is_asked = asked.await.is_ok();
        let now = Instant::now();
        let is_soon = last.is_some_and(|last| now < last + AT_ONCE);
        if now < due && (!is_asked || is_soon) {
            continue;
        }
        last = Some(now);
        if let Err(error) = shared.read().await {
            tracing::warn!(%error, "the keys of tokens cannot be read; those known stay good");
        }
    }
}
