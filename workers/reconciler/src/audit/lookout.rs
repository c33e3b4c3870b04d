//! The regular audit: one reconciler at a time makes it for each network.

use std::time::Duration;

use domain::ChainId;
use store::{AuditClaim, AuditResult, BlockRange, Store, StoreError};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{AuditNetwork, Difference, Tally, Unfinished, examine, meters, newest_final, recent};
use crate::outage::Outage;

/// How often it is looked whether an audit is due, at least.
const LOOK: Duration = Duration::from_secs(30);

/// The shortest time between two looks.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// How long an audit stays with a process that gives no sign of life.
const LEASE: Duration = Duration::from_secs(60);

/// An audit that could not be finished is tried again after this part of the interval.
const RETRIES_PER_INTERVAL: u32 = 12;

/// Audits every network again and again. Any number of them may run: the ledger gives each audit
/// to one, and to another when that one dies.
#[derive(Clone, Debug)]
pub struct Auditor {
    /// The ledger.
    pub store: Store,
    /// What is compared with it.
    pub networks: Vec<AuditNetwork>,
    /// The time from the end of an audit to the next.
    pub interval: Duration,
    /// The most blocks that one audit compares.
    pub blocks: u64,
}

impl Auditor {
    /// Audits until `shutdown`. Neither an outage of PostgreSQL nor one of a node ends it.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut watches = JoinSet::new();
        for network in &self.networks {
            meters::show_nothing_found(network.node.chain());
            let watch = Watch {
                auditor: self.clone(),
                network: network.clone(),
                owner: runtime::id::new_uuid(),
                ledger: Outage::of("the ledger, for the audit,"),
            };
            watches.spawn(watch.run(shutdown.clone()));
        }
        while let Some(ended) = watches.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "the audit of a network has ended");
            }
        }
    }
}

/// What one reconciler does about one network.
struct Watch {
    auditor: Auditor,
    network: AuditNetwork,
    /// This watch, as leases name it.
    owner: Uuid,
    ledger: Outage,
}

impl Watch {
    async fn run(self, shutdown: CancellationToken) {
        let pause = self.auditor.interval.clamp(SHORTEST_PAUSE, LOOK);
        let mut looks = tokio::time::interval(pause);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(looks.tick()).await.is_some() {
            self.ledger.note(self.look(&shutdown).await);
        }
    }

    fn chain(&self) -> ChainId {
        self.network.node.chain()
    }

    /// Makes the audit if it is due and nobody else makes it.
    async fn look(&self, shutdown: &CancellationToken) -> Result<(), StoreError> {
        let Auditor { store, interval, .. } = &self.auditor;
        if let Some(last) = store.last_audit(self.chain()).await? {
            meters::last_success(self.chain(), last.finished_at);
        }
        let claim = store.claim_audit(self.chain(), self.owner, *interval, LEASE).await?;
        let Some(claim) = claim else { return Ok(()) };
        let again_in = tokio::select! {
            again_in = self.audit(&claim) => again_in,
            () = self.keep(&claim) => {
                meters::run(self.chain(), "taken_over");
                None
            }
            () = shutdown.cancelled() => Some(Duration::ZERO),
        };
        if let Some(pause) = again_in {
            store.renew_audit(&claim, pause).await?;
        }
        if let Some(last) = store.last_audit(self.chain()).await? {
            meters::last_success(self.chain(), last.finished_at);
        }
        Ok(())
    }

    /// Prolongs the claim until it is lost.
    async fn keep(&self, claim: &AuditClaim) {
        loop {
            tokio::time::sleep(LEASE / 3).await;
            // While the ledger is away, nobody else can claim anything either.
            if let Ok(false) = self.auditor.store.renew_audit(claim, LEASE).await {
                return;
            }
        }
    }

    /// Makes one audit; says after how long it is to be made again, if it was not finished.
    async fn audit(&self, claim: &AuditClaim) -> Option<Duration> {
        let mut tally = Tally::default();
        let outcome = match self.compare(claim, &mut tally).await {
            Ok(true) if tally.differences > 0 => "different",
            Ok(true) => "equal",
            Ok(false) => "taken_over",
            Err(error) => {
                tracing::warn!(%error, network = %self.chain(), ?tally, "an audit was not finished");
                "unfinished"
            }
        };
        meters::run(self.chain(), outcome);
        (outcome == "unfinished").then(|| self.auditor.interval / RETRIES_PER_INTERVAL)
    }

    /// Compares the blocks whose turn it is; false when somebody else has done so meanwhile.
    async fn compare(&self, claim: &AuditClaim, tally: &mut Tally) -> Result<bool, Unfinished> {
        let Auditor { store, blocks, .. } = &self.auditor;
        let newest = newest_final(&self.network.node, self.network.confirmations).await?;
        let newest = newest.ok_or(Unfinished::NothingFinal)?;
        let (from, to) = recent(claim.since, newest, *blocks);
        let range = BlockRange { chain: self.chain(), from, to };
        examine(store, &self.network, range, tally, |difference| self.tell(difference)).await?;
        let result = AuditResult {
            range,
            caught_up: to == newest,
            payments: tally.payments,
            uses: tally.uses,
            differences: tally.differences,
        };
        let finished = store.finish_audit(claim, &result).await?;
        tracing::info!(network = %self.chain(), from, to, ?tally, "ledger and chain were compared");
        Ok(finished)
    }

    fn tell(&self, difference: &Difference) {
        meters::difference(self.chain(), difference.kind());
        tracing::error!(
            kind = difference.kind(),
            difference = %difference.to_json(self.chain()),
            "ledger and chain differ"
        );
    }
}
