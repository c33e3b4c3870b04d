//! The open loop: every request is sent when it is due, however the others fare.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use domain::PaymentId;
use http_body_util::Full;
use hyper::Request;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::connection::Connections;
use crate::course::Curve;
use crate::follow::{Followed, follow};
use crate::latency::{Latencies, Percentiles};
use crate::order::{Kind, Order};

/// How long an answer may take before the request counts as unanswered.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request that leaves the generator so much after its time is late, by the generator's fault.
const LATE: Duration = Duration::from_millis(10);

/// The most connections.
const CONNECTIONS: usize = 256;

/// One payment of so many is followed by its status.
const FOLLOWED_OF: usize = 100;

/// Connections for that: more wait at a time than are answered.
const WAITING: usize = 512;

/// Whom to send to, and as whom.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) ingress: SocketAddr,
    /// Whom to ask what became of a payment, where somebody serves that.
    pub(crate) results: Option<SocketAddr>,
    /// Each seller's API key.
    pub(crate) keys: Vec<String>,
}

/// How an offering went.
#[derive(Debug)]
pub(crate) struct Offered {
    /// The payments that were taken, each once.
    pub(crate) payments: Vec<PaymentId>,
    /// From when each request was due to when it was answered.
    pub(crate) latency: Percentiles,
    pub(crate) curve: Curve,
    pub(crate) counts: Counts,
    pub(crate) took: Duration,
    /// Those whose status is followed, once they are over.
    pub(crate) followed: JoinHandle<Vec<(PaymentId, Followed)>>,
}

/// What became of the requests.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    /// Sent late by the generator itself.
    pub(crate) late: u64,
    /// Answered in no way that fits their kind, by answer.
    pub(crate) unexpected: BTreeMap<String, u64>,
    /// Asked to come back: 503 with `Retry-After`, as there was no room.
    pub(crate) turned_away: u64,
    /// Not answered.
    pub(crate) unanswered: u64,
}

impl Counts {
    /// Requests that were not answered as they should be.
    pub(crate) fn failed(&self) -> u64 {
        self.unanswered + self.turned_away + self.unexpected.values().sum::<u64>()
    }
}

struct Answered {
    kind: Kind,
    after: Duration,
    was_late: bool,
    /// Status, code and payment; `None` when there was no answer.
    answer: Option<(u16, Body)>,
}

/// What is read of an answer.
#[derive(Debug, Default, Deserialize)]
struct Body {
    id: Option<String>,
    code: Option<String>,
}

/// Sends each order at its time.
pub(crate) async fn offer(target: &Target, orders: &[Order], times: &[Duration]) -> Offered {
    let connections = Arc::new(Connections::to(target.ingress, CONNECTIONS));
    let keys: Vec<String> = target.keys.iter().map(|key| format!("Bearer {key}")).collect();
    let (tell, told) = mpsc::unbounded_channel();
    let counting = tokio::spawn(count(told));
    let results = target.results.map(|address| Arc::new(Connections::to(address, WAITING)));
    let (follow_up, mut followed) = mpsc::unbounded_channel();
    let began = Instant::now();
    for (number, (order, after)) in orders.iter().zip(times).enumerate() {
        let due = began + *after;
        tokio::time::sleep_until(due).await;
        let was_late = due.elapsed() > LATE;
        let request = Request::post("/v1/payments")
            .header("host", "ingress")
            .header("authorization", &keys[order.seller])
            .header("content-type", "application/json")
            .body(Full::new(order.body.clone()))
            .unwrap();
        let (kind, tell, connections) = (order.kind, tell.clone(), Arc::clone(&connections));
        let follower = results
            .clone()
            .filter(|_| number % FOLLOWED_OF == 0)
            .map(|results| (results, keys[order.seller].clone(), follow_up.clone()));
        tokio::spawn(async move {
            let answer = tokio::time::timeout(PATIENCE, connections.send(request)).await;
            let answer = answer.ok().and_then(Result::ok).map(|(status, body)| {
                (status.as_u16(), serde_json::from_slice(&body).unwrap_or_default())
            });
            let after = due.elapsed();
            let taken = answer.as_ref().and_then(|(status, body): &(u16, Body)| {
                body.id.as_ref().filter(|_| *status < 300)?.parse::<PaymentId>().ok()
            });
            // Whoever counts waits for every answer.
            let _ = tell.send(Answered { kind, after, was_late, answer });
            drop(tell);
            if let (Some(id), Some((results, bearer, follow_up))) = (taken, follower) {
                let _ = follow_up.send((id, follow(results, bearer, id).await));
            }
        });
    }
    drop((tell, follow_up));
    let followed = tokio::spawn(async move {
        let mut all = Vec::new();
        while followed.recv_many(&mut all, usize::MAX).await > 0 {}
        all
    });
    let (payments, latencies, counts) = counting.await.unwrap();
    let (latency, curve) = (latencies.percentiles(), latencies.curve());
    Offered { payments, latency, curve, counts, took: began.elapsed(), followed }
}

async fn count(mut told: mpsc::UnboundedReceiver<Answered>) -> (Vec<PaymentId>, Latencies, Counts) {
    let (mut payments, mut latencies) = (Vec::new(), Latencies::new());
    let mut counts = Counts::default();
    while let Some(Answered { kind, after, was_late, answer }) = told.recv().await {
        counts.sent += 1;
        counts.late += u64::from(was_late);
        latencies.record(after);
        let Some((status, Body { id, code })) = answer else {
            counts.unanswered += 1;
            continue;
        };
        if (status, code.as_deref()) == (503, Some("overloaded")) {
            counts.turned_away += 1;
        } else if !kind.fits(status, code.as_deref()) {
            let answer = format!("{kind:?}: {status} {}", code.unwrap_or_default());
            *counts.unexpected.entry(answer).or_default() += 1;
        }
        if status < 300 {
            payments.extend(id.and_then(|id| id.parse::<PaymentId>().ok()));
        }
    }
    payments.sort_unstable();
    payments.dedup();
    (payments, latencies, counts)
}
