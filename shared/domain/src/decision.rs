//! Which of several payments may be settled together: what each payer has, what their other open
//! payments want of it, and what their tenants' policies allow.

use std::collections::HashMap;
use std::time::Duration;

use crate::risk_engine::RiskDecision;
use crate::{
    AccountId, Address, Amount, Authorization, ChainId, Control, Demand, EngineWord,
    OnEngineFailure, Period, Policy, PolicyReason, Timestamp,
};

/// What a payer has of one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Purse {
    /// The network.
    pub chain: ChainId,
    /// The token.
    pub asset: Address,
    /// Whose.
    pub payer: Address,
}

/// A budget: a bound's count for one stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BudgetKey {
    /// The tenant.
    pub account: AccountId,
    /// The network.
    pub chain: ChainId,
    /// The token.
    pub asset: Address,
    /// The payer, where each is counted by itself.
    pub payer: Option<Address>,
    /// The stretch of time.
    pub period: Period,
}

impl BudgetKey {
    /// The budget that a payment of this account's is counted in by a bound.
    pub fn of(account: AccountId, authorization: &Authorization, demand: &Demand) -> Self {
        Self {
            account,
            chain: authorization.chain,
            asset: authorization.asset,
            payer: demand.payer,
            period: demand.period,
        }
    }
}

/// A payment that the chain can pay, and what is to be known to decide on it.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// Whose payment it is.
    pub account: AccountId,
    /// What the buyer signed.
    pub authorization: &'a Authorization,
    /// What operators say about it.
    pub control: Control,
    /// The host of the resource that is paid for, if the payment names one.
    pub host: Option<&'a str>,
    /// What the payer has of the token, as the chain said.
    pub balance: Amount,
    /// The tenant's rules.
    pub policy: &'a Policy,
    /// Whether it has taken up its budgets already: a payment takes them up once.
    pub reserved: bool,
    /// Whether somebody has decided for it.
    pub approved_by_hand: bool,
    /// What a risk engine says about it.
    pub engine: EngineWord,
    /// From here on too little of its validity is left to settle it.
    pub decide_by: Timestamp,
}

/// What other open payments take up.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    /// Of each purse, by payments that are approved and not paid yet.
    pub purses: HashMap<Purse, Amount>,
    /// Of each budget, by payments that were paid or may be.
    pub budgets: HashMap<BudgetKey, Amount>,
}

/// What is decided about a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may be settled, and takes up these budgets by these amounts.
    Allow(Vec<(BudgetKey, Amount)>),
    /// It may not, by this rule.
    Deny(PolicyReason),
    /// Somebody has to decide, until this moment, by this rule.
    Review(PolicyReason, Timestamp),
    /// Not now.
    Wait(WaitingFor),
    /// Nothing else speaks against it: the engine is to be asked.
    Ask,
}

/// What a payment waits for that is not decided on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitingFor {
    /// An operator has paused it.
    Operator,
    /// Other open payments of its payer want what that has.
    Purse,
    /// The engine is being asked, or has been in vain a moment ago.
    Engine,
}

impl Purse {
    /// The one that an authorization is paid from.
    pub fn of(authorization: &Authorization) -> Self {
        let Authorization { chain, asset, payer, .. } = *authorization;
        Self { chain, asset, payer }
    }
}

impl Taken {
    /// Counts what a payment takes up of budgets.
    pub fn count(&mut self, takes: &[(BudgetKey, Amount)]) {
        for (key, amount) in takes {
            let used = self.budgets.entry(*key).or_default();
            *used = used.checked_add(*amount).unwrap_or(*used);
        }
    }
}

