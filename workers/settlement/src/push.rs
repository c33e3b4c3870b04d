//! Getting along what blocks leave lying: sent again, better paid, refilled, or given up on proof.

use std::sync::Arc;

use chain::{BlockTag, Head};
use store::{OpenTransaction, TransactionState};

use crate::decide::pushing::{Push, Stuck, Urge, push, urge};
use crate::error::SettleError;
use crate::inbox::Ticket;
use crate::lane::Lane;
use crate::network::Network;
use crate::round::{self, Left, Slot};
use crate::tracker::{is_filled, newest};

impl Network {
    /// Sends again, or pays more for, what blocks leave lying.
    pub(crate) async fn push_open(self: &Arc<Self>, head: &Head) {
        for (transaction, _) in self.tracker.all() {
            // Others may have done something about it while this waited for those before it.
            let Some((transaction, lane)) = self.tracker.get(transaction.id) else { continue };
            if !matches!(transaction.state, TransactionState::Open) {
                continue;
            }
            if let Err(error) = self.push(&lane, &transaction, head).await {
                tracing::warn!(%error, nonce = transaction.nonce, "a transaction stays as it is");
            }
        }
    }

    async fn push(
        self: &Arc<Self>,
        lane: &Arc<Lane>,
        transaction: &OpenTransaction,
        head: &Head,
    ) -> Result<(), SettleError> {
        let Some(attempt) = newest(transaction) else { return Ok(()) };
        let waited = head.number.saturating_sub(attempt.signed_at_block);
        let closes_at = self.tracker.closes_at(transaction.id);
        let left = closes_at.map(|at| at.saturating_sub(self.now().unix_secs()));
        if left.is_some_and(|left| left <= 0)
            && let Err(error) = self.expire(transaction).await
        {
            // Its nonce must be got along all the same.
            tracing::warn!(%error, nonce = transaction.nonce, "closed windows were not looked at");
        }
        let is_vacant = !is_filled(transaction) && self.tracker.closes_at(transaction.id).is_none();
        match urge(waited, left, is_vacant, &self.policy) {
            Urge::Wait => {}
            Urge::SendAgain => self.send(lane, transaction).await,
            Urge::Replace => {
                self.look(transaction).await?;
                if self.tracker.is_open(transaction.id) {
                    self.push_hard(lane, transaction, head).await?;
                }
            }
        }
        Ok(())
    }

    /// Finds out what keeps it from being mined: its nonce, one before it, or its price.
    async fn push_hard(
        self: &Arc<Self>,
        lane: &Arc<Lane>,
        transaction: &OpenTransaction,
        head: &Head,
    ) -> Result<(), SettleError> {
        let next = self.node.nonce(lane.address(), Some(BlockTag::Latest)).await?;
        let spent_for = self.tracker.note_next_nonce(transaction.id, next, head.number);
        if next < transaction.nonce && !self.tracker.waits_for(transaction.signer, next) {
            let stored = self.store.transactions_from(transaction.signer, next).await?;
            if stored.first().is_none_or(|first| first.nonce > next) {
                Box::pin(lane.fill_hole(self, next)).await?;
            }
            self.send_forgotten(lane, &stored).await?;
        }
        let offer = newest(transaction).map_or(0, |attempt| attempt.max_fee_per_gas);
        let stuck = Stuck {
            nonce: transaction.nonce,
            chain_next: next,
            spent_for: spent_for.unwrap_or(0),
            carries: self.carries(transaction).await?,
            is_filled: is_filled(transaction),
            is_priced_out: offer < head.base_fee,
        };
        match push(&stuck, self.policy.patience()) {
            Push::Raise => self.raise(lane, transaction).await,
            Push::Refill => self.refill(lane, transaction).await,
            Push::SendAgain => {
                self.send(lane, transaction).await;
                Ok(())
            }
            Push::Wait => Ok(()),
            Push::GiveUp => self.give_up(transaction, lane.address()).await,
        }
    }

