//! Asking the engine about a payment that nothing else speaks against.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use domain::{Consulting, EngineAnswer, EngineKind, Timestamp};
use runtime::clock::Clock;
use runtime::config::{Dialect, HttpClientConfig, RiskEngineConfig};
use store::{EngineReply, EngineSaid, EngineTerms, Store, StoreError, ToAsk};
use tokio::sync::Semaphore;

use crate::engine::{Asked, Case, Engine, EngineSetupError, LONGEST_TURN, Outcome, ReceiptBox};

/// So much longer than waiting for a turn and one try may take, nobody else asks about a payment.
const GRACE: Duration = Duration::from_secs(5);

/// An engine that decides with us.
#[derive(Clone, Debug)]
pub struct ConsultedEngine {
    engine: Engine,
    consulting: Consulting,
    timeout: Duration,
}

impl ConsultedEngine {
    /// The engine of this configuration, where it has one. `connections` says how those to a remote
    /// one are kept.
    ///
    /// # Errors
    /// When the system has no certificate authorities.
    pub fn from_config(
        config: &RiskEngineConfig,
        connections: &HttpClientConfig,
        store: &Store,
    ) -> Result<Option<Self>, EngineSetupError> {
        let kind = match config.dialect {
            Dialect::Off => None,
            Dialect::Local => Some(EngineKind::Local),
            Dialect::Trustline => Some(EngineKind::Trustline),
            Dialect::Score => Some(EngineKind::Score),
        };
        let engine = Engine::from_config(config, connections, store)?;
        Ok(engine.zip(kind).map(|(engine, kind)| Self {
            engine,
            consulting: Consulting { engine: kind, session_required: config.require_session },
            timeout: Duration::from_millis(config.timeout_ms),
        }))
    }

    /// Where it is told how payments ended, if it wants to know, and how long that may take.
    pub(crate) fn receipts(&self) -> Option<(Arc<ReceiptBox>, Duration)> {
        Some((self.engine.receipts()?, self.timeout))
    }

    /// How it takes part in decisions.
    pub(crate) const fn terms(&self) -> EngineTerms {
        let lease = self.timeout.saturating_add(LONGEST_TURN).saturating_add(GRACE);
        EngineTerms { consulting: self.consulting, lease }
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
    /// How many payments may wait for the engine at once. Others are not to wait behind them.
    places: Semaphore,
}

impl Consultant {
    /// One for whom `places` payments wait at most; others are put off.
    pub(crate) fn new(
        engine: ConsultedEngine,
        store: Store,
        clock: Clock,
        places: NonZeroUsize,
    ) -> Self {
        let places = Semaphore::new(places.get().min(Semaphore::MAX_PERMITS));
        Self(Arc::new(Parts { engine, store, clock, places }))
    }

    /// Asks about a payment, once.
    pub(crate) async fn ask(&self, question: &ToAsk) -> Result<EngineReply, StoreError> {
        let parts = &*self.0;
        let ToAsk { payment, tries, .. } = question;
        let asked = match parts.places.try_acquire() {
            Ok(_place) => parts.ask(question).await?,
            Err(_) => Asked::without(Engine::put_off(payment, *tries, parts.now())),
        };
        Ok(EngineReply {
            payment: payment.id,
            engine: parts.engine.consulting.engine,
            said: said(asked.outcome, question.patience, parts.now()),
            request_sha256: asked.request_sha256,
            response_sha256: asked.response_sha256,
        })
    }
}

impl Parts {
    async fn ask(&self, question: &ToAsk) -> Result<Asked, StoreError> {
        let ToAsk { payment, tries, x402_version, host, .. } = question;
        let context = self.store.risk_contexts(&[payment.id]).await?.remove(&payment.id);
        let context = context.unwrap_or_default();
        let (x402_version, resource) = (*x402_version, host.as_deref());
        let case = Case { payment, x402_version, resource, context: &context };
        Ok(self.engine.engine.ask(&case, *tries, self.now()).await)
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.clock.now_unix_ms())
    }
}

/// What there is to be written down. The payment is looked at before it is asked about again where there
/// would be no time left then for anybody to decide on it.
fn said(outcome: Outcome, patience: Timestamp, now: Timestamp) -> EngineSaid {
    match outcome {
        Outcome::Decided(answer) => EngineSaid::Answered(EngineAnswer {
            decision: answer.decision,
            decision_id: answer.decision_id,
            level: answer.level,
            reasons: answer.reasons,
            valid_until: now.plus(answer.valid_for),
        }),
        Outcome::Again { at, tries, why } => {
            EngineSaid::Again { at: at.min(patience), tries, why: why.as_str() }
        }
        Outcome::Undecided(why) => EngineSaid::Undecided(why.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::NoDecision;

    #[test]
    fn nobody_is_asked_again_behind_the_time_when_somebody_has_to_decide() {
        let at = Timestamp::from_unix_secs;
        for (patience, expected) in [(100, 60), (40, 40)] {
            let again = Outcome::Again { at: at(60), tries: 1, why: NoDecision::Timeout };
            let said = said(again, at(patience), at(30));
            assert_eq!(said, EngineSaid::Again { at: at(expected), tries: 1, why: "timeout" });
        }
    }
}
