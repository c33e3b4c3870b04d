//! Payments that somebody else's transaction has paid before anybody decided on them.
//!
//! Nobody can deny them any more. Their money is spent all the same, so they take up their tenants'
//! budgets, beyond the bounds if need be: what comes behind them finds less.

use std::collections::HashMap;

use domain::{Amount, BudgetKey, Event, PaymentId, PaymentState, Timestamp};
use uuid::Uuid;

use super::policy::PolicyVersion;
use crate::advance::Change;

/// A payment that was paid, and what it takes up.
#[derive(Debug)]
pub(super) struct Paid {
    pub(super) payment: PaymentId,
    pub(super) takes: Vec<(BudgetKey, Amount)>,
}

/// Whether the change is of a payment that a block holds before anybody decided on it.
pub(super) fn is_undecided(change: &Change) -> bool {
    let undecided =
        matches!(change.payment.state, PaymentState::Accepted | PaymentState::Held { .. });
    undecided && matches!(change.event, Event::Included(_))
}

/// What these changes take up.
pub(super) fn paid<'a>(
    changes: impl Iterator<Item = &'a Change>,
    policies: &HashMap<Uuid, PolicyVersion>,
    now: Timestamp,
) -> Vec<Paid> {
    let paid =
        changes.filter(|change| is_undecided(change)).filter_map(|Change { payment, .. }| {
            let policy = &policies.get(&payment.account.uuid())?.policy;
            let key = |demand| BudgetKey::of(payment.account, &payment.authorization, demand);
            let demands = policy.demands(&payment.authorization, now);
            let takes = demands.iter().map(|demand| (key(demand), demand.amount)).collect();
            Some(Paid { payment: payment.id, takes })
        });
    paid.collect()
}
