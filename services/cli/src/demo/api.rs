//! The seller's side of the HTTP API, with the patience that it takes while services come and go.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use domain::PaymentId;
use reqwest::header::RETRY_AFTER;
use reqwest::{RequestBuilder, Response, StatusCode};
use runtime::Config;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::payment::Payment;
use crate::failure::Failure;
use crate::http_client::TIMEOUT;

/// How long a poll waits for a change, on top of what a request may take.
const WAIT: Duration = Duration::from_secs(15);

/// The pause after a request that brought nothing, unless the answer asks for another one.
const PAUSE: Duration = Duration::from_millis(500);

/// The longest pause, whatever the answer asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// Payments on a page of the list.
const PAGE: usize = 100;

/// What became of a submission at the door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is this payment.
    Taken(PaymentId),
    /// It is no payment, for this reason.
    Refused(String),
}

/// A webhook endpoint that was made.
#[derive(Deserialize)]
pub(crate) struct Endpoint {
    pub(crate) id: String,
    pub(crate) secret: SecretString,
}

/// A request that brought nothing: no answer, or one that asks to come back.
#[derive(Debug)]
struct Nothing {
    pause: Duration,
}

#[derive(Deserialize)]
struct Taken {
    id: PaymentId,
}

/// An error of RFC 9457, as far as it matters here.
#[derive(Deserialize)]
struct Problem {
    code: String,
    retryable: bool,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Taken>,
    next_cursor: Option<String>,
}

/// The payment API and the status API with a seller's key. Requests that bring nothing are sent
/// again for as long as the caller waits.
pub(crate) struct Api {
    http: reqwest::Client,
    ingress: String,
    results: String,
    key: SecretString,
    brought_nothing: AtomicUsize,
}

impl Api {
    pub(crate) fn new(config: &Config, http: reqwest::Client, key: SecretString) -> Self {
        Self {
            http,
            ingress: format!("http://{}", config.ingress.listen),
            results: format!("http://{}", config.results.listen),
            key,
            brought_nothing: AtomicUsize::new(0),
        }
    }

    /// How many requests had to be sent again.
    pub(crate) fn brought_nothing(&self) -> usize {
        self.brought_nothing.load(Ordering::Relaxed)
    }

    /// Posts a payment under this key until there is an answer: with the same key and body, it is
    /// the same payment however often it arrives.
    pub(crate) async fn submit(&self, idempotency_key: &str, body: &Value) -> Answer {
        loop {
            let request = self
                .http
                .post(format!("{}/v1/payments", self.ingress))
                .header("idempotency-key", format!("\"{idempotency_key}\""))
                .json(body);
            match self.try_submit(request).await {
                Ok(answer) => return answer,
                Err(nothing) => self.rest(nothing).await,
            }
        }
    }

    async fn try_submit(&self, request: RequestBuilder) -> Result<Answer, Nothing> {
        let response = self.send(request).await?;
        if response.status().is_success() {
            return Ok(Answer::Taken(read::<Taken>(response).await?.id));
        }
        let pause = asked_pause(&response);
        let problem: Problem = read(response).await?;
        if problem.retryable { Err(Nothing { pause }) } else { Ok(Answer::Refused(problem.code)) }
    }

    /// The payment once it has a higher version than `known`, or as it stands after a while.
    pub(crate) async fn follow(&self, id: PaymentId, known: u32) -> Payment {
        let url = format!(
            "{}/v1/payments/{id}?wait={}&since_version={known}",
            self.results,
            WAIT.as_secs()
        );
        loop {
            let found = self.get::<Payment>(&url).await;
            if found.version > known || found.terminal {
                return found;
            }
            // It waited in vain, or was not let wait.
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Every payment of the account.
    pub(crate) async fn payments(&self) -> Vec<PaymentId> {
        let first = format!("{}/v1/payments?limit={PAGE}", self.results);
        let (mut url, mut all) = (first.clone(), Vec::new());
        loop {
            let page = self.get::<Page>(&url).await;
            all.extend(page.data.into_iter().map(|payment| payment.id));
            match page.next_cursor {
                Some(cursor) => url = format!("{first}&cursor={cursor}"),
                None => return all,
            }
        }
    }

    /// Asks for webhooks to this URL, once.
    pub(crate) async fn create_endpoint(&self, url: &str) -> Result<Endpoint, Failure> {
        let request = self
            .http
            .post(format!("{}/v1/webhook_endpoints", self.results))
            .json(&json!({ "url": url }));
        let refused = |what: String| Failure::Said(format!("no webhook endpoint was made: {what}"));
        let answer = self.authorized(request).send().await;
        let answer = answer.map_err(|error| refused(error.to_string()))?;
        if answer.status() != StatusCode::CREATED {
            let status = answer.status();
            let body = answer.text().await.unwrap_or_default();
            return Err(refused(format!("{status} {body}")));
        }
        answer.json().await.map_err(|error| refused(error.to_string()))
    }

    /// Asks for no more webhooks, once; whether that was heard does not matter any more.
    pub(crate) async fn delete_endpoint(&self, id: &str) {
        let request = self.http.delete(format!("{}/v1/webhook_endpoints/{id}", self.results));
        if let Err(error) = self.authorized(request).send().await {
            tracing::debug!(%error, "the endpoint was not deleted");
        }
    }

    async fn get<T: DeserializeOwned>(&self, url: &str) -> T {
        loop {
            match self.try_get(url).await {
                Ok(found) => return found,
                Err(nothing) => self.rest(nothing).await,
            }
        }
    }

    async fn try_get<T: DeserializeOwned>(&self, url: &str) -> Result<T, Nothing> {
        let response = self.send(self.http.get(url).timeout(WAIT + TIMEOUT)).await?;
        if response.status().is_success() {
            read(response).await
        } else {
            Err(Nothing { pause: asked_pause(&response) })
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Nothing> {
        self.authorized(request).send().await.map_err(|_| Nothing { pause: PAUSE })
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        request.bearer_auth(self.key.expose_secret())
    }

    async fn rest(&self, nothing: Nothing) {
        self.brought_nothing.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(nothing.pause).await;
    }
}

/// An answer that breaks off, or does not read, is none.
async fn read<T: DeserializeOwned>(response: Response) -> Result<T, Nothing> {
    response.json().await.map_err(|_| Nothing { pause: PAUSE })
}

fn asked_pause(response: &Response) -> Duration {
    let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let seconds = asked.and_then(|text| text.parse().ok());
    seconds.map_or(PAUSE, Duration::from_secs).min(LONGEST_PAUSE)
}
