//! Payments whose bells have rung, waiting for a round.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::{Address, PaymentId};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::error::SettleError;

/// Where handlers leave payments and lanes take them. A payment that rings twice waits once.
///
/// Any lane takes what waits, and finds out whether another signer alone can make it: then it is passed on
/// to that one's own line, where it keeps nobody waiting.
#[derive(Debug)]
pub(crate) struct Inbox {
    /// The most that one round takes.
    most: usize,
    /// How many are enough for a round that waits for nobody.
    full: usize,
    /// The least time between two rounds that are not full.
    pace: Duration,
    waiting: Mutex<Waiting>,
    rung: Notify,
    filled: Notify,
    /// Rung for all lanes when one of them has something in its own line.
    passed_on: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    order: VecDeque<PaymentId>,
    /// Those that one signer alone can make, by that signer. Each of them that works here has a line.
    own: HashMap<Address, VecDeque<PaymentId>>,
    callers: HashMap<PaymentId, Vec<oneshot::Sender<()>>>,
    /// When the last round took what waited.
    taken: Option<Instant>,
}

/// When there is something to take.
enum Next {
    Now(Vec<Ticket>),
    /// Unless it is full before.
    At(Instant),
    /// When somebody rings.
    Later,
}

/// A payment taken from the inbox. While it lives, its callers wait; completing it lets them go
/// with success, dropping it with an error.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) payment: PaymentId,
    callers: Vec<oneshot::Sender<()>>,
}

impl Ticket {
    pub(crate) fn complete(self) {
        for caller in self.callers {
            // A caller that has gone away needs no answer.
            let _ = caller.send(());
        }
    }
}

impl Inbox {
    /// For rounds of `most` payments, where `concurrency` can wait at once: more never come together.
    pub(crate) fn new(most: usize, concurrency: usize, pace: Duration) -> Self {
        let (rung, filled, passed_on) = (Notify::new(), Notify::new(), Notify::new());
        let full = most.min(concurrency);
        Self { most, full, pace, waiting: Mutex::default(), rung, filled, passed_on }
    }

    /// Leaves a payment for the next round and waits until a round has dealt with it.
    ///
    /// # Errors
    /// [`SettleError::NoLane`] when nobody will.
    pub(crate) async fn submit(&self, payment: PaymentId) -> Result<(), SettleError> {
        let (sender, dealt_with) = oneshot::channel();
        {
            let mut waiting = self.lock();
            match waiting.callers.entry(payment) {
                Entry::Vacant(place) => {
                    place.insert(vec![sender]);
                    waiting.order.push_back(payment);
                }
                Entry::Occupied(mut callers) => {
                    // Those who have given up are forgotten, however long it waits.
                    callers.get_mut().retain(|caller| !caller.is_closed());
                    callers.get_mut().push(sender);
                }
            }
            self.announce(&waiting);
        }
        dealt_with.await.map_err(|_| SettleError::NoLane)
    }

    /// Takes what one round of this lane can carry, its own line first and then oldest bell first; waits
    /// until there is something. After a quiet time one payment is enough; soon after another round it
    /// waits for company.
    pub(crate) async fn take(&self, lane: Address) -> Vec<Ticket> {
        loop {
            match self.next(lane) {
                Next::Now(tickets) => return tickets,
                Next::At(due) => {
                    // Whoever else waits for a bell must not miss this one, should this caller go.
                    self.rung.notify_one();
                    tokio::select! {
                        () = tokio::time::sleep_until(due) => {}
                        () = self.filled.notified() => {}
                    }
                }
                Next::Later => self.wait_for_bell(lane).await,
            }
        }
    }

    fn next(&self, lane: Address) -> Next {
        let mut waiting = self.lock();
        // Who has a line of its own waits for no company: each of those payments travels alone.
        if waiting.own.get(&lane).is_some_and(|line| !line.is_empty()) {
            return Next::Now(self.draw(waiting, lane));
        }
        if waiting.order.is_empty() {
            return Next::Later;
        }
        let now = Instant::now();
        let due = waiting.taken.map_or(now, |taken| taken + self.pace);
        if now < due && waiting.order.len() < self.full {
            return Next::At(due);
        }
        waiting.taken = Some(now);
        Next::Now(self.draw(waiting, lane))
    }

