//! The sellers' webhook receiver: verifies, and remembers what it was told and when.

use std::collections::HashMap;
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
    /// From the event to its arrival, since they were last forgotten.
    delays: Option<Latencies>,
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

    /// Where the next seller is told, whose webhooks are signed with this secret.
    pub(crate) fn expect(&self, secret: &str) {
        lock(&self.desk.secrets).push(Webhook::new(secret).unwrap());
    }

    /// Forgets how long webhooks took so far.
    pub(crate) fn forget_delays(&self) {
        lock(&self.desk.told).delays = None;
    }

    pub(crate) fn delays(&self) -> Option<Percentiles> {
        lock(&self.desk.told).delays.as_ref().map(Latencies::percentiles)
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
    let verified = lock(&desk.secrets)
        .get(seller)
        .is_some_and(|webhook| webhook.verify(&body, &headers).is_ok());
    let mut told = lock(&desk.told);
    let event = serde_json::from_slice::<Event>(&body).ok().filter(|_| verified);
    let payment = event.as_ref().and_then(|event| event.data.id.parse::<PaymentId>().ok());
    let (Some(event), Some(payment)) = (event, payment) else {
        told.counts.forged += 1;
        return StatusCode::BAD_REQUEST;
    };
    told.counts.received += 1;
    if let Some(happened) = unix_ms(&event.timestamp) {
        let delay = u64::try_from(now.saturating_sub(happened)).unwrap_or_default();
        told.delays.get_or_insert_with(Latencies::new).record(Duration::from_millis(delay));
    }
    match told.ends.get(&payment).map(|(_, sequence)| *sequence) {
        Some(before) if before == event.sequence => told.counts.duplicates += 1,
        Some(before) if before > event.sequence => told.counts.out_of_order += 1,
        _ => {
            told.ends.insert(payment, (event.data.status, event.sequence));
        }
    }
    StatusCode::OK
}

/// A time as our API writes it (RFC 3339).
pub(crate) fn unix_ms(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
