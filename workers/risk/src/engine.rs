//! Asking a remote risk engine about a payment.
//!
//! Anything but a well-formed answer is no decision, and never an allowance. Nothing is repeated
//! here: whoever asks is told when to ask again, and keeps that as a time in the ledger.

mod again;
mod answer;
mod call;
#[cfg(test)]
mod case_for_tests;
mod meters;
mod question;
mod score;
mod trustline;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chain::{Breaker, BreakerPolicy};
use domain::Timestamp;
use reqwest::{Client, redirect, retry};
use runtime::config::{Dialect, RiskEngineConfig};
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

pub use answer::{Answer, Level, NoDecision};
pub use meters::describe_metrics;
pub use question::{Case, Mandate, TraceContext};

use call::Heard;
use score::Bands;

/// Where an engine decides, below its URL.
const PATH: &str = "/risk/evaluate";

/// How long an idle connection is kept, and how many of them.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_IDLE: usize = 20;

/// A remote risk engine. Cheap to clone; clones share its connections and its breaker.
#[derive(Clone, Debug)]
pub struct Engine {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    url: String,
    token: SecretString,
    timeout: Duration,
    spoken: Spoken,
    slots: Semaphore,
    breaker: Mutex<Breaker>,
}

/// How it is spoken to.
#[derive(Clone, Copy, Debug)]
enum Spoken {
    Trustline,
    Score(Bands),
}

/// What came of asking.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// What follows.
    pub outcome: Outcome,
    /// The hash of what was sent, where something was.
    pub request_sha256: Option<[u8; 32]>,
    /// The hash of what was answered, where it was read to its end.
    pub response_sha256: Option<[u8; 32]>,
}

/// What follows from asking.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The engine has decided.
    Decided(Answer),
    /// It has not, and is to be asked again.
    Again {
        /// Not before this time.
        at: Timestamp,
        /// The tries that there have been, to be handed in then.
        tries: u32,
        /// Why it has not decided.
        why: NoDecision,
    },
    /// It has not, and will not: the policy says what follows, which is never an allowance.
    Undecided(NoDecision),
}

/// The client of the engine could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the risk engine's client; are the system's certificate authorities there?")]
pub struct EngineSetupError(#[source] reqwest::Error);

impl Engine {
    /// The remote engine of this configuration, where it has one.
    ///
    /// # Errors
    /// When the system has no certificate authorities.
    pub fn from_config(config: &RiskEngineConfig) -> Result<Option<Self>, EngineSetupError> {
        let spoken = match config.dialect {
            Dialect::Off | Dialect::Local => return Ok(None),
            Dialect::Trustline => Spoken::Trustline,
            Dialect::Score => {
                Spoken::Score(Bands { review: config.review_from, deny: config.deny_from })
            }
        };
        let Some(url) = &config.url else { return Ok(None) };
        runtime::egress::install_tls_provider();
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .no_proxy()
            .pool_max_idle_per_host(MAX_IDLE)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build()
            .map_err(EngineSetupError)?;
        meters::register();
        let shared = Shared {
            client,
            url: format!("{url}{PATH}"),
            token: config.token.clone(),
            timeout: Duration::from_millis(config.timeout_ms),
            spoken,
            slots: Semaphore::new(config.max_in_flight),
            breaker: Mutex::new(Breaker::new(BreakerPolicy::default())),
        };
        Ok(Some(Self { shared: Arc::new(shared) }))
    }

    /// Asks about a payment, once. `tries` of them failed before.
    pub async fn ask(&self, case: &Case<'_>, tries: u32, now: Timestamp) -> Asked {
        let body = match self.question(case) {
            Ok(body) => body,
            Err(why) => return self.unasked(why, case, tries, now),
        };
        let request_sha256 = Some(Sha256::digest(&body).into());
        // Whoever waits for a slot has not been failed by the engine, so this is outside of the time-out.
        let _slot = self.shared.slots.acquire().await;
        if !self.may_ask() {
            return self.unasked(NoDecision::BreakerOpen, case, tries, now);
        }
        let began = Instant::now();
        let heard = call::post(&self.shared, body).await;
        metrics::histogram!("risk_engine_seconds").record(began.elapsed());
        let response_sha256 = heard.as_ref().ok().map(Heard::sha256);
        let read = heard.and_then(|heard| self.read(&heard, case));
        self.note(read.as_ref().err());
        let outcome = match read {
            Ok(answer) => Outcome::Decided(answer),
            Err(why) => again::after(why, case.payment.id, tries, now),
        };
        meters::asked(&outcome);
        Asked { outcome, request_sha256, response_sha256 }
    }

    fn question(&self, case: &Case<'_>) -> Result<Vec<u8>, NoDecision> {
        match self.shared.spoken {
            Spoken::Trustline => trustline::question(case),
            Spoken::Score(_) => score::question(case),
        }
    }

    fn read(&self, heard: &Heard, case: &Case<'_>) -> Result<Answer, NoDecision> {
        match self.shared.spoken {
            Spoken::Trustline => trustline::read(heard.body(), case.payment.id),
            Spoken::Score(bands) => score::read(heard.body(), case.payment.id, bands),
        }
    }

    fn unasked(&self, why: NoDecision, case: &Case<'_>, tries: u32, now: Timestamp) -> Asked {
        let outcome = again::after(why, case.payment.id, tries, now);
        meters::asked(&outcome);
        Asked { outcome, request_sha256: None, response_sha256: None }
    }

    /// Whether the breaker lets this call through; of those that find it open, one a minute is.
    fn may_ask(&self) -> bool {
        let mut breaker = self.shared.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        let may = breaker.opened().is_none() || breaker.try_probe(Instant::now());
        meters::breaker(breaker.level());
        may
    }

    fn note(&self, failure: Option<&NoDecision>) {
        let mut breaker = self.shared.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        match failure {
            Some(why) if why.is_the_engines_fault() => breaker.failed(Instant::now()),
            _ => breaker.succeeded(),
        }
        meters::breaker(breaker.level());
    }
}
