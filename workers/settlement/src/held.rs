//! The lanes that a process holds on one network.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use domain::{Address, SignerId};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::lane::Lane;
use crate::network::Network;

/// One lease on one signer.
type Lease = (SignerId, i64);

/// Lanes that run, each until its lease ends.
#[derive(Debug, Default)]
pub(crate) struct Held {
    running: JoinSet<Lease>,
    lanes: HashMap<Lease, Arc<Lane>>,
}

impl Held {
    pub(crate) fn run(
        &mut self,
        lane: Arc<Lane>,
        network: &Arc<Network>,
        shutdown: &CancellationToken,
    ) {
        let lease = (lane.signer(), lane.lease().epoch);
        self.lanes.insert(lease, Arc::clone(&lane));
        let (network, shutdown) = (Arc::clone(network), shutdown.clone());
        self.running.spawn(async move {
            let passed_on = lane.hear_of_its_own(&network, &shutdown);
            tokio::join!(Box::pin(Arc::clone(&lane).run(&network, shutdown.clone())), passed_on);
            lease
        });
    }

    /// How many are held.
    pub(crate) fn len(&self) -> usize {
        self.lanes.len()
    }

    /// How many of them take new work.
    pub(crate) fn working(&self) -> usize {
        self.lanes.values().filter(|lane| lane.standing().works()).count()
    }

    /// The signers of those that take new work.
    pub(crate) fn addresses_working(&self) -> HashSet<Address> {
        let working = self.lanes.values().filter(|lane| lane.standing().works());
        working.map(|lane| lane.address()).collect()
    }

    /// Waits until one has ended; `None` when there is none.
    ///
    /// # Errors
    /// [`JoinError`] when it broke.
    pub(crate) async fn ended(&mut self) -> Option<Result<(), JoinError>> {
        let ended = self.running.join_next().await?;
        Some(ended.map(|lease| {
            self.lanes.remove(&lease);
        }))
    }
}
