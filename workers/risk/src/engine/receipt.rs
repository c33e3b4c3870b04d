//! Telling an engine how a payment ended that it has decided on.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chain::{Breaker, BreakerPolicy};
use reqwest::Client;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use secrecy::{ExposeSecret, SecretString};

const JSON: &str = "application/json";

/// So that who is told twice can tell (draft-ietf-httpapi-idempotency-key-header).
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// Where an engine takes receipts.
#[derive(Debug)]
pub(crate) struct ReceiptBox {
    pub(super) client: Client,
    pub(super) url: String,
    pub(super) token: SecretString,
    pub(super) timeout: Duration,
    breaker: Mutex<Breaker>,
}

/// What came of telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// The engine has it.
    Taken,
    /// It may take it later.
    Later(Why),
    /// It never will.
    Refused(u16),
}

/// Why it is to be told again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It answered with this status.
    Status(u16),
    /// It did not answer in time.
    Timeout,
    /// It cannot be reached, or broke off.
    Unreachable,
    /// It has failed so often that it is left alone for a while.
    LeftAlone,
}

impl Told {
    /// The name of each, for metrics.
    pub(crate) const ALL: [&'static str; 6] =
        ["taken", "status", "timeout", "unreachable", "left_alone", "refused"];

    /// Its name, for metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Later(Why::Status(_)) => "status",
            Self::Later(Why::Timeout) => "timeout",
            Self::Later(Why::Unreachable) => "unreachable",
            Self::Later(Why::LeftAlone) => "left_alone",
            Self::Refused(_) => "refused",
        }
    }

    /// What a status means. Nothing is followed, so a redirect is no answer; a token that is not taken
    /// is the operator's to put right; 409 is for what is there already.
    pub(super) const fn by(status: u16) -> Self {
        match status {
            200..=299 | 409 => Self::Taken,
            401 | 403 | 408 | 425 | 429 => Self::Later(Why::Status(status)),
            400..=499 => Self::Refused(status),
            _ => Self::Later(Why::Status(status)),
        }
    }
}

impl ReceiptBox {
    pub(super) fn new(client: Client, url: String, token: SecretString, timeout: Duration) -> Self {
        let breaker = Mutex::new(Breaker::new(BreakerPolicy::default()));
        let known = Self { client, url, token, timeout, breaker };
        known.show();
        known
    }

    /// Tells it, once.
    pub(crate) async fn tell(&self, body: Vec<u8>, key: &str) -> Told {
        if !self.may_tell() {
            return Told::Later(Why::LeftAlone);
        }
        let told = match tokio::time::timeout(self.timeout, self.post(body, key)).await {
            Err(_) => Told::Later(Why::Timeout),
            Ok(Err(_)) => Told::Later(Why::Unreachable),
            Ok(Ok(status)) => Told::by(status),
        };
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        match told {
            Told::Later(_) => breaker.failed(Instant::now()),
            Told::Taken | Told::Refused(_) => breaker.succeeded(),
        }
        drop(breaker);
        self.show();
        told
    }

    async fn post(&self, body: Vec<u8>, key: &str) -> reqwest::Result<u16> {
        let mut request = self
            .client
            .post(&self.url)
            .header(CONTENT_TYPE, JSON)
            .header(ACCEPT, JSON)
            .header(IDEMPOTENCY_KEY, key)
            .body(body);
        let token = self.token.expose_secret();
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        // Its words are of no use here, so they are not read.
        Ok(request.send().await?.status().as_u16())
    }

    fn may_tell(&self) -> bool {
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        breaker.opened().is_none() || breaker.try_probe(Instant::now())
    }

    fn show(&self) {
        let level = self.breaker.lock().unwrap_or_else(PoisonError::into_inner).level();
        metrics::gauge!("breaker_state", "dependency" => "risk_receipts").set(level);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_status_means_on_one_page() {
        for status in [200, 201, 202, 204, 409] {
            assert_eq!(Told::by(status), Told::Taken);
        }
        for status in [301, 302, 307, 401, 403, 408, 425, 429, 500, 502, 503, 504] {
            assert_eq!(Told::by(status), Told::Later(Why::Status(status)));
        }
        for status in [400, 404, 405, 410, 413, 422, 451] {
            assert_eq!(Told::by(status), Told::Refused(status));
        }
    }
}
