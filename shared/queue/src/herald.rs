//! Telling the rest of the pipeline, after a commit, that payments have changed.

use std::collections::BTreeSet;

use domain::{AccountId, DeliveryId, Payment, StateName};

use crate::status::{Publisher, UNVERSIONED};
use crate::{Bell, Job, Queue, Stream};

/// Rings whoever has to look at a payment next, and tells whoever waits for its status.
///
/// Best effort: what is not heard is due again in the ledger soon.
#[derive(Clone, Debug)]
pub struct Herald {
    bell: Bell,
    publisher: Publisher,
}

impl Stream {
    /// Whose bell to ring for a payment in this state; `None` when it is over.
    pub fn for_payment(state: StateName, network: domain::ChainId) -> Option<Self> {
        match state {
            StateName::Accepted | StateName::Held => Some(Self::Risk),
            StateName::Approved | StateName::Submitted | StateName::Confirmed => {
                Some(Self::settle(network))
            }
            StateName::Settled
            | StateName::Rejected
            | StateName::Canceled
            | StateName::Expired
            | StateName::Failed => None,
        }
    }
}

impl Herald {
    /// A herald over this queue.
    pub fn new(queue: &Queue) -> Self {
        Self { bell: queue.bell(), publisher: queue.publisher() }
    }

    /// Tells of payments as they are now, and of deliveries that are due.
    pub fn announce<'a>(
        &self,
        payments: impl IntoIterator<Item = &'a Payment>,
        deliveries: &[DeliveryId],
    ) {
        let mut changes: Vec<(String, u64)> = Vec::new();
        let mut accounts: BTreeSet<AccountId> = BTreeSet::new();
        for payment in payments {
            changes.push((payment.id.to_string(), payment.version.into()));
            accounts.insert(payment.account);
            let state = payment.state.name();
            // Whoever submitted or confirmed it follows it already.
            if matches!(state, StateName::Accepted | StateName::Held | StateName::Approved)
                && let Some(stream) = Stream::for_payment(state, payment.authorization.chain)
            {
                self.bell.ring(&stream, Job::new(payment.id.to_string()));
            }
        }
        changes.extend(accounts.iter().map(|account| (account.to_string(), UNVERSIONED)));
        self.publisher.publish(changes);
        self.bell.ring_all(&Stream::Notify, deliveries.iter().map(|id| Job::new(id.to_string())));
    }
}
