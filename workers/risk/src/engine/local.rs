//! Our own engine, asked without HTTP.

use std::time::Duration;

use domain::Timestamp;
use domain::risk_engine::{
    NamedTrace, NotAssessed, RiskAssessment, RiskFinding, RiskInquiry, assess,
};
use store::{Store, StoreError};
use uuid::Uuid;

use super::Said;
use super::answer::{Answer, NoDecision};
use super::question::Case;

/// Our own engine, over the sessions and traces in the ledger.
#[derive(Debug)]
pub(super) struct Local {
    store: Store,
    models: Vec<String>,
}

impl Local {
    pub(super) const fn new(store: Store, models: Vec<String>) -> Self {
        Self { store, models }
    }

    pub(super) async fn ask(&self, case: &Case<'_>, now: Timestamp) -> Said {
        Said::nothing(self.decide(case, now).await)
    }

    /// Sessions and traces of other accounts than the payment's are not there.
    async fn decide(&self, case: &Case<'_>, now: Timestamp) -> Result<Answer, NoDecision> {
        let account = case.payment.account;
        let named = case.context.session.ok_or(NoDecision::NoSession)?;
        let session = self.store.find_risk_session(account, named, now).await?;
        let session = session.map(|row| row.session);
        let found = match case.context.trace {
            Some(trace) => self.store.find_risk_trace(account, trace, now).await?,
            None => None,
        };
        let found = found.map(|row| row.to_trace());
        let trace = match (case.context.trace, &found) {
            (None, _) => NamedTrace::None,
            (Some(_), None) => NamedTrace::Unknown,
            (Some(_), Some(trace)) => NamedTrace::Found(trace),
        };
        let inquiry = RiskInquiry {
            payer: case.payment.authorization.payer,
            session: session.as_ref(),
            trace,
            models: &self.models,
            now,
        };
        Ok(answer(&assess(&inquiry)?))
    }
}

fn answer(assessment: &RiskAssessment) -> Answer {
    let name = |finding: &RiskFinding| finding.as_str().to_owned();
    Answer {
        decision: assessment.decision,
        decision_id: Uuid::new_v4().to_string(),
        level: assessment.decision.level(),
        reasons: assessment.reasons.iter().map(name).collect(),
        valid_for: Duration::from_secs(assessment.valid_secs),
    }
}

impl From<NotAssessed> for NoDecision {
    fn from(why: NotAssessed) -> Self {
        match why {
            NotAssessed::UnknownSession => Self::UnknownSession,
            NotAssessed::UnknownTrace => Self::UnknownTrace,
            NotAssessed::ForeignTrace => Self::ForeignTrace,
        }
    }
}

impl From<StoreError> for NoDecision {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "the ledger does not say what an agent told");
        Self::LedgerAway
    }
}
