//! A seller's webhook receiver that does what a test tells it, good or bad.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::eventually;

/// The most of a request's body that is read.
const MAX_BODY: usize = 1 << 20;

/// The pieces in which a dripping answer comes, and what it costs to wait for each.
const DRIP: Duration = Duration::from_millis(100);

/// A piece of an endless answer.
static CHUNK: [u8; 16 * 1024] = [b'x'; 16 * 1024];

/// What the receiver answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// This status, with this body.
    Status(u16, String),
    /// This status, with a body of this media type.
    Typed(u16, &'static str, String),
    /// This status, with `Retry-After` in seconds.
    RetryAfter(u16, u32),
    /// This status, with this header.
    Header(u16, &'static str, String),
    /// A 307 to this URL.
    Redirect(String),
    /// A 200 after this long.
    Slow(Duration),
    /// This status, once it is told to.
    Held(u16, Arc<Notify>),
    /// Nothing, for ever, with the connection open.
    Hang,
    /// A 200 whose body comes a byte at a time, for ever.
    Drip,
    /// A 200 whose body never ends.
    Endless,
    /// A 200 whose body breaks off.
    CutOff,
}

impl Answer {
    /// This status, with an empty body.
    pub const fn status(status: u16) -> Self {
        Self::Status(status, String::new())
    }
}

/// One request, as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// When it was there as a whole.
    pub at: Instant,
    /// Its path and query.
    pub target: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// The bytes that were signed.
    pub body: Bytes,
}

impl Received {
    /// A header's text, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The `webhook-id`.
    pub fn event_id(&self) -> &str {
        self.header("webhook-id")
    }

    /// The body.
    ///
    /// # Panics
    /// When it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Whether this secret (`whsec_…`) signed it within the last minutes, in the judgement of the
    /// Standard Webhooks project's own library.
    pub fn is_signed_by(&self, secret: &str) -> bool {
        Webhook::new(secret).unwrap().verify(&self.body, &self.headers).is_ok()
    }
}

/// An HTTP server on a free loopback port that records what it is sent. It ends with this value.
#[derive(Debug)]
pub struct Receiver {
    port: u16,
    desk: Arc<Desk>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Desk {
    received: Mutex<Vec<Received>>,
    answer: Mutex<Answer>,
}

impl Receiver {
    /// Starts one that answers 200.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let desk =
            Arc::new(Desk { received: Mutex::default(), answer: Mutex::new(Answer::status(200)) });
        let router = Router::new().fallback(take).with_state(Arc::clone(&desk));
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        Self { port, desk, server }
    }

    /// Where it takes webhooks; any other path of it does, too.
    pub fn url(&self) -> String {
        self.url_of("/hook")
    }

    /// A URL of this path on it.
    pub fn url_of(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Answers like this from now on.
    pub fn answer(&self, answer: Answer) {
        *locked(&self.desk.answer) = answer;
    }

    /// Every request so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Received> {
        locked(&self.desk.received).clone()
    }

    /// Waits until this many requests have come, and gives all that came.
    ///
    /// # Panics
    /// When they do not come within `deadline`.
    pub async fn wait_for(&self, count: usize, deadline: Duration) -> Vec<Received> {
        self.wait_until(deadline, |requests| requests.len() >= count).await
    }

    /// Waits until this many different events have come, and gives the first request of each.
    ///
    /// # Panics
    /// When they do not come within `deadline`.
    pub async fn wait_for_events(&self, count: usize, deadline: Duration) -> Vec<Received> {
        let enough = |requests: &[Received]| firsts(requests).len() >= count;
        firsts(&self.wait_until(deadline, enough).await)
    }

