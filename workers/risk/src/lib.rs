//! The risk worker: decides whether an accepted payment may be settled.
//!
//! It fails closed. A payment is approved only when the chain was asked about it and said that it
//! can pay, when its payer is known to have signed it, by its key or by the token's word, and when the
//! risk engine allows it, where it is to be asked. When the node, the ledger or the engine does not
//! answer, the payment stays accepted and is asked about again when it is due.

mod consult;
mod decision;
pub mod engine;
mod meters;
mod proof;
mod receipt;
mod receipts;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use chain::Node;
use domain::{Address, ChainId, PaymentId};
use futures::future::OptionFuture;
use queue::{HandlerError, Herald, Job, Queue, Stream};
use runtime::clock::Clock;
use runtime::coalesce::{Coalescer, Limits};
use store::Store;
use tokio_util::sync::CancellationToken;
use x402::TokenDomain;

pub use consult::ConsultedEngine;
pub use meters::begin_metrics;

use consult::Consultant;
use decision::{Decider, Followup, Matter, RiskError};
use receipts::Teller;

/// Batches under way at once: while one waits for the chain, another commits. Payments of the same
/// payers are decided one batch after the other anyway, and in few large ones at less expense.
const BATCHES_IN_FLIGHT: usize = 2;

/// The least time between two batches that are not full: under load one look at the chain answers
/// for many, and a payment alone does not wait.
const PACE: Duration = Duration::from_millis(25);

/// How risk judges on one network.
#[derive(Clone, Debug)]
pub struct RiskNetwork {
    /// Its node.
    pub node: Node,
    /// The blocks, the newest included, after which a block counts as final.
    pub confirmations: u64,
    /// Its listed tokens, whose authorizations keys are known to have signed.
    pub tokens: Arc<HashMap<Address, TokenDomain>>,
    /// The validity, in seconds, that must be left for a payment to be settled in time.
    pub min_remaining_secs: i64,
}

/// The risk worker of one process.
#[derive(Clone, Debug)]
pub struct Risk {
    /// The ledger.
    pub store: Store,
    /// The queue.
    pub queue: Queue,
    /// The clock.
    pub clock: Clock,
    /// The networks it knows. Payments of others wait.
    pub networks: HashMap<ChainId, RiskNetwork>,
    /// How many payments may be in work at once.
    pub concurrency: NonZeroUsize,
    /// The most payments that are decided with one look at the chain.
    pub max_batch: usize,
    /// How long an approval holds.
    pub decision_validity: Duration,
    /// The engine that is asked, where there is one.
    pub engine: Option<ConsultedEngine>,
}

impl Risk {
    /// Who tells the engine how payments ended, if it wants to know.
    fn teller(&self, engine: &ConsultedEngine) -> Option<Teller> {
        let (store, clock) = (self.store.clone(), self.clock.clone());
        let (engine, timeout) = engine.receipts()?;
        Some(Teller { store, clock, engine, timeout })
    }

    /// Decides until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let teller = self.engine.as_ref().and_then(|engine| self.teller(engine));
        let telling = teller.map(|teller| teller.run(shutdown.clone()));
        let decider = Arc::new(Decider {
            store: self.store.clone(),
            herald: Herald::new(&self.queue),
            clock: self.clock.clone(),
            networks: self.networks,
            decision_validity: self.decision_validity,
            engine: self.engine.as_ref().map(ConsultedEngine::terms),
        });
        let limits = Limits { pace: PACE, ..Limits::new(self.max_batch, BATCHES_IN_FLIGHT) };
        let decisions = Coalescer::spawn_with("risk", limits, move |matters| {
            let decider = Arc::clone(&decider);
            async move { decider.decide_all(matters).await }
        });
        // The other half is for payments that no engine keeps waiting.
        let places = NonZeroUsize::new(self.concurrency.get() / 2).unwrap_or(NonZeroUsize::MIN);
        let engine =
            self.engine.map(|engine| Consultant::new(engine, self.store, self.clock, places));
        let desk = Desk { decisions, engine };
        let handler = move |job: Job| {
            let desk = desk.clone();
            async move { desk.handle(job).await }
        };
        let working = self.queue.work(Stream::Risk, self.concurrency, handler, shutdown);
        let (worked, _) = tokio::join!(working, OptionFuture::from(telling));
        if let Err(error) = worked {
            tracing::warn!(%error, "risk decisions were left unfinished");
        }
    }
}

/// Where the jobs of this process are dealt with.
#[derive(Clone)]
struct Desk {
    decisions: Coalescer<Matter, Result<Followup, Arc<RiskError>>>,
    engine: Option<Consultant>,
}

impl Desk {
    /// Decides about the payment of a job; where the engine is to be asked first, asks it once. The
    /// job is not done before, so that no more payments are in work than may be.
    async fn handle(&self, job: Job) -> Result<(), HandlerError> {
        let payment: PaymentId = job.id.parse()?;
        let followup = self.decisions.submit(Matter { payment, reply: None }).await??;
        if let (Followup::Ask(question), Some(engine)) = (followup, &self.engine) {
            let reply = Some(engine.ask(&question).await?);
            self.decisions.submit(Matter { payment, reply }).await??;
        }
        Ok(())
    }
}
