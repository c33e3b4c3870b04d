//! The status of a payment as its buyer's agent follows it: long polls, until it is over.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::PaymentId;
use http_body_util::Full;
use hyper::Request;
use runtime::Clock;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::connection::{Answer, Connections};
use crate::latency::Latencies;
use crate::receiver::unix_ms;
use crate::world::World;

/// How long one poll waits for news, in seconds.
const WAIT_SECS: u64 = 30;

/// A poll that has no answer after so long has none.
const PATIENCE: Duration = Duration::from_secs(WAIT_SECS + 10);

/// What polling one payment led to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Followed {
    /// Polls that were made.
    pub(crate) polls: u64,
    /// How it ended, as far as the polls told.
    pub(crate) end: Option<String>,
    /// From its end to the answer that told of it.
    pub(crate) delay: Option<Duration>,
    /// Whether a later answer told of an earlier version.
    pub(crate) went_back: bool,
}

/// What is read of an answer.
#[derive(Debug, Deserialize)]
pub(crate) struct Status {
    status: String,
    terminal: bool,
    pub(crate) version: u32,
    updated_at: String,
}

impl Status {
    /// How long it has been so.
    pub(crate) fn age(&self, now_unix_ms: i64) -> Duration {
        let since = unix_ms(&self.updated_at).unwrap_or(now_unix_ms);
        Duration::from_millis(u64::try_from(now_unix_ms - since).unwrap_or_default())
    }
}

/// The question for something newer than `known`, which is waited for.
pub(crate) fn question(bearer: &str, id: PaymentId, known: u32) -> Request<Full<Bytes>> {
    let path = format!("/v1/payments/{id}?wait={WAIT_SECS}&since_version={known}");
    let request = Request::get(path).header("host", "results").header("authorization", bearer);
    request.body(Full::new(Bytes::new())).unwrap()
}

/// What the answer to such a question says; none when no answer comes.
pub(crate) async fn told(answer: impl Future<Output = Answer>) -> Option<Status> {
    let answer = tokio::time::timeout(PATIENCE, answer).await;
    let (_, body) = answer.ok()?.ok()?;
    serde_json::from_slice(&body).ok()
}

/// Polls until the payment is over, or no answer comes.
pub(crate) async fn follow(results: Arc<Connections>, bearer: String, id: PaymentId) -> Followed {
    let mut followed = Followed::default();
    let mut known = 1;
    while followed.end.is_none() {
        followed.polls += 1;
        let answer = results.send(question(&bearer, id, known));
        let Some(status) = told(answer).await else { break };
        known = followed.note(&status, known, Clock::system().now_unix_ms());
    }
    followed
}

impl Followed {
    /// Notes an answer; gives the version to ask from.
    fn note(&mut self, status: &Status, known: u32, now_unix_ms: i64) -> u32 {
        self.went_back |= status.version < known;
        if status.terminal {
            self.end = Some(status.status.clone());
            self.delay = Some(status.age(now_unix_ms));
        }
        status.version.max(known)
    }
}

/// What the polls of a run came to, and where they told something else than the ledger.
pub(crate) async fn judge(world: &World, all: &[(PaymentId, Followed)]) -> (Value, Vec<String>) {
    let ids: Vec<PaymentId> = all.iter().map(|(id, _)| *id).collect();
    let stored = world.database.store.load(&ids).await.unwrap();
    let ends: HashMap<PaymentId, &str> =
        stored.iter().map(|payment| (payment.id, payment.state.name().as_str())).collect();
    let (mut delays, mut broken) = (Latencies::new(), Vec::new());
    for (id, followed) in all {
        if followed.went_back {
            broken.push(format!("{id} was told to be what it was before"));
        }
        if followed.end.as_deref() != ends.get(id).copied() {
            broken.push(format!(
                "{id} was told to be {:?}, and is {:?}",
                followed.end,
                ends.get(id)
            ));
        }
        followed.delay.into_iter().for_each(|delay| delays.record(delay));
    }
    let polls: u64 = all.iter().map(|(_, followed)| followed.polls).sum();
    let figures =
        json!({ "payments": all.len(), "polls": polls, "told_after": delays.percentiles() });
    (figures, broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: &str, version: u32) -> Status {
        let terminal = status == "settled";
        Status {
            status: status.to_owned(),
            terminal,
            version,
            updated_at: "1970-01-01T00:00:01Z".to_owned(),
        }
    }

    #[test]
    fn a_payment_is_followed_from_version_to_version_to_its_end() {
        let mut followed = Followed::default();
        assert_eq!(followed.note(&status("submitted", 3), 1, 900), 3);
        assert_eq!(followed.end, None);
        assert_eq!(followed.note(&status("settled", 5), 3, 1_040), 5);
        let expected = Followed {
            polls: 0,
            end: Some("settled".to_owned()),
            delay: Some(Duration::from_millis(40)),
            went_back: false,
        };
        assert_eq!(followed, expected);
    }

    #[test]
    fn an_earlier_version_after_a_later_one_is_noticed() {
        let mut followed = Followed::default();
        assert_eq!(followed.note(&status("approved", 2), 3, 0), 3);
        assert!(followed.went_back);
    }
}
