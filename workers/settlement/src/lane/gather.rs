//! How a lane comes by its work.

use std::sync::Arc;

use domain::Address;
use tokio::sync::OwnedSemaphorePermit;

use super::Lane;
use crate::inbox::Ticket;
use crate::network::Network;
use crate::round;

impl Lane {
    /// Waits for room in flight and for payments; `None` when the lane is to be given back. It holds
    /// no payments while it takes no new work, so that other lanes can settle them.
    pub(super) async fn gather(
        self: &Arc<Self>,
        network: &Arc<Network>,
    ) -> Option<(OwnedSemaphorePermit, Vec<Ticket>)> {
        loop {
            self.rest(network).await?;
            let mut standing = self.standing.subscribe();
            // Biased, so that a lane that has just stopped working takes nothing.
            tokio::select! {
                biased;
                _ = standing.wait_for(|standing| !standing.works()) => {}
                gathered = self.gather_working(network) => return gathered,
            }
        }
    }

    /// A lane that is full for long still deals with what needs no transaction.
    async fn gather_working(
        &self,
        network: &Arc<Network>,
    ) -> Option<(OwnedSemaphorePermit, Vec<Ticket>)> {
        let patience = network.policy.block_time.saturating_mul(2);
        let room = loop {
            match tokio::time::timeout(patience, self.room()).await {
                Ok(room) => break room?,
                Err(_) => network.tidy(self.address()).await,
            }
        };
        Some((room, network.inbox.take(self.address()).await))
    }

    /// Waits until the lane takes new work; `None` when it is paused and everything that it has
    /// sent is over.
    async fn rest(&self, network: &Arc<Network>) -> Option<()> {
        let mut standing = self.standing.subscribe();
        loop {
            let now = *standing.borrow_and_update();
            if now.works() {
                return Some(());
            }
            if now.paused && !network.tracker.follows(self.signer()) {
                return None;
            }
            tokio::select! {
                changed = standing.changed() => changed.ok()?,
                () = tokio::time::sleep(network.policy.lease / 3) => {}
            }
        }
    }
}

impl Network {
    /// Deals with what waits and needs no transaction: stale approvals, closed windows.
    async fn tidy(self: &Arc<Self>, lane: Address) {
        let _tidying = self.tidying.lock().await;
        let tickets = self.inbox.take_now(lane);
        let payments: Vec<_> = tickets.iter().map(|ticket| ticket.payment).collect();
        if payments.is_empty() {
            return;
        }
        match round::tidy(self, &payments).await {
            Ok(left) => self.finish(tickets, &left),
            Err(error) => tracing::warn!(%error, "what waits for room was not looked at"),
        }
    }
}
