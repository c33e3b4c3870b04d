//! Payments whose bells have rung, waiting for a round.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::PaymentId;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::error::SettleError;

/// Where handlers leave payments and lanes take them. A payment that rings twice waits once.
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
}

#[derive(Debug, Default)]
struct Waiting {
    order: VecDeque<PaymentId>,
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
        let (rung, filled) = (Notify::new(), Notify::new());
        let full = most.min(concurrency);
        Self { most, full, pace, waiting: Mutex::default(), rung, filled }
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

    /// Takes what one round can carry, oldest bell first; waits until there is something. After a
    /// quiet time one payment is enough; soon after another round it waits for company.
    pub(crate) async fn take(&self) -> Vec<Ticket> {
        loop {
            match self.next() {
                Next::Now(tickets) => return tickets,
                Next::At(due) => {
                    // Whoever else waits for a bell must not miss this one, should this caller go.
                    self.rung.notify_one();
                    tokio::select! {
                        () = tokio::time::sleep_until(due) => {}
                        () = self.filled.notified() => {}
                    }
                }
                Next::Later => self.rung.notified().await,
            }
        }
    }

    fn next(&self) -> Next {
        let mut waiting = self.lock();
        if waiting.order.is_empty() {
            return Next::Later;
        }
        let now = Instant::now();
        let due = waiting.taken.map_or(now, |taken| taken + self.pace);
        if now < due && waiting.order.len() < self.full {
            return Next::At(due);
        }
        waiting.taken = Some(now);
        Next::Now(self.draw(waiting))
    }

    /// Notes that the round that took last has sent nothing: the next need not keep its distance.
    pub(crate) fn note_nothing_sent(&self) {
        self.lock().taken = None;
    }

    /// Takes what one round can carry, if anything waits now.
    pub(crate) fn take_now(&self) -> Vec<Ticket> {
        self.draw(self.lock())
    }

