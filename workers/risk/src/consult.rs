//! Asking the engine about a payment that nothing else speaks against.

use std::sync::Arc;
use std::time::Duration;

use domain::{Consulting, EngineAnswer, RiskContext, Timestamp};
use runtime::clock::Clock;
use store::{EngineReply, EngineSaid, EngineTerms, Store, StoreError, ToAsk};

use crate::engine::{Asked, Case, Engine, Outcome};

/// So much longer than one try may take, nobody else asks about a payment.
const GRACE: Duration = Duration::from_secs(5);

/// An engine that decides with us.
#[derive(Clone, Debug)]
pub struct ConsultedEngine {
    /// The engine.
    pub engine: Engine,
    /// Which payments it is asked about.
    pub consulting: Consulting,
    /// How long one try may take.
    pub timeout: Duration,
}

impl ConsultedEngine {
    /// How it takes part in decisions.
    pub(crate) const fn terms(&self) -> EngineTerms {
        EngineTerms { consulting: self.consulting, lease: self.timeout.saturating_add(GRACE) }
    }
}

/// Asks the engine. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Consultant(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    engine: ConsultedEngine,
    store: Store,
    clock: Clock,
}

impl Consultant {
    pub(crate) fn new(engine: ConsultedEngine, store: Store, clock: Clock) -> Self {
        Self(Arc::new(Parts { engine, store, clock }))
    }

    /// Asks about a payment, once.
    pub(crate) async fn ask(&self, question: ToAsk) -> Result<EngineReply, StoreError> {
        let Parts { engine, store, clock } = &*self.0;
        let ToAsk { payment, tries, x402_version, host } = question;
        let context = store.risk_contexts(&[payment.id]).await?.remove(&payment.id);
        let context = context.unwrap_or_else(RiskContext::default);
        let now = || Timestamp::from_unix_ms(clock.now_unix_ms());
        let case =
            Case { payment: &payment, x402_version, resource: host.as_deref(), context: &context };
        let Asked { outcome, request_sha256, response_sha256 } =
            engine.engine.ask(&case, tries, now()).await;
        Ok(EngineReply {
            payment: payment.id,
            engine: engine.consulting.engine,
            said: said(outcome, now()),
            request_sha256,
            response_sha256,
        })
    }
}

fn said(outcome: Outcome, now: Timestamp) -> EngineSaid {
    match outcome {
        Outcome::Decided(answer) => EngineSaid::Answered(EngineAnswer {
            decision: answer.decision,
            decision_id: answer.decision_id,
            level: answer.level,
            reasons: answer.reasons,
            valid_until: now.plus(answer.valid_for),
        }),
        Outcome::Again { at, tries, why } => EngineSaid::Again { at, tries, why: why.as_str() },
        Outcome::Undecided(why) => EngineSaid::Undecided(why.as_str()),
    }
}
