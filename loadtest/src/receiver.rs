//! The sellers' webhook receiver: verifies, and remembers what it was told and when.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use domain::PaymentId;
use runtime::Clock;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::net::TcpListener;

use crate::latency::{Latencies, Percentiles};

/// Receives for all sellers; each has a path of its own.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    desk: Arc<Desk>,
}

#[derive(Default)]
struct Desk {
    /// What each seller's webhooks are signed with.
    secrets: Mutex<Vec<Webhook>>,
    /// Sellers who never answer.
    hanging: Mutex<HashSet<usize>>,
    told: Mutex<Told>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Told {
    /// How each payment ended, and the newest sequence that was told of it.
    ends: HashMap<PaymentId, (String, u64)>,
    counts: Counts,
    /// Sellers who are counted apart.
    apart: HashSet<usize>,
    news: News,
}

/// What came of the events since the delays were last forgotten.
#[derive(Debug, Default)]
struct News {
    /// The first event that counts (Unix milliseconds).
    since: i64,
    /// From each event to its first arrival.
    others: Tally,
    apart: Tally,
    /// Arrivals of events from before, for the first time.
    old: u64,
}

/// Events of some sellers that arrived, and how long each took.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) events: u64,
    delays: Option<Latencies>,
}

impl Tally {
    fn record(&mut self, delay: Duration) {
        self.events += 1;
        self.delays.get_or_insert_with(Latencies::new).record(delay);
    }

    pub(crate) fn delays(&self) -> Option<Percentiles> {
        self.delays.as_ref().map(Latencies::percentiles)
    }

    /// For a report.
    pub(crate) fn figures(&self) -> Value {
        let mut figures = json!(self.delays());
        figures["told"] = json!(self.events);
        figures
    }
}

/// What came.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Counts {
    pub(crate) received: u64,
    /// Told again.
    pub(crate) duplicates: u64,
    /// Told after something that happened later.
    pub(crate) out_of_order: u64,
    /// Not signed by us.
    pub(crate) forged: u64,
}

#[derive(Debug, Deserialize)]
struct Event {
    /// When it happened (RFC 3339).
    timestamp: String,
    sequence: u64,
    data: Payment,
}

#[derive(Debug, Deserialize)]
struct Payment {
    id: String,
    status: String,
}

impl Receiver {
    /// Starts one on a free port; it ends with the process.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let desk = Arc::<Desk>::default();
        let app = Router::new().route("/{seller}", post(receive)).with_state(Arc::clone(&desk));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, desk }
    }

    /// The number of the next seller, in whose path it stands.
    pub(crate) fn next_seller(&self) -> usize {
        lock(&self.desk.secrets).len()
    }

    /// Where the next seller is told, whose webhooks are signed with this secret.
    pub(crate) fn expect(&self, secret: &str) {
        lock(&self.desk.secrets).push(Webhook::new(secret).unwrap());
    }

    /// These sellers are counted apart from the others.
    pub(crate) fn count_apart(&self, sellers: HashSet<usize>) {
        lock(&self.desk.told).apart = sellers;
    }

    /// These sellers take what they are sent and never answer, until others are named. Who waits for
    /// an answer already goes on waiting.
    pub(crate) fn hang(&self, sellers: HashSet<usize>) {
        *lock(&self.desk.hanging) = sellers;
    }

    /// Forgets how long webhooks took so far: from now on, what happens from now on counts.
    pub(crate) fn forget_delays(&self) {
        let since = Clock::system().now_unix_ms();
        lock(&self.desk.told).news = News { since, ..News::default() };
    }

    /// How long webhooks took to those who are not counted apart.
    pub(crate) fn delays(&self) -> Option<Percentiles> {
        lock(&self.desk.told).news.others.delays()
    }

    /// What came since the delays were forgotten, to those who are not counted apart and to those who are.
    pub(crate) fn tallies(&self) -> (Tally, Tally) {
        let told = lock(&self.desk.told);
        (told.news.others.clone(), told.news.apart.clone())
    }

    /// How many events from before the delays were forgotten have arrived since, for the first time.
    pub(crate) fn old_events(&self) -> u64 {
        lock(&self.desk.told).news.old
    }

    /// Of how many payments something was told.
    pub(crate) fn payments(&self) -> usize {
        lock(&self.desk.told).ends.len()
    }

    pub(crate) fn counts(&self) -> Counts {
        lock(&self.desk.told).counts
    }

    /// How this payment ended, as far as anybody was told.
    pub(crate) fn end_of(&self, payment: PaymentId) -> Option<String> {
        lock(&self.desk.told).ends.get(&payment).map(|(status, _)| status.clone())
    }
}

