//! The bounds that the owner of an endpoint has set on its calls.
//!
//! All notifiers keep them together, over Redis. While it is away each keeps them by itself: the
//! bound on calls a second here, the one on calls at once in its lanes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::{EndpointId, Timestamp};
use queue::{Bounds, Gates, Passage};

/// How long whoever finds as many calls under way as may be stays away.
const WHILE_FULL: Duration = Duration::from_secs(1);

/// Endpoints that are remembered while Redis is away.
const REMEMBERED: usize = 10_000;

/// Whether a call may be made now.
#[derive(Clone, Debug)]
pub(crate) enum Turn {
    /// It may; the ticket is given back when it is over.
    Now(Ticket),
    /// After this long.
    After(Duration),
}

/// The right to make one call. Each has a name of its own: two calls about one delivery, of which
/// one will not be made, must not give each other's place back.
#[derive(Clone, Debug)]
pub(crate) struct Ticket(Option<String>);

/// Keeps the bounds. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Turnstile {
    gates: Gates,
    /// How long a call takes at most.
    stay: Duration,
    /// When the next call to an endpoint may be made, as far as this process knows.
    alone: Arc<Mutex<HashMap<EndpointId, Timestamp>>>,
}

impl Turnstile {
    pub(crate) fn new(gates: Gates, stay: Duration) -> Self {
        Self { gates, stay, alone: Arc::default() }
    }

    /// Asks for a call to an endpoint with these bounds.
    pub(crate) async fn enter(&self, endpoint: EndpointId, bounds: Bounds, now: Timestamp) -> Turn {
        if bounds == Bounds::default() {
            return Turn::Now(Ticket(None));
        }
        let (gate, who) = (endpoint.to_string(), runtime::new_uuid().to_string());
        match self.gates.enter(&gate, &who, bounds, self.stay).await {
            Ok(Passage::Inside) => Turn::Now(Ticket(bounds.at_once.map(|_| who))),
            Ok(Passage::Full) => Turn::After(WHILE_FULL),
            Ok(Passage::After(wait)) => Turn::After(wait),
            Err(error) => {
                tracing::debug!(%error, %endpoint, "its bounds are kept by this process alone");
                self.alone(endpoint, bounds, now)
            }
        }
    }

    /// Says that a call is over.
    pub(crate) async fn leave(&self, endpoint: EndpointId, ticket: Ticket) {
        if let Ticket(Some(who)) = ticket {
            // Without it the place is free when the longest call would be over.
            let _ = self.gates.leave(&endpoint.to_string(), &who).await;
        }
    }

    fn alone(&self, endpoint: EndpointId, bounds: Bounds, now: Timestamp) -> Turn {
        let Some(interval) =
            bounds.per_second.and_then(|rate| Duration::from_secs(1).checked_div(rate))
        else {
            return Turn::Now(Ticket(None));
        };
        let mut next = self.alone.lock().unwrap_or_else(PoisonError::into_inner);
        let due = next.get(&endpoint).copied().unwrap_or(now);
        if due > now {
            return Turn::After(due.since(now));
        }
        if next.len() >= REMEMBERED {
            next.retain(|_, due| *due > now);
        }
        next.insert(endpoint, now.plus(interval.max(Duration::from_millis(1))));
        Turn::Now(Ticket(None))
    }
}
