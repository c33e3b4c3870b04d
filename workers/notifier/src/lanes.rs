//! How many attempts each endpoint has under way at once, and who waits.
//!
//! One endpoint that hangs holds a few slots of the process and no more; all that are slow, or have
//! failed before, hold a part of them together. What finds its endpoint busy waits in a line in
//! memory and is taken up by whoever finishes an attempt there, so that a burst to one endpoint
//! runs at that endpoint's own speed. A line is a convenience: a delivery that finds no room in it,
//! or is in it when the process dies, is due in the ledger all the same.

mod lane;
mod permit;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::{DeliveryId, EndpointId, Timestamp};

use self::lane::Lane;
pub(crate) use self::lane::Line;
pub(crate) use self::permit::{Next, Permit};
use crate::breaker::Leave;

/// The bounds of all lanes of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Attempts that an endpoint may have under way of which nothing is known yet.
    pub(crate) first: usize,
    /// Attempts that an endpoint may ever have under way.
    pub(crate) most: usize,
    /// Attempts that may be under way altogether which are slow, or likely to fail.
    pub(crate) slow: usize,
    /// Deliveries that may wait in one line of an endpoint.
    pub(crate) line: usize,
    /// Deliveries that may wait altogether.
    pub(crate) all_lines: usize,
    /// Endpoints that are remembered while nothing is under way to them.
    pub(crate) remembered: usize,
}

/// How an endpoint takes what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// It keeps up.
    Good,
    /// It fails in a way that says nothing about its load.
    Unknown,
    /// It cannot keep up.
    TooMuch,
}

/// A delivery that wants to be attempted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) delivery: DeliveryId,
    pub(crate) endpoint: EndpointId,
    pub(crate) line: Line,
    /// When its owner last did something about the endpoint.
    pub(crate) changed_at: Timestamp,
    /// What the endpoint's owner allows at once.
    pub(crate) most: usize,
    /// Whether its owner allows so many a second, and it may have to wait for its turn.
    pub(crate) paced: bool,
    /// Whether no breaker keeps it back: it has waited for so long, or its endpoint's owner waits to see
    /// what comes of it.
    pub(crate) regardless: bool,
}

/// What becomes of a wish.
#[derive(Debug)]
pub(crate) enum Entry {
    /// It is attempted now.
    Go(Permit),
    /// It waits in a line, or is left to the ledger.
    Wait,
    /// The endpoint is left alone until then.
    Shut(Timestamp),
}

/// The lanes of a process. Cheap to clone; clones share them.
#[derive(Clone)]
pub(crate) struct Lanes {
    limits: Limits,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Those of endpoints with attempts under way or deliveries waiting, and of as many others as
    /// are remembered for how they take what they are sent.
    lanes: HashMap<EndpointId, Lane>,
    /// Everything in any line.
    waiting: HashSet<DeliveryId>,
    /// Slow attempts under way.
    slow: usize,
}

