//! How many attempts each endpoint has under way at once, and who waits.
//!
//! One endpoint that hangs holds a few slots of the process and no more. What finds its endpoint
//! busy waits in a line in memory and is taken up by whoever finishes an attempt there, so that a
//! burst to one endpoint runs at that endpoint's own speed. A line is a convenience: a delivery
//! that finds no room in it, or is in it when the process dies, is due in the ledger all the same.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::{DeliveryId, EndpointId};

/// The bounds of all lanes of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Attempts that an endpoint may have under way of which nothing is known yet.
    pub(crate) first: usize,
    /// Attempts that an endpoint may ever have under way.
    pub(crate) most: usize,
    /// Deliveries that may wait for one endpoint.
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
}

struct Lane {
    in_flight: usize,
    limit: usize,
    /// Good attempts since the limit last changed.
    good: usize,
    line: VecDeque<DeliveryId>,
}

/// The right to one attempt at a time at one endpoint; given back when it is dropped.
pub(crate) struct Permit {
    lanes: Lanes,
    endpoint: EndpointId,
    given_back: bool,
}

impl Lanes {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, state: Arc::default() }
    }

    /// A permit to attempt this delivery now. Without one, it is left in the line if there is room,
    /// and to the ledger if there is not.
    pub(crate) fn enter(&self, endpoint: EndpointId, delivery: DeliveryId) -> Option<Permit> {
        let mut state = self.lock();
        let State { lanes, waiting } = &mut *state;
        let lane = lanes.entry(endpoint).or_insert_with(|| Lane::new(self.limits.first));
        if lane.in_flight < lane.limit {
            lane.in_flight += 1;
            return Some(Permit { lanes: self.clone(), endpoint, given_back: false });
        }
        let has_room = lane.line.len() < self.limits.line && waiting.len() < self.limits.all_lines;
        if has_room && waiting.insert(delivery) {
            lane.line.push_back(delivery);
        }
        None
    }

    /// Empties all lines.
    pub(crate) fn empty(&self) -> Vec<DeliveryId> {
        let mut state = self.lock();
        state.lanes.values_mut().for_each(|lane| lane.line.clear());
        state.lanes.retain(|_, lane| !lane.is_idle());
        state.waiting.drain().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while holding it, and every step leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    fn new(limit: usize) -> Self {
        Self { in_flight: 0, limit, good: 0, line: VecDeque::new() }
    }

    fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.line.is_empty()
    }

    /// One more after a whole round of good attempts, half as many after a bad one.
    fn note(&mut self, pace: Pace, most: usize) {
        match pace {
            Pace::Good => {
                self.good += 1;
                if self.good >= self.limit {
                    self.limit = (self.limit + 1).min(most);
                    self.good = 0;
                }
            }
            Pace::Unknown => {}
            Pace::TooMuch => {
                self.limit = (self.limit / 2).max(1);
                self.good = 0;
            }
        }
    }
}

impl Permit {
    /// Says how the endpoint took an attempt: more or fewer may be under way at once from now on.
    pub(crate) fn note(&self, pace: Pace) {
        if let Some(lane) = self.lanes.lock().lanes.get_mut(&self.endpoint) {
            lane.note(pace, self.lanes.limits.most);
        }
    }

    /// The next delivery in the line, to be attempted under this permit; none when the line is
    /// empty or the endpoint has more under way than it should.
    ///
    /// Looking and giving back are one step: in between, somebody could join a line that nobody
    /// would look at again.
    pub(crate) fn next(mut self) -> Option<(Self, DeliveryId)> {
        let lanes = self.lanes.clone();
        let mut state = lanes.lock();
        let lane = state.lanes.get_mut(&self.endpoint)?;
        let next = if lane.in_flight > lane.limit { None } else { lane.line.pop_front() };
        if let Some(next) = next {
            state.waiting.remove(&next);
            return Some((self, next));
        }
        state.give_back(&self.endpoint, self.lanes.limits);
        self.given_back = true;
        None
    }

    /// Takes everybody out of the line.
    pub(crate) fn take_line(&self) -> Vec<DeliveryId> {
        let mut state = self.lanes.lock();
        let Some(lane) = state.lanes.get_mut(&self.endpoint) else { return Vec::new() };
        let line: Vec<_> = std::mem::take(&mut lane.line).into();
        line.iter().for_each(|id| {
            state.waiting.remove(id);
        });
        line
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.given_back {
            self.lanes.lock().give_back(&self.endpoint, self.lanes.limits);
        }
    }
}

