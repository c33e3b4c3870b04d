//! One call of one endpoint.

use std::time::{Duration, Instant};

use bytes::Bytes;
use domain::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use runtime::egress::{EgressClient, EgressError, EgressResponse};
use store::Delivery;

use crate::judgement::{Answer, Met, Wish};
use crate::retry_after;
use crate::signature::{Keys, sign};

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const WEBHOOK_ATTEMPT: HeaderName = HeaderName::from_static("webhook-attempt");

/// How a body begins that tells of an event before an earlier one has arrived.
const OUT_OF_ORDER: &[u8] = br#"{"out_of_order":true,"#;

/// The most of an answer that the log of attempts takes, in bytes.
const MAX_LOGGED_BYTES: usize = 4_096;

/// What a call led to.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) met: Met,
    pub(crate) took: Duration,
    pub(crate) status: Option<u16>,
    pub(crate) error: Option<String>,
    /// The beginning of the answer's body, if there was one.
    pub(crate) response: Option<String>,
}

/// Signs a delivery and posts it to its endpoint, within `timeout`; `now` is the time it is signed
/// for.
pub(crate) async fn attempt(
    egress: &EgressClient,
    delivery: &Delivery,
    timeout: Duration,
    now: Timestamp,
) -> Attempt {
    let begun = Instant::now();
    let body = body(delivery);
    let answer = egress.post(&delivery.url, headers(delivery, &body, now), body, timeout).await;
    let took = begun.elapsed();
    match answer {
        Ok(response) => Attempt::answered(&response, took, now),
        Err(error) => Attempt::unanswered(&error, took),
    }
}

impl Attempt {
    fn answered(response: &EgressResponse, took: Duration, now: Timestamp) -> Self {
        let retry_after = response.retry_after.as_deref();
        let wish = response.webhook_delivery.as_deref();
        let answer = Answer {
            status: response.status,
            wish: wish.and_then(Wish::parse),
            retry_after: retry_after.and_then(|text| retry_after::parse(text, now)),
        };
        let text = &response.body_excerpt;
        // What replaced unprintable bytes may be longer than they were.
        let kept = &text[..text.floor_char_boundary(MAX_LOGGED_BYTES)];
        Self {
            met: Met::Answer(answer),
            took,
            status: Some(response.status),
            error: None,
            response: (!kept.is_empty()).then(|| kept.to_owned()),
        }
    }

    fn unanswered(error: &EgressError, took: Duration) -> Self {
        let met = match error {
            EgressError::Timeout => Met::Timeout,
            EgressError::Blocked(_) => Met::BlockedAddress,
            EgressError::Dns
            | EgressError::Connect(_)
            | EgressError::Tls(_)
            | EgressError::Reset
            | EgressError::Other(_) => Met::NoAnswer,
        };
        Self { met, took, status: None, error: Some(error.to_string()), response: None }
    }
}

/// The bytes to send; what overtook an earlier event says so.
fn body(delivery: &Delivery) -> Bytes {
    match delivery.body.strip_prefix(b"{") {
        Some(rest) if delivery.overtook => [OUT_OF_ORDER, rest].concat().into(),
        _ => Bytes::copy_from_slice(&delivery.body),
    }
}

fn headers(delivery: &Delivery, body: &[u8], now: Timestamp) -> HeaderMap {
    let timestamp_secs = now.unix_secs();
    let secrets = [Some(delivery.secret.as_slice()), delivery.old_secret.as_deref()];
    let keys = Keys { secrets, ed25519: delivery.ed25519 };
    let signature = sign(keys, delivery.event, timestamp_secs, body);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(WEBHOOK_ID, text(&delivery.event.to_string()));
    headers.insert(WEBHOOK_TIMESTAMP, HeaderValue::from(timestamp_secs));
    headers.insert(WEBHOOK_SIGNATURE, text(&signature));
    headers.insert(WEBHOOK_ATTEMPT, HeaderValue::from(delivery.attempts.saturating_add(1)));
    headers
}

fn text(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).expect("ids and signatures are letters, digits and +/=,_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_secs(1_772_366_408);

    fn response() -> EgressResponse {
        EgressResponse {
            status: 503,
            retry_after: Some("Sun, 01 Mar 2026 12:02:08 GMT".to_owned()),
            webhook_delivery: Some("abort-message".to_owned()),
            body_excerpt: "no".to_owned(),
            body_cut: false,
            duration: Duration::ZERO,
        }
    }

    #[test]
    fn an_answers_headers_are_understood() {
        let attempt = Attempt::answered(&response(), Duration::ZERO, NOW);
        let expected = Answer {
            status: 503,
            wish: Some(Wish::AbortMessage),
            retry_after: Some(Duration::from_secs(120)),
        };
        assert_eq!(attempt.met, Met::Answer(expected));
        assert_eq!(attempt.response.as_deref(), Some("no"));
    }

    #[test]
    fn an_answer_is_cut_to_what_the_log_takes() {
        let body_excerpt = "\u{fffd}".repeat(4_096);
        let response = EgressResponse { body_excerpt, ..response() };
        let logged = Attempt::answered(&response, Duration::ZERO, NOW).response.unwrap();
        assert_eq!(logged.len(), 4_095);
    }

    #[test]
    fn every_way_of_not_answering_is_told_apart_where_it_matters() {
        let dns = Attempt::unanswered(&EgressError::Dns, Duration::ZERO);
        let timeout = Attempt::unanswered(&EgressError::Timeout, Duration::ZERO);
        let blocked = runtime::egress::Blocked::Address("loopback");
        let blocked = Attempt::unanswered(&EgressError::Blocked(blocked), Duration::ZERO);
        assert_eq!(
            [dns.met, timeout.met, blocked.met],
            [Met::NoAnswer, Met::Timeout, Met::BlockedAddress]
        );
    }
}