impl Lanes {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, state: Arc::default() }
    }

    /// A permit to attempt this delivery now. Without one, it waits in a line if there is room and
    /// somebody to take it up, and is left to the ledger if there is not.
    pub(crate) fn enter(&self, wish: Wish, now: Timestamp) -> Entry {
        let mut state = self.lock();
        let first = self.limits.first;
        let changed_at = wish.changed_at;
        let lane = state.lanes.entry(wish.endpoint).or_insert_with(|| Lane::new(first, changed_at));
        lane.heed_change(changed_at, now);
        lane.most = wish.most;
        lane.paced = wish.paced;
        if let Some(until) = lane.shut_until(now).filter(|_| !wish.regardless) {
            return Entry::Shut(until);
        }
        if let Some(place) = state.take_place(&wish, self.limits, now) {
            return Entry::Go(Permit::new(self.clone(), wish.endpoint, place));
        }
        state.line_up(&wish, self.limits);
        Entry::Wait
    }

    /// Empties all lines.
    pub(crate) fn empty(&self) -> Vec<DeliveryId> {
        let mut state = self.lock();
        for lane in state.lanes.values_mut() {
            lane.live.clear();
            lane.later.clear();
        }
        state.lanes.retain(|_, lane| !lane.is_idle());
        state.waiting.drain().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while holding it, and every step leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an attempt under way holds.
#[derive(Clone, Copy, Debug)]
struct Place {
    line: Line,
    /// One of the places for slow attempts.
    slow: bool,
    /// The right to find out whether the endpoint is well again.
    probes: bool,
    /// When the owner had last done something about the endpoint; what it was before says nothing.
    changed_at: Timestamp,
    /// When the call began that is under way.
    call: Option<Instant>,
}

impl State {
    /// A place for one more attempt, if there is one for it now.
    fn take_place(&mut self, wish: &Wish, limits: Limits, now: Timestamp) -> Option<Place> {
        let lane = self.lanes.get_mut(&wish.endpoint)?;
        if !lane.has_place(wish.line) {
            return None;
        }
        let leave = lane.breaker.look(now);
        let probes = match leave {
            Leave::Granted => false,
            Leave::ToProbe => true,
            Leave::AfterTheProbe | Leave::NotBefore(_) if wish.regardless => false,
            Leave::AfterTheProbe | Leave::NotBefore(_) => return None,
        };
        let likely_fails = leave != Leave::Granted;
        let slow = likely_fails || wish.paced || wish.line == Line::Later || lane.is_slow();
        if slow && self.slow >= limits.slow {
            return None;
        }
        if probes {
            lane.breaker.probe();
        }
        lane.in_flight += 1;
        lane.later_in_flight += usize::from(wish.line == Line::Later);
        self.slow += usize::from(slow);
        Some(Place { line: wish.line, slow, probes, changed_at: lane.changed_at, call: None })
    }

    fn leave_place(&mut self, endpoint: &EndpointId, place: Place) {
        self.slow = self.slow.saturating_sub(usize::from(place.slow));
        let Some(lane) = self.lanes.get_mut(endpoint) else { return };
        lane.in_flight = lane.in_flight.saturating_sub(1);
        let later = usize::from(place.line == Line::Later);
        lane.later_in_flight = lane.later_in_flight.saturating_sub(later);
        lane.end_call(place.call);
        if place.probes && place.changed_at == lane.changed_at {
            lane.breaker.give_up_probe();
        }
    }

    fn line_up(&mut self, wish: &Wish, limits: Limits) {
        let has_room = self.waiting.len() < limits.all_lines;
        let Some(lane) = self.lanes.get_mut(&wish.endpoint) else { return };
        let somebody_comes = lane.in_flight > 0;
        let line = lane.line(wish.line);
        if has_room
            && somebody_comes
            && line.len() < limits.line
            && self.waiting.insert(wish.delivery)
        {
            line.push_back(wish.delivery);
        }
    }

    /// The first in the lines for whom there is a place; they have it then.
    fn call_next(
        &mut self,
        endpoint: EndpointId,
        limits: Limits,
        now: Timestamp,
    ) -> Option<(DeliveryId, Place)> {
        for line in [Line::Live, Line::Later] {
            let lane = self.lanes.get_mut(&endpoint)?;
            let (most, paced, changed_at) = (lane.most, lane.paced, lane.changed_at);
            let Some(delivery) = lane.line(line).front().copied() else { continue };
            let wish =
                Wish { delivery, endpoint, line, changed_at, most, paced, regardless: false };
            let Some(place) = self.take_place(&wish, limits, now) else { continue };
            self.lanes.get_mut(&endpoint)?.line(line).pop_front();
            self.waiting.remove(&delivery);
            return Some((delivery, place));
        }
        None
    }

    /// Takes everybody out of an endpoint's lines.
    fn take_lines(&mut self, endpoint: &EndpointId) -> Vec<DeliveryId> {
        let Some(lane) = self.lanes.get_mut(endpoint) else { return Vec::new() };
        let both: Vec<_> = lane.live.drain(..).chain(lane.later.drain(..)).collect();
        both.iter().for_each(|id| {
            self.waiting.remove(id);
        });
        both
    }

    /// Takes those out of an endpoint's lines to whom as many as are under way get in two turns, each
    /// with so many calls.
    fn take_turns(&mut self, endpoint: &EndpointId, calls: usize) -> Vec<DeliveryId> {
        let Some(lane) = self.lanes.get_mut(endpoint) else { return Vec::new() };
        let most = calls.saturating_mul(lane.in_flight).saturating_mul(2);
        let live = most.min(lane.live.len());
        let later = (most - live).min(lane.later.len());
        let taken: Vec<_> = lane.live.drain(..live).chain(lane.later.drain(..later)).collect();
        taken.iter().for_each(|id| {
            self.waiting.remove(id);
        });
        taken
    }

    fn begin_call(&mut self, endpoint: &EndpointId, now: Instant) {
        if let Some(lane) = self.lanes.get_mut(endpoint) {
            lane.calls.push(now);
        }
    }

    /// Takes note of an attempt at an endpoint.
    fn note(&mut self, endpoint: &EndpointId, place: Place, made: Made, most: usize) {
        let Some(lane) = self.lanes.get_mut(endpoint) else { return };
        lane.end_call(place.call);
        lane.note_pace(made.pace, most);
        lane.note_time(made.took);
        if place.changed_at == lane.changed_at {
            lane.note_end(place.call, made);
        }
    }

    /// Lets those go for whom nobody would come, and forgets endpoints of which too many are remembered, or nothing worth it.
    fn tidy(&mut self, endpoint: &EndpointId, limits: Limits) {
        if self.lanes.get(endpoint).is_some_and(|lane| lane.in_flight == 0) {
            // They are due in the ledger, and are rung for again when there may be a place.
            self.take_lines(endpoint);
        }
        let Some(lane) = self.lanes.get(endpoint) else { return };
        if lane.is_idle() && lane.is_unremarkable(limits.first) {
            self.lanes.remove(endpoint);
        } else if self.lanes.len() > limits.remembered {
            self.lanes.retain(|_, lane| !lane.is_idle());
        }
    }
}

/// An attempt that was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made {
    pub(crate) pace: Pace,
    pub(crate) failed: bool,
    /// It was given up without an answer.
    pub(crate) timed_out: bool,
    pub(crate) took: Duration,
    /// When it was over.
    pub(crate) at: Timestamp,
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes").field("limits", &self.limits).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
