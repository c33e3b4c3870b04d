//! The webhook client against hostile URLs and hostile receivers, over real sockets.
#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the test")]

mod corpus;
mod receiver;
mod receivers;
mod tls;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::HeaderMap;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use runtime::egress::Targets;
use runtime::{EgressClient, EgressError, EgressOptions, EgressResponse};

/// Long enough for anything that answers at all.
const PATIENT: Duration = Duration::from_secs(20);

/// Short enough to wait for what never answers.
const HASTY: Duration = Duration::from_millis(300);

/// Answers every name alike, and counts.
#[derive(Clone, Default)]
struct Answers {
    addresses: Vec<IpAddr>,
    asked: Arc<AtomicUsize>,
}

impl Answers {
    fn of(addresses: &[&str]) -> Self {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Self { addresses, asked: Arc::default() }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Resolve for Answers {
    fn resolve(&self, _name: Name) -> Resolving {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let addresses = self.addresses.clone();
        let found: Addrs = Box::new(addresses.into_iter().map(|ip| SocketAddr::new(ip, 0)));
        Box::pin(async move { Ok(found) })
    }
}

fn client(targets: Targets, answers: Answers) -> EgressClient {
    let mut options = EgressOptions::new(targets, "Quittance-Webhooks/1.0");
    options.resolver = Some(Arc::new(answers));
    EgressClient::new(options).unwrap()
}

/// A client as in development: any address, http too.
fn lenient() -> EgressClient {
    client(Targets::PublicAndPrivate, Answers::of(&["127.0.0.1"]))
}

async fn post(
    client: &EgressClient,
    url: &str,
    deadline: Duration,
) -> Result<EgressResponse, EgressError> {
    client.post(url, HeaderMap::new(), Bytes::from_static(b"{}"), deadline).await
}
