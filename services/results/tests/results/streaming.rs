//! Streams of server-sent events.

use std::collections::VecDeque;

use domain::Event;
use reqwest::{RequestBuilder, Response};
use results::Settings;
use serde_json::Value;
use testkit::{RedisServer, eventually};

use crate::api::{Api, Told, included, settings};
use crate::events::feed;
use crate::waiting::{SOON, all_are_waiting, deaf};

/// An open stream.
pub(crate) struct Stream {
    response: Response,
    text: String,
    read: VecDeque<Sent>,
}

/// One event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sent {
    pub(crate) id: String,
    kind: String,
    pub(crate) data: Value,
}

impl Stream {
    pub(crate) async fn open(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Self { response, text: String::new(), read: VecDeque::new() }
    }

    /// The next event; none when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Sent> {
        while self.read.is_empty() {
            let chunk = self.response.chunk().await.unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                self.read.extend(sent(block));
                self.text = rest.to_owned();
            }
        }
        self.read.pop_front()
    }

    /// What happens next, without the payment.
    async fn kind(&mut self) -> Option<String> {
        self.next().await.map(|sent| sent.kind)
    }
}

/// A block of lines, if it is an event.
fn sent(block: &str) -> Option<Sent> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    Some(Sent {
        id: field("id:")?.to_owned(),
        kind: field("event:")?.to_owned(),
        data: serde_json::from_str(field("data:")?).unwrap(),
    })
}

#[tokio::test]
async fn a_payment_is_followed_to_its_end_and_then_left_alone() {
    let api = Api::start().await;
    let payment = api.payment().await;
    let path = format!("/v1/payments/{}/stream", payment.id);
    let mut stream = Stream::open(api.get(&path)).await;
    let first = stream.next().await.unwrap();
    assert_eq!((first.id.as_str(), first.kind.as_str()), ("1", "payment.accepted"));
    assert_eq!(first.data["status"], "accepted");

    let (confirmed, _) = api.advance_untold(&payment, included()).await;
    let second = stream.next().await.unwrap();
    assert_eq!(
        (second.id.as_str(), &second.data["transaction"]["block_number"]),
        ("2", &11.into())
    );
    api.advance_untold(&confirmed, Event::Finalized).await;
    assert_eq!(stream.kind().await.as_deref(), Some("payment.settled"));
    assert_eq!(stream.next().await, None);
    // Who comes again, as browsers do, is told to stay away.
    let again = Told::by(api.get(&path).header("last-event-id", "3")).await;
    assert_eq!(again.status, 204);
}

#[tokio::test]
async fn a_client_whose_stream_broke_hears_what_it_missed_and_nothing_twice() {
    let api = Api::start().await;
    let payment = api.payment().await;
    let (payment, _) = api.advance_untold(&payment, included()).await;
    api.advance_untold(&payment, Event::Finalized).await;
    let path = format!("/v1/payments/{}", payment.id);

    let mut by_header =
        Stream::open(api.get(&format!("{path}/stream")).header("last-event-id", "1")).await;
    let missed = by_header.next().await.unwrap();
    // As it stood then, though it is settled now.
    assert_eq!((missed.id.as_str(), &missed.data["status"]), ("2", &"confirmed".into()));
    let mut by_query = Stream::open(api.get(&format!("{path}/stream?since_version=2"))).await;
    assert_eq!(by_query.kind().await.as_deref(), Some("payment.settled"));
    let mut on_resource = Stream::open(api.get(&path).header("accept", "text/event-stream")).await;
    assert_eq!(on_resource.next().await.unwrap().id, "1");
}

#[tokio::test]
async fn an_account_hears_of_everything_that_happens_to_its_payments() {
    let redis = RedisServer::start().await;
    let api = Api::serve(deaf(), redis.url()).await;
    let before = api.payment().await;
    // What is in the feed by now is not told.
    feed(&api, "", 1).await;
    let mut stream = Stream::open(api.get("/v1/events/stream")).await;
    let (moved, _) = api.advance_untold(&before, Event::Canceled).await;
    let heard = tokio::spawn(async move { (stream.next().await.unwrap(), stream) });
    eventually(SOON, || async {
        // Told again, as the API may not be listening yet.
        api.herald.announce([&moved], &[]);
        heard.is_finished().then_some(())
    })
    .await;
    let (event, stream) = heard.await.unwrap();
    assert_eq!(
        (event.kind.as_str(), &event.data["type"]),
        ("payment.canceled", &event.kind.clone().into())
    );
    assert_eq!(event.data["data"]["id"], before.id.to_string());
    drop(stream);

    let after = api.payment().await;
    let resumed = api.get("/v1/events/stream").header("last-event-id", &event.id);
    let mut resumed = Stream::open(resumed).await;
    let next = resumed.next().await.unwrap();
    assert_eq!(
        (next.kind.as_str(), &next.data["data"]["id"]),
        ("payment.accepted", &after.id.to_string().into())
    );
}

#[tokio::test]
async fn a_stream_tells_only_of_the_types_that_were_asked_for() {
    let api = Api::start().await;
    let payment = api.payment().await;
    let mut stream = Stream::open(api.get("/v1/events/stream?types=payment.canceled")).await;
    api.payment().await;
    api.advance_untold(&payment, Event::Canceled).await;
    assert_eq!(stream.kind().await.as_deref(), Some("payment.canceled"));
}

#[tokio::test]
async fn a_stream_that_is_closed_leaves_its_place() {
    let api = Api::with(Settings { max_waiters: 1, ..settings() }).await;
    let payment = format!("/v1/payments/{}/stream", api.payment().await.id);
    let stream = Stream::open(api.get("/v1/events/stream")).await;
    for path in [payment.as_str(), "/v1/events/stream"] {
        let told = Told::by(api.get(path)).await;
        assert_eq!(told.problem(), (503, "overloaded"), "{path}");
        assert!(told.header("retry-after").is_some());
    }
    drop(stream);
    all_are_waiting(&api, 0).await;
    let mut stream = Stream::open(api.get(&payment)).await;
    assert_eq!(stream.kind().await.as_deref(), Some("payment.accepted"));
}

#[tokio::test]
async fn streams_end_when_the_process_stops() {
    let api = Api::with(deaf()).await;
    let payment = format!("/v1/payments/{}/stream?since_version=1", api.payment().await.id);
    let mut streams = Vec::new();
    for path in [payment.as_str(), "/v1/events/stream"] {
        streams.push(Stream::open(api.get(path)).await);
    }
    api.stop.cancel();
    for mut stream in streams {
        assert_eq!(stream.next().await, None);
    }
}