    fn draw(&self, mut waiting: MutexGuard<'_, Waiting>) -> Vec<Ticket> {
        let count = self.most.min(waiting.order.len());
        let payments: Vec<PaymentId> = waiting.order.drain(..count).collect();
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

    /// Rings for whoever waits for a payment, or for a full round.
    fn announce(&self, waiting: &Waiting) {
        if waiting.order.len() >= self.full {
            self.filled.notify_one();
        }
        self.rung.notify_one();
    }

    /// Sends everybody away.
    pub(crate) fn clear(&self) {
        *self.lock() = Waiting::default();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::FutureExt;
    use uuid::Uuid;

    use super::*;

    fn payment(number: u128) -> PaymentId {
        PaymentId::new(Uuid::from_u128(number))
    }

    /// One that never waits for company.
    fn inbox(most: usize) -> Arc<Inbox> {
        Arc::new(Inbox::new(most, usize::MAX, Duration::ZERO))
    }

    /// Rings for payments that have not rung yet.
    async fn ring(inbox: &Arc<Inbox>, numbers: std::ops::Range<u128>) {
        let expected = inbox.lock().order.len() + numbers.clone().count();
        for number in numbers {
            let inbox = Arc::clone(inbox);
            tokio::spawn(async move { inbox.submit(payment(number)).await });
        }
        while inbox.lock().order.len() < expected {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_payment_that_rings_twice_is_dealt_with_once_for_both_callers() {
        let inbox = inbox(10);
        let callers: Vec<_> = (0..2)
            .map(|_| {
                let inbox = Arc::clone(&inbox);
                tokio::spawn(async move { inbox.submit(payment(1)).await })
            })
            .collect();
        // Both callers are in once two have left their senders.
        while inbox.lock().callers.get(&payment(1)).map_or(0, Vec::len) < 2 {
            tokio::task::yield_now().await;
        }
        let tickets = inbox.take().await;
        assert_eq!(tickets.len(), 1);
        tickets.into_iter().for_each(Ticket::complete);
        for caller in callers {
            assert!(caller.await.unwrap().is_ok());
        }
    }

    #[tokio::test]
    async fn a_payment_that_is_put_back_waits_with_all_its_callers() {
        let inbox = inbox(10);
        let submit = || {
            let inbox = Arc::clone(&inbox);
            tokio::spawn(async move { inbox.submit(payment(1)).await })
        };
        let first = submit();
        let taken = inbox.take().await;
        let second = submit();
        while inbox.lock().callers.is_empty() {
            tokio::task::yield_now().await;
        }
        inbox.put_back(taken);
        let tickets = inbox.take().await;
        assert_eq!(tickets.len(), 1);
        tickets.into_iter().for_each(Ticket::complete);
        assert!(first.await.unwrap().is_ok() && second.await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_dropped_ticket_sends_its_callers_away() {
        let inbox = inbox(10);
        let submitting = Arc::clone(&inbox);
        let caller = tokio::spawn(async move { submitting.submit(payment(1)).await });
        drop(inbox.take().await);
        assert!(matches!(caller.await.unwrap(), Err(SettleError::NoLane)));
    }

    #[tokio::test]
    async fn a_round_takes_no_more_than_it_can_carry() {
        let inbox = inbox(3);
        ring(&inbox, 0..5).await;
        assert_eq!(inbox.take().await.len(), 3);
        assert_eq!(inbox.take().await.len(), 2);
    }

    #[tokio::test]
    async fn a_caller_that_has_given_up_is_forgotten() {
        let inbox = inbox(10);
        for _ in 0..3 {
            // Nobody takes it, so that its first look is also its last.
            tokio::select! {
                biased;
                _ = inbox.submit(payment(1)) => panic!("nobody dealt with it"),
                () = std::future::ready(()) => {}
            }
        }
        assert_eq!(inbox.lock().callers[&payment(1)].len(), 1);
        assert_eq!(inbox.take().await.len(), 1);
    }

    #[tokio::test]
    async fn a_payment_alone_waits_for_nobody_and_those_that_follow_soon_wait_for_company() {
        let inbox = Arc::new(Inbox::new(3, usize::MAX, Duration::from_secs(3_600)));
        ring(&inbox, 0..1).await;
        assert_eq!(inbox.take().await.len(), 1);

        ring(&inbox, 1..3).await;
        let mut lanes: Vec<_> = (0..2).map(|_| Box::pin(inbox.take())).collect();
        for lane in &mut lanes {
            assert!(lane.now_or_never().is_none(), "two of three did not wait");
        }
        // The lane that heard the bells goes; the other must hear of the third.
        drop(lanes.remove(0));
        ring(&inbox, 3..4).await;
        assert_eq!(lanes.remove(0).await.len(), 3);
    }

    #[tokio::test]
    async fn company_is_not_waited_for_for_ever() {
        let inbox = Arc::new(Inbox::new(3, usize::MAX, Duration::from_millis(20)));
        for number in 0..3 {
            ring(&inbox, number..number + 1).await;
            assert_eq!(inbox.take().await.len(), 1);
        }
    }

    #[tokio::test]
    async fn a_round_is_full_when_no_more_can_wait_at_once() {
        let inbox = Arc::new(Inbox::new(3, 2, Duration::from_secs(3_600)));
        for numbers in [0..1, 1..3] {
            let expected = numbers.clone().count();
            ring(&inbox, numbers).await;
            assert_eq!(inbox.take().await.len(), expected);
        }
    }

    #[tokio::test]
    async fn after_a_round_that_has_sent_nothing_a_payment_alone_waits_for_nobody() {
        let inbox = Arc::new(Inbox::new(3, usize::MAX, Duration::from_secs(3_600)));
        for number in 0..2 {
            ring(&inbox, number..number + 1).await;
            assert_eq!(inbox.take().await.len(), 1);
            inbox.note_nothing_sent();
        }
    }

    #[tokio::test]
    async fn what_is_put_back_can_fill_a_round() {
        let inbox = Arc::new(Inbox::new(2, usize::MAX, Duration::from_secs(3_600)));
        ring(&inbox, 0..2).await;
        let taken = inbox.take().await;
        let mut lane = Box::pin(inbox.take());
        assert!((&mut lane).now_or_never().is_none());
        inbox.put_back(taken);
        assert_eq!(lane.await.len(), 2);
    }
}