impl Case<'_> {
    /// The budgets that the payment would take up, each with its bound.
    pub fn budgets(&self, now: Timestamp) -> Vec<(BudgetKey, Demand)> {
        if self.reserved {
            return Vec::new();
        }
        let key = |demand: &Demand| BudgetKey::of(self.account, self.authorization, demand);
        let demands = self.policy.demands(self.authorization, now);
        demands.into_iter().map(|demand| (key(&demand), demand)).collect()
    }

    /// Somebody is to decide, while the payment can still be settled.
    fn review(&self, reason: PolicyReason, now: Timestamp) -> Decision {
        let until = now.plus(Duration::from_secs(self.policy.hold_seconds.into()));
        Decision::Review(reason, until.min(self.decide_by))
    }

    /// What the engine's word comes to, when nothing else speaks against the payment; `None` when it
    /// does not either. Somebody who has decided has decided what an engine leaves open.
    fn by_engine(&self, now: Timestamp) -> Option<Decision> {
        let left_to_somebody = |reason| match self.approved_by_hand {
            true => None,
            false => Some(self.review(reason, now)),
        };
        match (self.engine, self.policy.on_engine_failure) {
            // Without its session a payment has been denied before.
            (
                EngineWord::NotAsked
                | EngineWord::SessionMissing
                | EngineWord::Said(RiskDecision::Allow),
                _,
            ) => None,
            (EngineWord::Said(RiskDecision::Deny), _) => {
                Some(Decision::Deny(PolicyReason::EngineDenied))
            }
            (EngineWord::Said(RiskDecision::Review), _) => {
                left_to_somebody(PolicyReason::EngineReview)
            }
            (EngineWord::AskNow, _) => Some(Decision::Ask),
            (EngineWord::AskLater, _) => Some(Decision::Wait(WaitingFor::Engine)),
            (EngineWord::Silent, OnEngineFailure::Hold) => {
                left_to_somebody(PolicyReason::EngineSilent)
            }
            (EngineWord::Silent, OnEngineFailure::Reject) => {
                Some(Decision::Deny(PolicyReason::EngineSilent))
            }
        }
    }
}

/// Decides on payments in the order given; each that is allowed counts for those behind it.
pub fn decide(cases: &[Case<'_>], taken: &mut Taken, now: Timestamp) -> Vec<Decision> {
    cases.iter().map(|case| decide_one(case, taken, now)).collect()
}

fn decide_one(case: &Case<'_>, taken: &mut Taken, now: Timestamp) -> Decision {
    let authorization = case.authorization;
    match case.control {
        Control::Denied(reason) => return Decision::Deny(reason),
        Control::Paused => return Decision::Wait(WaitingFor::Operator),
        Control::Free => {}
    }
    let purse = Purse::of(authorization);
    let before = taken.purses.get(&purse).copied().unwrap_or_default();
    let Some(wanted) = before.checked_add(authorization.amount) else {
        return Decision::Wait(WaitingFor::Purse);
    };
    if case.balance < wanted {
        return Decision::Wait(WaitingFor::Purse);
    }
    if let Some(reason) = case.policy.denies(authorization, case.host) {
        return Decision::Deny(reason);
    }
    if case.engine == EngineWord::SessionMissing {
        return Decision::Deny(PolicyReason::SessionRequired);
    }
    let mut takes = Vec::new();
    for (key, demand) in case.budgets(now) {
        let used = taken.budgets.get(&key).copied().unwrap_or_default();
        let fits = used.checked_add(demand.amount).is_some_and(|after| after <= demand.limit);
        if !fits {
            return Decision::Deny(demand.reason);
        }
        takes.push((key, demand.amount));
    }
    let engines = case.by_engine(now);
    if case.policy.wants_approval(authorization) && !case.approved_by_hand {
        // Whoever decides answers for the engine too, and so is to know what it says.
        return match engines {
            Some(decision @ (Decision::Deny(_) | Decision::Ask | Decision::Wait(_))) => decision,
            Some(Decision::Review(..) | Decision::Allow(_)) | None => {
                case.review(PolicyReason::ApprovalRequired, now)
            }
        };
    }
    if let Some(decision) = engines {
        return decision;
    }
    taken.purses.insert(purse, wanted);
    taken.count(&takes);
    Decision::Allow(takes)
}

#[cfg(test)]
mod tests;
