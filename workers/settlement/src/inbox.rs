//! Payments whose bells have rung, waiting for a round.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use domain::PaymentId;
use tokio::sync::{Notify, oneshot};

use crate::error::SettleError;

/// Where handlers leave payments and lanes take them. A payment that rings twice waits once.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    waiting: Mutex<Waiting>,
    rung: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    order: VecDeque<PaymentId>,
    callers: HashMap<PaymentId, Vec<oneshot::Sender<()>>>,
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
        }
        self.rung.notify_one();
        dealt_with.await.map_err(|_| SettleError::NoLane)
    }

    /// Takes up to `most` payments, oldest bell first; waits until there is one.
    pub(crate) async fn take(&self, most: usize) -> Vec<Ticket> {
        loop {
            let tickets = self.take_now(most);
            if !tickets.is_empty() {
                return tickets;
            }
            self.rung.notified().await;
        }
    }

    /// Takes up to `most` payments if any wait now.
    pub(crate) fn take_now(&self, most: usize) -> Vec<Ticket> {
        let mut waiting = self.lock();
        let count = most.min(waiting.order.len());
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
            let Waiting { order, callers } = &mut *waiting;
            for ticket in tickets {
                match callers.entry(ticket.payment) {
                    Entry::Vacant(place) => {
                        place.insert(ticket.callers);
                        order.push_back(ticket.payment);
                    }
                    Entry::Occupied(mut others) => others.get_mut().extend(ticket.callers),
                }
            }
        }
        self.rung.notify_one();
    }

    /// Sends everybody away.
    pub(crate) fn clear(&self) {
        *self.lock() = Waiting::default();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;

    fn payment(number: u128) -> PaymentId {
        PaymentId::new(Uuid::from_u128(number))
    }

    #[tokio::test]
    async fn a_payment_that_rings_twice_is_dealt_with_once_for_both_callers() {
        let inbox = Arc::new(Inbox::default());
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
        let tickets = inbox.take(10).await;
        assert_eq!(tickets.len(), 1);
        tickets.into_iter().for_each(Ticket::complete);
        for caller in callers {
            assert!(caller.await.unwrap().is_ok());
        }
    }

    #[tokio::test]
    async fn a_payment_that_is_put_back_waits_with_all_its_callers() {
        let inbox = Arc::new(Inbox::default());
        let submit = || {
            let inbox = Arc::clone(&inbox);
            tokio::spawn(async move { inbox.submit(payment(1)).await })
        };
        let first = submit();
        let taken = inbox.take(1).await;
        let second = submit();
        while inbox.lock().callers.is_empty() {
            tokio::task::yield_now().await;
        }
        inbox.put_back(taken);
        let tickets = inbox.take(10).await;
        assert_eq!(tickets.len(), 1);
        tickets.into_iter().for_each(Ticket::complete);
        assert!(first.await.unwrap().is_ok() && second.await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_dropped_ticket_sends_its_callers_away() {
        let inbox = Arc::new(Inbox::default());
        let submitting = Arc::clone(&inbox);
        let caller = tokio::spawn(async move { submitting.submit(payment(1)).await });
        drop(inbox.take(1).await);
        assert!(matches!(caller.await.unwrap(), Err(SettleError::NoLane)));
    }

    #[tokio::test]
    async fn a_round_takes_no_more_than_it_can_carry() {
        let inbox = Arc::new(Inbox::default());
        for number in 0..5 {
            let inbox = Arc::clone(&inbox);
            tokio::spawn(async move { inbox.submit(payment(number)).await });
        }
        while inbox.lock().order.len() < 5 {
            tokio::task::yield_now().await;
        }
        assert_eq!(inbox.take(3).await.len(), 3);
        assert_eq!(inbox.take(3).await.len(), 2);
    }

    #[tokio::test]
    async fn a_caller_that_has_given_up_is_forgotten() {
        let inbox = Inbox::default();
        for _ in 0..3 {
            // Nobody takes it, so that its first look is also its last.
            tokio::select! {
                biased;
                _ = inbox.submit(payment(1)) => panic!("nobody dealt with it"),
                () = std::future::ready(()) => {}
            }
        }
        assert_eq!(inbox.lock().callers[&payment(1)].len(), 1);
        assert_eq!(inbox.take(10).await.len(), 1);
    }
}
