//! An engine that is asked over HTTP.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chain::{Breaker, BreakerPolicy};
use reqwest::{Client, redirect, retry};
use runtime::config::{Dialect, HttpClientConfig, RiskEngineConfig};
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::answer::{Answer, NoDecision};
use super::call::Heard;
use super::question::Case;
use super::receipt::ReceiptBox;
use super::score::Bands;
use super::{Said, call, meters, score, trustline};

/// Where an engine decides, below its URL.
const PATH: &str = "/risk/evaluate";

/// The longest that a question waits until fewer are under way. Whoever waited for longer would ask when
/// its lease is over, beside the one who was told to ask after it.
pub(crate) const LONGEST_TURN: Duration = Duration::from_secs(3);

/// A remote engine, with its connections and its breaker.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) client: Client,
    pub(super) url: String,
    pub(super) token: SecretString,
    pub(super) timeout: Duration,
    /// Where it is told how payments ended, if it wants to know.
    pub(super) receipts: Option<Arc<ReceiptBox>>,
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

/// The client of the engine could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the risk engine's client; are the system's certificate authorities there?")]
pub struct EngineSetupError(#[source] reqwest::Error);

impl Remote {
    /// The remote engine of this configuration, where it has one.
    pub(super) fn from_config(
        config: &RiskEngineConfig,
        connections: &HttpClientConfig,
    ) -> Result<Option<Self>, EngineSetupError> {
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
            .pool_max_idle_per_host(connections.max_idle_per_host)
            .pool_idle_timeout(Duration::from_secs(connections.idle_timeout_secs))
            .build()
            .map_err(EngineSetupError)?;
        let (token, timeout) = (config.token.clone(), Duration::from_millis(config.timeout_ms));
        let wants_receipts = match spoken {
            Spoken::Trustline => !config.receipt_path.is_empty(),
            Spoken::Score(_) => false,
        };
        let receipts = wants_receipts.then(|| {
            let url = format!("{url}{}", config.receipt_path);
            Arc::new(ReceiptBox::new(client.clone(), url, token.clone(), timeout))
        });
        Ok(Some(Self {
            client,
            url: format!("{url}{PATH}"),
            token,
            timeout,
            receipts,
            spoken,
            slots: Semaphore::new(config.max_in_flight),
            breaker: Mutex::new(Breaker::new(BreakerPolicy::default())),
        }))
    }

    pub(super) async fn ask(&self, case: &Case<'_>) -> Said {
        let body = match self.question(case) {
            Ok(body) => body,
            Err(why) => return Said::nothing(Err(why)),
        };
        let request_sha256 = Some(Sha256::digest(&body).into());
        // Waiting for a slot is no fault of the engine's, so it is outside of the time-out.
        let Ok(_slot) = tokio::time::timeout(LONGEST_TURN, self.slots.acquire()).await else {
            return Said::nothing(Err(NoDecision::Busy));
        };
        if !self.may_ask() {
            return Said::nothing(Err(NoDecision::BreakerOpen));
        }
        let began = Instant::now();
        let heard = call::post(self, body).await;
        metrics::histogram!("risk_engine_seconds").record(began.elapsed());
        let response_sha256 = heard.as_ref().ok().map(Heard::sha256);
        let read = heard.and_then(|heard| self.read(&heard, case));
        self.note(read.as_ref().err());
        Said { read, request_sha256, response_sha256 }
    }

    fn question(&self, case: &Case<'_>) -> Result<Vec<u8>, NoDecision> {
        match self.spoken {
            Spoken::Trustline => trustline::question(case),
            Spoken::Score(_) => score::question(case),
        }
    }

    fn read(&self, heard: &Heard, case: &Case<'_>) -> Result<Answer, NoDecision> {
        match self.spoken {
            Spoken::Trustline => trustline::read(heard.body(), case.payment.id),
            Spoken::Score(bands) => score::read(heard.body(), case.payment.id, bands),
        }
    }

    /// Whether the breaker lets this call through; of those that find it open, one a minute is.
    fn may_ask(&self) -> bool {
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        let may = breaker.opened().is_none() || breaker.try_probe(Instant::now());
        meters::breaker(breaker.level());
        may
    }

    fn note(&self, failure: Option<&NoDecision>) {
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        match failure {
            Some(why) if why.is_the_engines_fault() => breaker.failed(Instant::now()),
            _ => breaker.succeeded(),
        }
        meters::breaker(breaker.level());
    }
}