    async fn raise(
        self: &Arc<Self>,
        lane: &Arc<Lane>,
        transaction: &OpenTransaction,
    ) -> Result<(), SettleError> {
        let Err(error) = self.bump(lane, transaction).await else { return Ok(()) };
        tracing::warn!(%error, nonce = transaction.nonce, "not replaced: the old offer stands");
        // An offer may have been stored although the answer was lost: then that is the newest.
        if matches!(error, SettleError::Store(_)) {
            self.reread(transaction.id).await?;
        }
        if let Some((transaction, lane)) = self.tracker.get(transaction.id) {
            self.send(&lane, &transaction).await;
        }
        Ok(())
    }

    /// Gives the nonce of a transaction on which nothing rests any more to the payments that wait
    /// now; when there are none, or that does not succeed, uses it up with nothing.
    async fn refill(
        self: &Arc<Self>,
        lane: &Arc<Lane>,
        transaction: &OpenTransaction,
    ) -> Result<(), SettleError> {
        if self.can_raise(transaction).await? {
            let slot = Slot::Refill(Box::new(transaction.clone()));
            // Boxed, because a round that is refused by the node leads back to replacing.
            if let Err(error) = Box::pin(self.fill_from_inbox(lane, slot)).await {
                tracing::warn!(%error, nonce = transaction.nonce, "a nonce was not given on");
                // It may have been, although the answer was lost.
                self.reread(transaction.id).await?;
            }
        }
        let Some((now, _)) = self.tracker.get(transaction.id) else { return Ok(()) };
        if now.attempts.len() > transaction.attempts.len() {
            return Ok(());
        }
        let filled = self.fill(lane, transaction).await;
        if filled.is_err() {
            self.send(lane, transaction).await;
        }
        filled
    }

    /// Whether nodes would take anything in the place of the transaction's newest bytes.
    async fn can_raise(&self, transaction: &OpenTransaction) -> Result<bool, SettleError> {
        let reading = self.market.read(&self.node, &self.policy).await?;
        Ok(newest(transaction).is_some_and(|offer| self.raised(offer, &reading).is_some()))
    }

    /// Gives a nonce below the next one to the payments that wait now, if any do.
    pub(crate) async fn fill_from_inbox(
        self: &Arc<Self>,
        lane: &Arc<Lane>,
        slot: Slot,
    ) -> Result<(), SettleError> {
        if !lane.standing().works() {
            return Ok(());
        }
        let tickets = {
            let _tidying = self.tidying.lock().await;
            self.inbox.take_now(lane.address())
        };
        if tickets.is_empty() {
            return Ok(());
        }
        let payments: Vec<_> = tickets.iter().map(|ticket| ticket.payment).collect();
        let left = round::run(self, lane, &payments, slot).await?;
        self.finish(tickets, &left);
        Ok(())
    }

    /// Lets those go who wait for payments that were dealt with, or that another process is to deal with,
    /// because the one signer that can make them does not work here. The others go on waiting.
    pub(crate) fn finish(&self, tickets: Vec<Ticket>, left: &Left) {
        let mut over = Vec::new();
        for ticket in tickets {
            let sender = left.of_others.iter().find(|(payment, _)| *payment == ticket.payment);
            match sender {
                Some((_, sender)) => {
                    if let Some(ticket) = self.inbox.pass_on(*sender, ticket) {
                        self.pass_on(*sender, ticket);
                    }
                }
                None if left.over.contains(&ticket.payment) => over.push(ticket),
                None => ticket.complete(),
            }
        }
        if !over.is_empty() {
            self.inbox.put_back(over);
        }
    }

    /// Sends again what had been mined of these, whose nonces the chain has not used: it forgot
    /// them, final or not, and until they are there again nothing after them can be mined.
    pub(crate) async fn send_forgotten(
        &self,
        lane: &Lane,
        stored: &[OpenTransaction],
    ) -> Result<(), SettleError> {
        for transaction in stored {
            let attempt = match transaction.state {
                TransactionState::Open => continue,
                TransactionState::Mined { hash, .. } | TransactionState::Final { hash, .. } => {
                    transaction.attempts.iter().find(|attempt| attempt.hash == hash)
                }
                TransactionState::Dropped => newest(transaction),
            };
            let Some(attempt) = attempt else { continue };
            let (nonce, signer) = (transaction.nonce, lane.address());
            tracing::error!(nonce, %signer, "the chain forgot what it held: it is sent again");
            self.offer(lane, attempt).await?;
        }
        Ok(())
    }
}
