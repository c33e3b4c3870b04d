//! One network: its lanes, its inbox, its watcher.

use std::num::NonZeroUsize;
use std::sync::Arc;

use chain::{Node, Signer};
use domain::{PaymentId, SignerId, Timestamp};
use queue::{Bell, HandlerError, Herald, Job, Queue, Stream};
use runtime::clock::Clock;
use store::{Advance, LaneRequest, Store};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::held::Held;
use crate::inbox::Inbox;
use crate::lane::Lane;
use crate::market::Market;
use crate::policy::Policy;
use crate::tracker::Tracker;
use crate::{Settlement, SettlementNetwork, meters, watcher};

/// Everything about one network in one process.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) node: Node,
    pub(crate) store: Store,
    pub(crate) herald: Herald,
    pub(crate) queue: Queue,
    pub(crate) bell: Bell,
    pub(crate) clock: Clock,
    pub(crate) policy: Policy,
    pub(crate) inbox: Inbox,
    pub(crate) tracker: Tracker,
    pub(crate) market: Market,
    /// Held while what waits is out of the inbox for a look, so that nobody takes it for empty.
    pub(crate) tidying: tokio::sync::Mutex<()>,
    /// Rung when a lane stops working, or works again.
    pub(crate) standing_changed: Arc<Notify>,
    /// This process, as leases name it.
    owner: Uuid,
}

impl Network {
    pub(crate) fn new(settlement: &Settlement, settings: &SettlementNetwork) -> Arc<Self> {
        Arc::new(Self {
            node: settings.node.clone(),
            store: settlement.store.clone(),
            herald: Herald::new(&settlement.queue),
            queue: settlement.queue.clone(),
            bell: settlement.queue.bell(),
            clock: settlement.clock.clone(),
            policy: settings.policy,
            inbox: Inbox::new(
                settings.policy.most_items(),
                settlement.concurrency.get(),
                settings.policy.pace(),
            ),
            tracker: Tracker::default(),
            market: Market::default(),
            tidying: tokio::sync::Mutex::default(),
            standing_changed: Arc::default(),
            owner: runtime::id::new_uuid(),
        })
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.clock.now_unix_ms())
    }

    /// Tells everybody about changes that were committed.
    pub(crate) fn tell(&self, advance: &Advance) {
        advance.moved().for_each(meters::outcome);
        self.herald.announce(advance.moved(), &advance.deliveries);
    }

    /// Holds lanes and settles with them until `shutdown`.
    pub(crate) async fn run(
        self: Arc<Self>,
        queue: Queue,
        signers: Vec<Signer>,
        concurrency: NonZeroUsize,
        shutdown: CancellationToken,
    ) {
        meters::begin(self.node.chain());
        let (held, watch_held) = watch::channel(0usize);
        // Ends the others when one of them ends: nothing is settled that nobody follows.
        let stop = shutdown.child_token();
        let _ending = stop.clone().drop_guard();
        let mut watching = AbortOnDropHandle::new(tokio::spawn(watcher::watch(Arc::clone(&self))));
        let consumer = consume(Arc::clone(&self), queue, concurrency, watch_held, stop.clone());
        let consuming = AbortOnDropHandle::new(tokio::spawn(consumer));
        tokio::select! {
            () = self.hold_lanes(signers, held, stop.clone()) => {}
            ended = &mut watching => {
                tracing::error!(?ended, network = %self.node.chain(), "blocks are not followed any more");
            }
        }
        stop.cancel();
        // The lanes are given back, so nobody is left to settle what still waits.
        self.inbox.clear();
        if let Err(error) = consuming.await {
            tracing::error!(%error, "the consumer of the settlement stream ended badly");
        }
    }

    /// Takes free signers as they come, runs each as a lane, and waits for them at the end. A lane
    /// that panics ends them all: a process that is started anew knows where everything stands.
    async fn hold_lanes(
        self: &Arc<Self>,
        signers: Vec<Signer>,
        held: watch::Sender<usize>,
        shutdown: CancellationToken,
    ) {
        let mut lanes = Held::default();
        let mut registered = false;
        while !shutdown.is_cancelled() {
            registered = registered || self.register(&signers).await;
            if registered {
                for lane in self.take_free(&signers, lanes.working()).await {
                    lanes.run(lane, self, &shutdown);
                }
            }
            self.note_held(&held, &lanes);
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(self.policy.lease / 3) => {}
                () = self.standing_changed.notified() => {}
                Some(ended) = lanes.ended() => {
                    self.note_held(&held, &lanes);
                    if let Err(error) = ended {
                        return tracing::error!(%error, network = %self.node.chain(), "a lane broke");
                    }
                }
            }
        }
        while lanes.ended().await.is_some() {}
    }

    /// Only lanes that take new work count for the consumer.
    fn note_held(&self, held: &watch::Sender<usize>, lanes: &Held) {
        self.inbox.serve(lanes.addresses_working());
        held.send_replace(lanes.working());
        meters::lanes(self.node.chain(), lanes.len());
    }

    async fn register(&self, signers: &[Signer]) -> bool {
        for signer in signers {
            let id = SignerId::new(runtime::id::new_uuid());
            let chain = self.node.chain();
            if let Err(error) = self.store.register_signer(id, chain, signer.address()).await {
                tracing::warn!(%error, network = %chain, "signers could not be registered yet");
                return false;
            }
        }
        true
    }

    async fn take_free(&self, signers: &[Signer], working: usize) -> Vec<Arc<Lane>> {
        if signers.is_empty() {
            return Vec::new();
        }
        let room = self.policy.max_lanes.saturating_sub(working);
        let request = LaneRequest {
            owner: self.owner,
            chain: self.node.chain(),
            addresses: signers.iter().map(Signer::address).collect(),
            limit: i64::try_from(room).unwrap_or(i64::MAX),
            lease: self.policy.lease,
        };
        let held_until = tokio::time::Instant::now() + self.policy.lease;
        match self.store.take_lanes(&request).await {
            Ok(leases) => leases
                .into_iter()
                .filter_map(|lease| {
                    let signer = signers.iter().find(|signer| signer.address() == lease.address)?;
                    Some(Lane::new(lease, held_until, signer.clone(), self))
                })
                .collect(),
            Err(error) => {
                tracing::warn!(%error, network = %self.node.chain(), "no signer could be leased");
                Vec::new()
            }
        }
    }
}

