//! The seller's webhook receiver.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use domain::{EventId, EventType, PaymentId};
use runtime::http;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use standardwebhooks::Webhook;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::failure::Failure;

/// An event that arrived, signed as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) event: EventId,
    pub(crate) kind: EventType,
    /// How often it came.
    pub(crate) times: usize,
}

/// An HTTP server on a free loopback port that believes only what is signed with its secret. It
/// ends with this value.
pub(crate) struct Receiver {
    url: String,
    desk: Arc<Desk>,
    _server: AbortOnDropHandle<()>,
}

/// What the receiver knows. The secret comes after the first request could.
#[derive(Default)]
struct Desk {
    judge: OnceLock<Webhook>,
    mail: Mutex<Mail>,
}

/// Everything that came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mail {
    by_payment: HashMap<PaymentId, Vec<Heard>>,
    /// Requests that were not signed as they should be, or do not read.
    pub(crate) unbelievable: usize,
}

/// What a webhook says (Standard Webhooks 1.0.0).
#[derive(Deserialize)]
struct Body {
    r#type: EventType,
    id: EventId,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    id: PaymentId,
}

impl Receiver {
    pub(crate) async fn start() -> Result<Self, Failure> {
        let desk = Arc::new(Desk::default());
        let listener = http::bind(([127, 0, 0, 1], 0).into()).await.map_err(Failure::Start)?;
        let address = listener.local_addr().map_err(Failure::Start)?;
        let router = Router::new().route("/webhooks", post(take)).with_state(Arc::clone(&desk));
        let server = tokio::spawn(http::serve(listener, router, CancellationToken::new()));
        Ok(Self {
            url: format!("http://{address}/webhooks"),
            desk,
            _server: AbortOnDropHandle::new(server),
        })
    }

    /// Where it takes webhooks.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Believes what is signed with this secret, from now on.
    pub(crate) fn trust(&self, secret: &SecretString) -> Result<(), Failure> {
        let judge = Webhook::new(secret.expose_secret())
            .map_err(|_| Failure::Said("the webhook secret does not read".into()))?;
        self.desk
            .judge
            .set(judge)
            .map_err(|_| Failure::Said("the receiver has a secret already".into()))
    }

    /// Everything that came so far.
    pub(crate) fn mail(&self) -> Mail {
        self.desk.mail().clone()
    }
}

impl Mail {
    /// The events of this payment.
    pub(crate) fn of(&self, payment: PaymentId) -> &[Heard] {
        self.by_payment.get(&payment).map_or(&[], Vec::as_slice)
    }

    /// The payments that something was heard of.
    pub(crate) fn payments(&self) -> impl Iterator<Item = PaymentId> {
        self.by_payment.keys().copied()
    }

    /// How many requests brought an event that was there already.
    pub(crate) fn repeats(&self) -> usize {
        self.by_payment.values().flatten().map(|heard| heard.times - 1).sum()
    }

    fn note(&mut self, payment: PaymentId, event: EventId, kind: EventType) {
        let heard = self.by_payment.entry(payment).or_default();
        match heard.iter_mut().find(|heard| heard.event == event) {
            Some(known) => known.times += 1,
            None => heard.push(Heard { event, kind, times: 1 }),
        }
    }
}

impl Desk {
    fn mail(&self) -> MutexGuard<'_, Mail> {
        // Every step under the lock leaves the counts whole.
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The event, if it is signed, reads, and says the same in its header and its body.
    fn believe(&self, headers: &HeaderMap, body: &[u8]) -> Option<Body> {
        self.judge.get()?.verify(body, headers).ok()?;
        let said: Body = serde_json::from_slice(body).ok()?;
        let id = headers.get("webhook-id")?.to_str().ok()?;
        (id == said.id.to_string()).then_some(said)
    }
}

async fn take(State(desk): State<Arc<Desk>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    match desk.believe(&headers, &body) {
        Some(said) => {
            desk.mail().note(said.data.id, said.id, said.r#type);
            StatusCode::NO_CONTENT
        }
        None => {
            desk.mail().unbelievable += 1;
            StatusCode::UNAUTHORIZED
        }
    }
}

#[cfg(test)]
mod tests {
    use runtime::{Clock, new_uuid};

    use super::*;

    const SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    const OTHER: &str = "whsec_MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=";

    async fn post(receiver: &Receiver, secret: &str, event: EventId, payment: PaymentId) -> u16 {
        let body =
            format!(r#"{{"type":"payment.settled","id":"{event}","data":{{"id":"{payment}"}}}}"#);
        let now = Clock::system().now_unix_secs();
        let id = event.to_string();
        let signature = Webhook::new(secret).unwrap().sign(&id, now, body.as_bytes()).unwrap();
        let request = crate::http_client::http_client()
            .unwrap()
            .post(receiver.url())
            .header("webhook-id", id)
            .header("webhook-timestamp", now)
            .header("webhook-signature", signature)
            .body(body);
        request.send().await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn what_is_signed_is_believed_and_counted_once() {
        let receiver = Receiver::start().await.unwrap();
        receiver.trust(&SECRET.to_owned().into()).unwrap();
        let (event, payment) = (EventId::new(new_uuid()), PaymentId::new(new_uuid()));
        for _ in 0..2 {
            assert_eq!(post(&receiver, SECRET, event, payment).await, 204);
        }
        let heard = Heard { event, kind: EventType::Settled, times: 2 };
        let mail = receiver.mail();
        assert_eq!((mail.of(payment), mail.repeats(), mail.unbelievable), (&[heard][..], 1, 0));
    }

    #[tokio::test]
    async fn what_somebody_else_signed_is_not_believed() {
        let receiver = Receiver::start().await.unwrap();
        receiver.trust(&SECRET.to_owned().into()).unwrap();
        let (event, payment) = (EventId::new(new_uuid()), PaymentId::new(new_uuid()));
        assert_eq!(post(&receiver, OTHER, event, payment).await, 401);
        let mail = receiver.mail();
        assert_eq!((mail.of(payment), mail.unbelievable), (&[][..], 1));
    }
}
