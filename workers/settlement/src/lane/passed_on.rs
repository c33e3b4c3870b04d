//! Payments that one signer alone can make, passed on from one process to another.
//!
//! Whoever takes such a payment and does not hold its signer rings in that signer's own stream, which
//! whoever holds it listens to. Where nobody does, the ring waits there, and the payment is due again by
//! itself until its time is up.

use std::num::NonZeroUsize;
use std::sync::Arc;

use domain::Address;
use queue::{Job, Stream};
use tokio_util::sync::CancellationToken;

use super::Lane;
use crate::inbox::Ticket;
use crate::network::{Network, handle};

/// Payments of its own that a lane has in hand at once: each is a transaction.
const AT_ONCE: NonZeroUsize = NonZeroUsize::new(32).expect("more than none");

impl Lane {
    /// Takes the jobs that were passed on to this signer, while it takes new work, until its lease ends
    /// or `shutdown`. What is not finished then is another holder's to take.
    pub(crate) async fn hear_of_its_own(
        self: &Arc<Self>,
        network: &Arc<Network>,
        shutdown: &CancellationToken,
    ) {
        let over = async {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = self.ended.cancelled() => {}
            }
        };
        tokio::select! {
            () = over => {}
            () = self.take_its_own(network) => {}
        }
    }

    async fn take_its_own(self: &Arc<Self>, network: &Arc<Network>) {
        let stream = Stream::settle_by(network.node.chain(), self.address());
        let mut standing = self.standing.subscribe();
        while standing.wait_for(|standing| standing.works()).await.is_ok() {
            let handler = {
                let network = Arc::clone(network);
                move |job: Job| handle(Arc::clone(&network), job)
            };
            let stop = CancellationToken::new();
            let work = network.queue.work(stream.clone(), AT_ONCE, handler, stop.clone());
            let resting = async {
                // An error means that the lane is gone for good, which is the same.
                let _ = standing.wait_for(|standing| !standing.works()).await;
                stop.cancel();
            };
            if let (Err(error), ()) = tokio::join!(work, resting) {
                tracing::warn!(%error, signer = %self.address(), "jobs were left unfinished");
            }
        }
    }
}

impl Network {
    /// Leaves a payment to whichever process holds this signer.
    pub(crate) fn pass_on(&self, sender: Address, ticket: Ticket) {
        let stream = Stream::settle_by(self.node.chain(), sender);
        self.bell.ring(&stream, Job::new(ticket.payment.to_string()));
        ticket.complete();
    }
}
