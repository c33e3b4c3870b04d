//! Asking a risk engine about a payment: a remote one, or our own.
//!
//! Anything but a well-formed answer is no decision, and never an allowance. Nothing is repeated
//! here: whoever asks is told when to ask again, and keeps that as a time in the ledger.

mod again;
mod answer;
mod call;
#[cfg(test)]
pub(crate) mod case_for_tests;
mod local;
mod meters;
mod question;
mod receipt;
mod remote;
mod score;
mod trustline;

use std::sync::Arc;

use domain::{Payment, Timestamp};
use runtime::config::{Dialect, HttpClientConfig, RiskEngineConfig};
use store::Store;

pub use answer::{Answer, NoDecision};
pub use question::Case;
#[cfg(test)]
pub(crate) use receipt::Why;
pub(crate) use receipt::{ReceiptBox, Told};
pub use remote::EngineSetupError;
pub(crate) use remote::LONGEST_TURN;

use local::Local;
use remote::Remote;

/// A risk engine. Cheap to clone; clones share its connections and its breaker.
#[derive(Clone, Debug)]
pub struct Engine(Arc<Kind>);

#[derive(Debug)]
enum Kind {
    Local(Local),
    Remote(Remote),
}

/// What came of asking.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// What follows.
    pub outcome: Outcome,
    /// The hash of what was sent, where something was.
    pub request_sha256: Option<[u8; 32]>,
    /// The hash of what was answered, where it was read to its end.
    pub response_sha256: Option<[u8; 32]>,
}

impl Asked {
    /// What follows where nothing was said.
    pub(crate) const fn without(outcome: Outcome) -> Self {
        Self { outcome, request_sha256: None, response_sha256: None }
    }
}

/// What follows from asking.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The engine has decided.
    Decided(Answer),
    /// It has not, and is to be asked again.
    Again {
        /// Not before this time.
        at: Timestamp,
        /// The tries that there have been, to be handed in then.
        tries: u32,
        /// Why it has not decided.
        why: NoDecision,
    },
    /// It has not, and will not: the policy says what follows, which is never an allowance.
    Undecided(NoDecision),
}

impl Engine {
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
            Dialect::Off => return Ok(None),
            Dialect::Local => Kind::Local(Local::new(store.clone(), config.models.clone())),
            Dialect::Trustline | Dialect::Score => {
                match Remote::from_config(config, connections)? {
                    Some(remote) => Kind::Remote(remote),
                    None => return Ok(None),
                }
            }
        };
        meters::register();
        Ok(Some(Self(Arc::new(kind))))
    }

    /// What follows for a payment about which it cannot be asked now, because too many wait for it.
    pub(crate) fn put_off(payment: &Payment, tries: u32, now: Timestamp) -> Outcome {
        let outcome = again::after(NoDecision::Busy, payment, tries, now);
        meters::asked(&outcome);
        outcome
    }

    /// Where it is told how payments ended, if it wants to know.
    pub(crate) fn receipts(&self) -> Option<Arc<ReceiptBox>> {
        match &*self.0 {
            Kind::Local(_) => None,
            Kind::Remote(remote) => remote.receipts.clone(),
        }
    }

    /// Asks about a payment, once. `tries` of them failed before.
    pub async fn ask(&self, case: &Case<'_>, tries: u32, now: Timestamp) -> Asked {
        let said = match &*self.0 {
            Kind::Local(local) => local.ask(case, now).await,
            Kind::Remote(remote) => remote.ask(case).await,
        };
        let outcome = match said.read {
            Ok(answer) => Outcome::Decided(answer),
            Err(why) => again::after(why, case.payment, tries, now),
        };
        meters::asked(&outcome);
        let (request_sha256, response_sha256) = (said.request_sha256, said.response_sha256);
        Asked { outcome, request_sha256, response_sha256 }
    }
}

/// What was said on both sides, and what it comes to.
#[derive(Debug)]
struct Said {
    read: Result<Answer, NoDecision>,
    request_sha256: Option<[u8; 32]>,
    response_sha256: Option<[u8; 32]>,
}

impl Said {
    /// What is known without a word being sent.
    const fn nothing(read: Result<Answer, NoDecision>) -> Self {
        Self { read, request_sha256: None, response_sha256: None }
    }
}
