//! What a tenant allows: the rules that its payments pass before money moves.
//!
//! A policy without rules allows everything. Lists and bounds are read in one order, and the first
//! that a payment breaks is the reason it is denied for.

mod host;
mod limit;
mod list;
mod reason;
mod validity;

use serde::{Deserialize, Serialize};

pub use self::host::{HostPattern, InvalidHost};
pub use self::limit::{Demand, Per, Period, TokenLimit, Velocity};
pub use self::list::List;
pub use self::reason::{PolicyReason, UnknownReason};
pub use self::validity::InvalidPolicy;
use crate::{Address, Authorization, ChainId};

/// How long somebody has to decide on a payment, unless the policy says otherwise.
const USUAL_HOLD_SECS: u32 = 3_600;

/// A tenant's rules, as they are written and stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Hosts of the resources that are paid for.
    pub hosts: List<HostPattern>,
    /// Payers.
    pub payers: List<Address>,
    /// Recipients.
    pub pay_to: List<Address>,
    /// Tokens.
    pub assets: List<Address>,
    /// Networks.
    pub networks: List<ChainId>,
    /// Bounds on amounts, each of one token.
    pub limits: Vec<TokenLimit>,
    /// Bounds on how many payments one payer makes.
    pub velocity: Vec<Velocity>,
    /// How long somebody has to decide on a payment that is held, in seconds.
    pub hold_seconds: u32,
    /// Whether a payment needs a session with the risk engine, where there is one to ask.
    // Left out where it says nothing, so that a process of before this member reads the policy.
    #[serde(skip_serializing_if = "is_usual")]
    pub require_session: bool,
    /// What follows when the risk engine does not decide in time.
    #[serde(skip_serializing_if = "is_usual")]
    pub on_engine_failure: OnEngineFailure,
}

/// What follows for a payment when the risk engine does not decide in time. It is never allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnEngineFailure {
    /// Somebody has to decide.
    #[default]
    Hold,
    /// It is denied.
    Reject,
}

fn is_usual<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            hosts: List::default(),
            payers: List::default(),
            pay_to: List::default(),
            assets: List::default(),
            networks: List::default(),
            limits: Vec::new(),
            velocity: Vec::new(),
            hold_seconds: USUAL_HOLD_SECS,
            require_session: false,
            on_engine_failure: OnEngineFailure::default(),
        }
    }
}

impl Policy {
    /// The first list or bound on a single payment that this one breaks, if any.
    pub fn denies(
        &self,
        authorization: &Authorization,
        host: Option<&str>,
    ) -> Option<PolicyReason> {
        use PolicyReason as Reason;
        let listed = self
            .hosts
            .refuses(|pattern| host.is_some_and(|host| pattern.matches(host)))
            .map(|refusal| refusal.of(Reason::EndpointBlocked, Reason::EndpointNotWhitelisted))
            .or_else(|| {
                let refusal = self.payers.refuses(|payer| *payer == authorization.payer)?;
                Some(refusal.of(Reason::PayerBlocked, Reason::PayerNotWhitelisted))
            })
            .or_else(|| {
                let refusal = self.pay_to.refuses(|pay_to| *pay_to == authorization.pay_to)?;
                Some(refusal.of(Reason::RecipientBlocked, Reason::RecipientNotWhitelisted))
            })
            .or_else(|| {
                let refusal = self.assets.refuses(|asset| *asset == authorization.asset)?;
                Some(refusal.of(Reason::AssetBlocked, Reason::AssetNotWhitelisted))
            })
            .or_else(|| {
                let refusal = self.networks.refuses(|chain| *chain == authorization.chain)?;
                Some(refusal.of(Reason::NetworkBlocked, Reason::NetworkNotWhitelisted))
            });
        let too_much = |limit: &&TokenLimit| {
            limit.max_per_payment.is_some_and(|most| authorization.amount > most)
        };
        listed.or_else(|| {
            self.limits_of(authorization).find(too_much).map(|_| Reason::PerRequestLimitExceeded)
        })
    }

    /// Whether somebody has to decide on a payment of this amount.
    pub fn wants_approval(&self, authorization: &Authorization) -> bool {
        self.limits_of(authorization)
            .any(|limit| limit.approve_above.is_some_and(|above| authorization.amount > above))
    }

    /// The bounds on this payment's token.
    pub(crate) fn limits_of(
        &self,
        authorization: &Authorization,
    ) -> impl Iterator<Item = &TokenLimit> {
        let (network, asset) = (authorization.chain, authorization.asset);
        self.limits.iter().filter(move |limit| limit.network == network && limit.asset == asset)
    }
}

#[cfg(test)]
mod tests;