impl State {
    fn give_back(&mut self, endpoint: &EndpointId, limits: Limits) {
        let Some(lane) = self.lanes.get_mut(endpoint) else { return };
        lane.in_flight = lane.in_flight.saturating_sub(1);
        if lane.is_idle() && lane.limit == limits.first {
            self.lanes.remove(endpoint);
        } else if self.lanes.len() > limits.remembered {
            self.lanes.retain(|_, lane| !lane.is_idle());
        }
    }
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const LIMITS: Limits = Limits { first: 2, most: 3, line: 2, all_lines: 3, remembered: 2 };

    fn endpoint(bits: u128) -> EndpointId {
        EndpointId::new(Uuid::from_u128(bits))
    }

    fn delivery(bits: u128) -> DeliveryId {
        DeliveryId::new(Uuid::from_u128(bits))
    }

    /// Two attempts under way at endpoint 1, and deliveries 3 and 4 waiting for it.
    fn busy() -> (Lanes, Permit, Permit) {
        let lanes = Lanes::new(LIMITS);
        let one = lanes.enter(endpoint(1), delivery(1)).unwrap();
        let two = lanes.enter(endpoint(1), delivery(2)).unwrap();
        assert!(lanes.enter(endpoint(1), delivery(3)).is_none());
        assert!(lanes.enter(endpoint(1), delivery(4)).is_none());
        (lanes, one, two)
    }

    #[test]
    fn a_busy_endpoint_keeps_no_other_waiting() {
        let (lanes, _one, _two) = busy();
        assert!(lanes.enter(endpoint(2), delivery(5)).is_some());
    }

    #[test]
    fn who_finishes_takes_up_who_waited_longest() {
        let (lanes, one, two) = busy();
        let (_two, third) = two.next().unwrap();
        let (one, fourth) = one.next().unwrap();
        assert_eq!([third, fourth], [delivery(3), delivery(4)]);
        assert!(one.next().is_none());
        assert!(lanes.enter(endpoint(1), delivery(5)).is_some());
    }

    #[test]
    fn a_delivery_waits_once_however_often_it_is_rung_for() {
        let (lanes, one, _two) = busy();
        assert!(lanes.enter(endpoint(1), delivery(4)).is_none());
        assert_eq!(one.take_line(), [delivery(3), delivery(4)]);
    }

    #[test]
    fn lines_are_bounded_one_by_one_and_together() {
        let (lanes, one, _two) = busy();
        assert!(lanes.enter(endpoint(1), delivery(5)).is_none());
        let others: Vec<_> =
            (10..12).map(|bits| lanes.enter(endpoint(2), delivery(bits)).unwrap()).collect();
        for bits in 12..14 {
            assert!(lanes.enter(endpoint(2), delivery(bits)).is_none());
        }
        assert_eq!(one.take_line(), [delivery(3), delivery(4)]);
        assert_eq!(others[0].take_line(), [delivery(12)]);
    }

    #[test]
    fn an_overloaded_endpoint_gets_half_as_much_at_once() {
        let (lanes, one, two) = busy();
        one.note(Pace::TooMuch);
        assert!(one.next().is_none());
        let (_two, third) = two.next().unwrap();
        assert_eq!(third, delivery(3));
        assert!(lanes.enter(endpoint(1), delivery(5)).is_none());
    }

    #[test]
    fn an_endpoint_that_keeps_up_gets_more_at_once_up_to_the_most() {
        let (lanes, one, _two) = busy();
        for _ in 0..20 {
            one.note(Pace::Good);
        }
        let _three = lanes.enter(endpoint(1), delivery(5)).unwrap();
        assert!(lanes.enter(endpoint(1), delivery(6)).is_none());
    }

    #[test]
    fn a_permit_that_is_dropped_makes_room() {
        let (lanes, one, _two) = busy();
        drop(one);
        assert!(lanes.enter(endpoint(1), delivery(5)).is_some());
    }

    #[test]
    fn how_an_endpoint_takes_what_it_is_sent_is_remembered_while_it_is_idle() {
        let (lanes, one, two) = busy();
        one.note(Pace::TooMuch);
        lanes.empty();
        drop((one, two));

        let _one = lanes.enter(endpoint(1), delivery(5)).unwrap();
        assert!(lanes.enter(endpoint(1), delivery(6)).is_none());
    }

    #[test]
    fn of_idle_endpoints_only_so_many_are_remembered() {
        let lanes = Lanes::new(LIMITS);
        for bits in 1..=3 {
            lanes.enter(endpoint(bits), delivery(bits)).unwrap().note(Pace::TooMuch);
        }
        assert!(lanes.lock().lanes.is_empty());
    }

    #[test]
    fn an_idle_endpoint_of_which_nothing_is_known_is_forgotten() {
        let (lanes, one, two) = busy();
        assert_eq!(lanes.empty().len(), 2);
        drop((one, two));
        assert!(lanes.lock().lanes.is_empty() && lanes.lock().waiting.is_empty());
    }
}