async fn receive(
    State(desk): State<Arc<Desk>>,
    Path(seller): Path<usize>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let now = Clock::system().now_unix_ms();
    if lock(&desk.hanging).contains(&seller) {
        return std::future::pending().await;
    }
    let verified = lock(&desk.secrets)
        .get(seller)
        .is_some_and(|webhook| webhook.verify(&body, &headers).is_ok());
    let event = serde_json::from_slice::<Event>(&body).ok().filter(|_| verified);
    let mut told = lock(&desk.told);
    match event.map(|event| told.take(seller, event, now)) {
        Some(Some(())) => StatusCode::OK,
        Some(None) | None => {
            told.counts.forged += 1;
            StatusCode::BAD_REQUEST
        }
    }
}

impl Told {
    /// Takes note of an event, unless it is none of ours.
    fn take(&mut self, seller: usize, event: Event, now: i64) -> Option<()> {
        let payment = event.data.id.parse::<PaymentId>().ok()?;
        let happened = unix_ms(&event.timestamp)?;
        self.counts.received += 1;
        match self.ends.get(&payment).map(|(_, sequence)| *sequence) {
            Some(before) if before == event.sequence => {
                self.counts.duplicates += 1;
                return Some(());
            }
            Some(before) if before > event.sequence => self.counts.out_of_order += 1,
            _ => {
                self.ends.insert(payment, (event.data.status, event.sequence));
            }
        }
        let delay = u64::try_from(now.saturating_sub(happened)).unwrap_or_default();
        let News { since, others, apart, old } = &mut self.news;
        match (happened >= *since, self.apart.contains(&seller)) {
            (false, _) => *old += 1,
            (true, false) => others.record(Duration::from_millis(delay)),
            (true, true) => apart.record(Duration::from_millis(delay)),
        }
        Some(())
    }
}

/// A time as our API writes it (RFC 3339).
pub(crate) fn unix_ms(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An event of this payment, in this second.
    fn event(payment: u128, second: i64, sequence: u64) -> Event {
        let at = OffsetDateTime::from_unix_timestamp(second).unwrap();
        let id = PaymentId::new(uuid::Uuid::from_u128(payment)).to_string();
        let data = Payment { id, status: "settled".to_owned() };
        Event { timestamp: at.format(&Rfc3339).unwrap(), sequence, data }
    }

    fn since(second: i64) -> Told {
        let news = News { since: second * 1_000, ..News::default() };
        Told { news, apart: HashSet::from([7]), ..Told::default() }
    }

    #[test]
    fn an_event_that_is_told_again_counts_once_and_by_its_first_arrival() {
        let mut told = since(10);
        assert_eq!(told.take(1, event(1, 10, 2), 10_050), Some(()));
        assert_eq!(told.take(1, event(1, 10, 2), 19_000), Some(()));
        assert_eq!((told.counts.received, told.counts.duplicates), (2, 1));
        assert_eq!(told.news.others.events, 1);
        assert!(told.news.others.delays().unwrap().max_ms < 60.0);
    }

    #[test]
    fn what_happened_before_the_delays_were_forgotten_is_counted_and_not_timed() {
        let mut told = since(10);
        told.take(1, event(1, 9, 2), 12_000).unwrap();
        told.take(1, event(2, 10, 2), 12_000).unwrap();
        assert_eq!((told.news.old, told.news.others.events), (1, 1));
    }

    #[test]
    fn some_sellers_are_counted_apart() {
        let mut told = since(10);
        told.take(7, event(1, 10, 2), 12_000).unwrap();
        told.take(1, event(2, 10, 2), 10_001).unwrap();
        assert_eq!((told.news.apart.events, told.news.others.events), (1, 1));
        assert!(told.news.apart.delays().unwrap().p50_ms > 1_900.0);
    }

    #[test]
    fn what_names_no_payment_is_none_of_ours() {
        let mut bad = event(1, 10, 2);
        bad.data.id = "evt_1".to_owned();
        assert_eq!(since(10).take(1, bad, 10_001), None);
    }
}