    /// Waits until what has come is enough, and gives it.
    ///
    /// # Panics
    /// When that is not so within `deadline`.
    pub async fn wait_until(
        &self,
        deadline: Duration,
        enough: impl Fn(&[Received]) -> bool,
    ) -> Vec<Received> {
        let ask = || {
            let requests = self.requests();
            std::future::ready(enough(&requests).then_some(requests))
        };
        eventually(deadline, ask).await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The first request of each event.
fn firsts(requests: &[Received]) -> Vec<Received> {
    let mut seen = std::collections::HashSet::new();
    requests.iter().filter(|request| seen.insert(request.event_id().to_owned())).cloned().collect()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics while holding it")
}

async fn take(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let received = Received {
        target: head.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
        headers: head.headers,
        body: axum::body::to_bytes(body, MAX_BODY).await.unwrap_or_default(),
        at: Instant::now(),
    };
    let answer = locked(&desk.answer).clone();
    locked(&desk.received).push(received);
    respond(answer).await
}

async fn respond(answer: Answer) -> Response {
    match answer {
        Answer::Status(status, body) => respond_with(status, None, Body::from(body)),
        Answer::Typed(status, kind, body) => {
            let header = (CONTENT_TYPE, HeaderValue::from_static(kind));
            respond_with(status, Some(header), Body::from(body))
        }
        Answer::RetryAfter(status, seconds) => {
            respond_with(status, Some((RETRY_AFTER, seconds.into())), Body::empty())
        }
        Answer::Header(status, name, value) => {
            let header = (HeaderName::from_static(name), HeaderValue::try_from(value).unwrap());
            respond_with(status, Some(header), Body::empty())
        }
        Answer::Redirect(url) => {
            let header = (LOCATION, HeaderValue::try_from(url).unwrap());
            respond_with(307, Some(header), Body::empty())
        }
        Answer::Slow(delay) => {
            tokio::time::sleep(delay).await;
            respond_with(200, None, Body::empty())
        }
        Answer::Held(status, told) => {
            told.notified().await;
            respond_with(status, None, Body::empty())
        }
        Answer::Hang => std::future::pending().await,
        Answer::Drip => {
            let drops = stream::repeat(()).then(|()| async {
                tokio::time::sleep(DRIP).await;
                Ok::<_, Infallible>(Bytes::from_static(b"."))
            });
            respond_with(200, None, Body::from_stream(drops))
        }
        Answer::Endless => {
            let chunks = stream::repeat(Ok::<_, Infallible>(Bytes::from_static(&CHUNK)));
            respond_with(200, None, Body::from_stream(chunks))
        }
        Answer::CutOff => {
            let broken = stream::iter([
                Ok(Bytes::from_static(b"{")),
                Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
            ]);
            let header = (CONTENT_LENGTH, HeaderValue::from_static("100"));
            respond_with(200, Some(header), Body::from_stream(broken))
        }
    }
}

fn respond_with(status: u16, header: Option<(HeaderName, HeaderValue)>, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().extend(header);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);
    const SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

    async fn post(receiver: &Receiver, id: &str) -> Result<u16, reqwest::Error> {
        let now = runtime::Clock::system().now_unix_secs();
        let signature = Webhook::new(SECRET).unwrap().sign(id, now, b"{}").unwrap();
        let request = crate::http::client()
            .post(receiver.url())
            .header("webhook-id", id)
            .header("webhook-timestamp", now)
            .header("webhook-signature", signature)
            .body("{}");
        let response = request.send().await?;
        let status = response.status().as_u16();
        response.bytes().await.map(|_| status)
    }

    #[tokio::test]
    async fn a_receiver_records_requests_and_judges_their_signatures() {
        let receiver = Receiver::start().await;
        assert_eq!(post(&receiver, "evt_1").await.unwrap(), 200);
        let received = receiver.wait_for(1, SOON).await.remove(0);
        assert_eq!((received.event_id(), received.target.as_str()), ("evt_1", "/hook"));
        assert!(received.is_signed_by(SECRET));
        assert!(!received.is_signed_by("whsec_MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAw"));
    }

    #[tokio::test]
    async fn a_receiver_answers_as_it_was_told_last() {
        let receiver = Receiver::start().await;
        receiver.answer(Answer::status(410));
        assert_eq!(post(&receiver, "evt_1").await.unwrap(), 410);
        receiver.answer(Answer::RetryAfter(429, 7));
        assert_eq!(post(&receiver, "evt_1").await.unwrap(), 429);
        receiver.answer(Answer::Redirect("http://127.0.0.1:1/".to_owned()));
        assert_eq!(post(&receiver, "evt_2").await.unwrap(), 307);
        receiver.answer(Answer::CutOff);
        assert!(post(&receiver, "evt_3").await.is_err());
        assert_eq!(receiver.requests().len(), 4);
        assert_eq!(receiver.wait_for_events(3, SOON).await.len(), 3);
    }

    #[tokio::test]
    async fn a_hanging_receiver_has_the_request_and_says_nothing() {
        let receiver = Receiver::start().await;
        receiver.answer(Answer::Hang);
        tokio::select! {
            answer = post(&receiver, "evt_1") => panic!("it answered: {answer:?}"),
            received = receiver.wait_for(1, SOON) => assert_eq!(received.len(), 1),
        }
    }
}