/// Takes jobs from the network's stream while a lane is held; a process without one leaves them
/// to others.
async fn consume(
    network: Arc<Network>,
    queue: Queue,
    concurrency: NonZeroUsize,
    mut held: watch::Receiver<usize>,
    shutdown: CancellationToken,
) {
    while !shutdown.is_cancelled() {
        tokio::select! {
            () = shutdown.cancelled() => return,
            able = held.wait_for(|count| *count > 0) => if able.is_err() { return },
        }
        let stop = shutdown.child_token();
        let handler = {
            let network = Arc::clone(&network);
            move |job: Job| handle(Arc::clone(&network), job)
        };
        let stream = Stream::settle(network.node.chain());
        let work = queue.work(stream, concurrency, handler, stop.clone());
        let give_up = async {
            // An error means that the lanes are gone for good, which is the same.
            let _ = held.wait_for(|count| *count == 0).await;
            network.inbox.clear();
            stop.cancel();
        };
        let (worked, ()) = tokio::join!(work, async {
            tokio::select! { () = stop.cancelled() => {}, () = give_up => {} }
        });
        if let Err(error) = worked {
            tracing::warn!(%error, network = %network.node.chain(), "jobs were left unfinished");
        }
    }
}

pub(crate) async fn handle(network: Arc<Network>, job: Job) -> Result<(), HandlerError> {
    let payment: PaymentId = job.id.parse()?;
    Ok(network.inbox.submit(payment).await?)
}
