//! The notifier: brings events to the sellers' webhook endpoints.
//!
//! A ring names a delivery. It is claimed under a lease, signed (Standard Webhooks 1.0.0), posted
//! and recorded with what follows: it is done, it is due again on the schedule, or its endpoint is
//! disabled. The ledger says when the next attempt is due and the reconciler rings then.
//!
//! At least once: who dies between sending and recording leaves a lease that runs out, and the
//! same bytes are sent again under the same `webhook-id`. Deliveries of one endpoint never keep
//! another's waiting.

mod attempt;
mod breaker;
mod judgement;
mod lanes;
mod ledger;
mod meters;
mod postman;
mod retry_after;
mod signature;
mod turnstile;

use std::num::NonZeroUsize;
use std::time::Duration;

use queue::{Queue, Stream, WorkError};
use runtime::egress::{EgressClient, EgressOptions, EgressSetupError, Targets};
use runtime::{Clock, Config};
use store::Store;
use tokio_util::sync::CancellationToken;

pub use meters::begin_metrics;

use lanes::{Lanes, Limits};
use ledger::Ledger;
use postman::Postman;
use turnstile::Turnstile;

/// How much longer than a call its claim holds: time to record what came of it.
const LEASE_MARGIN: Duration = Duration::from_secs(30);

/// Attempts that an endpoint may have under way of which nothing is known yet.
const FIRST_IN_FLIGHT: usize = 8;

/// Attempts that an endpoint that keeps up may have under way.
const MOST_IN_FLIGHT: usize = 64;

/// No endpoint ever holds more than this part of the process's slots.
const LARGEST_SHARE: usize = 4;

/// What is slow or likely to fail holds no more than this part of them altogether.
const SLOW_SHARE: usize = 4;

/// Deliveries that may wait in memory in one line of an endpoint, and altogether; the rest waits in the ledger.
const LINE: usize = 4_096;
const ALL_LINES: usize = 65_536;

/// Endpoints whose pace is remembered while nothing is under way to them: about a megabyte.
const REMEMBERED: usize = 10_000;

/// How long a stopping process waits for Redis to take the last rings; lost ones ring again.
const LAST_RINGS: Duration = Duration::from_secs(2);

/// Why the notifier did not start, or left something behind.
#[derive(Debug, thiserror::Error)]
pub enum NotifierError {
    /// The HTTP client could not be made.
    #[error(transparent)]
    Egress(#[from] EgressSetupError),
    /// Not everything was finished in time. What was not is attempted again.
    #[error(transparent)]
    Work(#[from] WorkError),
}

/// Makes deliveries until `shutdown`, then finishes those under way. Neither an outage of
/// PostgreSQL nor one of Redis ends it.
///
/// # Errors
/// [`NotifierError`] when it cannot start, or had to leave something behind.
pub async fn run(
    config: &Config,
    store: Store,
    queue: &Queue,
    clock: Clock,
    shutdown: CancellationToken,
) -> Result<(), NotifierError> {
    let settings = &config.notifier;
    let targets = Targets::from_setting(settings.allow_private_targets);
    let egress = EgressClient::new(EgressOptions::new(targets, settings.user_agent.as_str()))?;
    let slots = NonZeroUsize::new(settings.concurrency).unwrap_or(NonZeroUsize::MIN);
    let timeout = Duration::from_millis(settings.timeout_ms);
    let lease = timeout.saturating_add(LEASE_MARGIN);
    let postman = Postman {
        ledger: Ledger::open(store, clock.clone(), slots, lease, shutdown.clone()),
        lanes: Lanes::new(limits(slots)),
        turnstile: Turnstile::new(queue.gates(), lease),
        egress,
        bell: queue.bell(),
        clock,
        timeout,
        shutdown: shutdown.clone(),
    };
    let handler = {
        let postman = postman.clone();
        move |job| {
            let postman = postman.clone();
            async move { postman.answer(job).await }
        }
    };
    let worked = queue.work(Stream::Notify, slots, handler, shutdown).await;
    postman.hand_over();
    postman.ledger.close().await;
    if !postman.bell.flush(LAST_RINGS).await {
        tracing::warn!("the last rings were not taken; the reconciler will ring again");
    }
    Ok(worked?)
}

fn limits(slots: NonZeroUsize) -> Limits {
    let share = (slots.get() / LARGEST_SHARE).max(1);
    Limits {
        first: FIRST_IN_FLIGHT.min(share),
        most: MOST_IN_FLIGHT.min(share),
        slow: (slots.get() / SLOW_SHARE).max(1),
        line: LINE,
        all_lines: ALL_LINES,
        remembered: REMEMBERED,
    }
}
