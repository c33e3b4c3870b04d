//! The right to make attempts at an endpoint.

use std::fmt;
use std::time::Instant;

use domain::{DeliveryId, EndpointId, Timestamp};

use super::{Lanes, Made, Place};

/// The right to one attempt at one endpoint; given back when it is dropped.
pub(crate) struct Permit {
    lanes: Lanes,
    endpoint: EndpointId,
    /// What it holds, until it is given back.
    place: Option<Place>,
}

/// What comes after an attempt.
#[derive(Debug)]
pub(crate) enum Next {
    /// This one.
    Take(Permit, DeliveryId),
    /// Nobody waits who may go now.
    Nothing,
    /// The endpoint is left alone until then: these waited, and are to be put off.
    Shut(Vec<DeliveryId>, Timestamp),
}

impl Permit {
    pub(super) fn new(lanes: Lanes, endpoint: EndpointId, place: Place) -> Self {
        Self { lanes, endpoint, place: Some(place) }
    }

    /// Says that the call begins now.
    pub(crate) fn begin(&mut self, now: Instant) {
        if let Some(place) = &mut self.place {
            place.call = Some(now);
            self.lanes.lock().begin_call(&self.endpoint, now);
        }
    }

    /// Says what came of the attempt: more or fewer may be under way at once from now on, or none.
    pub(crate) fn note(&mut self, made: Made) {
        let Some(place) = &mut self.place else { return };
        let ended = *place;
        (place.probes, place.call) = (false, None);
        self.lanes.lock().note(&self.endpoint, ended, made, self.lanes.limits.most);
    }

    /// Gives this one back for the next delivery in the lines.
    ///
    /// Looking and giving back are one step: in between, somebody could join a line that nobody
    /// would look at again.
    pub(crate) fn next(mut self, now: Timestamp) -> Next {
        let lanes = self.lanes.clone();
        let mut state = lanes.lock();
        if let Some(place) = self.place.take() {
            state.leave_place(&self.endpoint, place);
        }
        let shut = state.lanes.get(&self.endpoint).and_then(|lane| lane.shut_until(now));
        if let Some(until) = shut {
            return Next::Shut(state.take_lines(&self.endpoint), until);
        }
        match state.call_next(self.endpoint, lanes.limits, now) {
            Some((delivery, place)) => {
                Next::Take(Self::new(lanes.clone(), self.endpoint, place), delivery)
            }
            None => {
                state.tidy(&self.endpoint, lanes.limits);
                Next::Nothing
            }
        }
    }

    /// Takes out of the lines, after a turn with so many calls, what the next turns will get to. The
    /// rest waits there for whoever makes calls besides, or in the ledger: an endpoint that takes two
    /// calls in a turn would otherwise have thousands rung for in each.
    pub(crate) fn hand_on(&self, calls: usize) -> Vec<DeliveryId> {
        self.lanes.lock().take_turns(&self.endpoint, calls)
    }

    /// Takes everybody out of the lines.
    pub(crate) fn take_lines(&self) -> Vec<DeliveryId> {
        self.lanes.lock().take_lines(&self.endpoint)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            let mut state = self.lanes.lock();
            state.leave_place(&self.endpoint, place);
            state.tidy(&self.endpoint, self.lanes.limits);
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}