    /// Notes that the round that took last has sent nothing: the next need not keep its distance.
    pub(crate) fn note_nothing_sent(&self) {
        self.lock().taken = None;
    }

    /// Takes what one round of this lane can carry, if anything waits now.
    pub(crate) fn take_now(&self, lane: Address) -> Vec<Ticket> {
        self.draw(self.lock(), lane)
    }

    fn draw(&self, mut waiting: MutexGuard<'_, Waiting>, lane: Address) -> Vec<Ticket> {
        let Waiting { order, own, .. } = &mut *waiting;
        let own = own.get_mut(&lane).map(|line| line.drain(..self.most.min(line.len())));
        let mut payments: Vec<PaymentId> = own.into_iter().flatten().collect();
        let count = self.most.saturating_sub(payments.len()).min(order.len());
        payments.extend(order.drain(..count));
        let more = !waiting.order.is_empty();
        let tickets = payments
            .into_iter()
            .map(|payment| Ticket {
                payment,
                callers: waiting.callers.remove(&payment).unwrap_or_default(),
            })
            .collect();
        drop(waiting);
        if more {
            // One notice can stand for many payments, so whoever takes some passes it on.
            self.rung.notify_one();
        }
        tickets
    }

    /// Leaves payments for the next round with whoever waits for them.
    pub(crate) fn put_back(&self, tickets: impl IntoIterator<Item = Ticket>) {
        {
            let mut waiting = self.lock();
            let Waiting { order, callers, .. } = &mut *waiting;
            for ticket in tickets {
                match callers.entry(ticket.payment) {
                    Entry::Vacant(place) => {
                        place.insert(ticket.callers);
                        order.push_back(ticket.payment);
                    }
                    Entry::Occupied(mut others) => others.get_mut().extend(ticket.callers),
                }
            }
            self.announce(&waiting);
        }
    }

    /// Leaves a payment in the line of the signer that alone can make it; gives it back where that one
    /// does not work here.
    pub(crate) fn pass_on(&self, sender: Address, ticket: Ticket) -> Option<Ticket> {
        {
            let mut waiting = self.lock();
            let Waiting { own, callers, .. } = &mut *waiting;
            let Some(line) = own.get_mut(&sender) else { return Some(ticket) };
            match callers.entry(ticket.payment) {
                Entry::Vacant(place) => {
                    place.insert(ticket.callers);
                    line.push_back(ticket.payment);
                }
                // It has rung again meanwhile, and will be passed on again.
                Entry::Occupied(mut others) => others.get_mut().extend(ticket.callers),
            }
        }
        self.passed_on.notify_waiters();
        None
    }

    /// Notes which signers take new work here. The lines of others end, and whoever waits there is sent
    /// away.
    pub(crate) fn serve(&self, working: HashSet<Address>) {
        let mut waiting = self.lock();
        let Waiting { own, callers, .. } = &mut *waiting;
        own.retain(|sender, line| {
            let works = working.contains(sender);
            if !works {
                line.drain(..).for_each(|payment| drop(callers.remove(&payment)));
            }
            works
        });
        for sender in working {
            own.entry(sender).or_default();
        }
    }

    /// Waits until something rings, or is passed on to this lane.
    async fn wait_for_bell(&self, lane: Address) {
        let mut passed_on = std::pin::pin!(self.passed_on.notified());
        passed_on.as_mut().enable();
        // Looked at after that, so that nothing passed on in between is missed.
        if self.lock().own.get(&lane).is_some_and(|line| !line.is_empty()) {
            return;
        }
        tokio::select! {
            () = self.rung.notified() => {}
            () = passed_on => {}
        }
    }

    /// Rings for whoever waits for a payment, or for a full round.
    fn announce(&self, waiting: &Waiting) {
        if waiting.order.len() >= self.full {
            self.filled.notify_one();
        }
        self.rung.notify_one();
    }

    /// Sends everybody away.
    pub(crate) fn clear(&self) {
        let mut waiting = self.lock();
        let own = std::mem::take(&mut waiting.own);
        let own = own.into_keys().map(|sender| (sender, VecDeque::new())).collect();
        *waiting = Waiting { own, ..Waiting::default() };
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
