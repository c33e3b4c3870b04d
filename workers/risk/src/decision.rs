//! Deciding a batch of payments with one look at the chain.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chain::{AuthorizationUse, AuthorizationView, ChainError, Node};
use domain::{
    ChainId, ChainView, Event, FailureCode, Payment, PaymentId, PaymentState, Timestamp, Verdict,
    judge,
};
use queue::Herald;
use runtime::clock::Clock;
use store::{Change, Store, StoreError};

use crate::{RiskNetwork, meters};

/// Why nothing was decided. The payment stays as it is and is asked about again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RiskError {
    /// The node did not say.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The ledger did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Debug)]
pub(crate) struct Decider {
    pub(crate) store: Store,
    pub(crate) herald: Herald,
    pub(crate) clock: Clock,
    pub(crate) networks: HashMap<ChainId, RiskNetwork>,
    pub(crate) decision_validity: Duration,
}

impl Decider {
    /// Decides each of these payments, or says for each why not.
    pub(crate) async fn decide_all(
        &self,
        payments: Vec<PaymentId>,
    ) -> Vec<Result<(), Arc<RiskError>>> {
        let began = Instant::now();
        let mut failed: HashMap<PaymentId, Arc<RiskError>> = HashMap::new();
        match self.store.load(&payments).await {
            Err(error) => {
                let error = Arc::new(RiskError::from(error));
                failed.extend(payments.iter().map(|id| (*id, Arc::clone(&error))));
            }
            Ok(loaded) => {
                for (chain, payments) in by_network(loaded) {
                    let ids: Vec<PaymentId> = payments.iter().map(|payment| payment.id).collect();
                    if let Err(error) = self.decide(chain, payments).await {
                        let error = Arc::new(error);
                        failed.extend(ids.into_iter().map(|id| (id, Arc::clone(&error))));
                    }
                }
            }
        }
        metrics::histogram!("risk_evaluation_seconds").record(began.elapsed());
        payments.iter().map(|id| failed.get(id).cloned().map_or(Ok(()), Err)).collect()
    }

    async fn decide(&self, chain: ChainId, payments: Vec<Payment>) -> Result<(), RiskError> {
        let Some(network) = self.networks.get(&chain) else {
            tracing::warn!(network = %chain, "payments wait for a network that is not configured");
            return Ok(());
        };
        let now = Timestamp::from_unix_ms(self.clock.now_unix_ms());
        let final_block_time = network.node.final_block_time(network.confirmations).await?;
        let authorizations: Vec<_> =
            payments.iter().map(|payment| &payment.authorization).collect();
        let views = network.node.views(&authorizations).await?;
        let mut changes = Vec::with_capacity(payments.len());
        for (payment, view) in payments.into_iter().zip(views) {
            let AuthorizationView { used, balance } = view;
            let view = ChainView { authorization_used: used, balance, final_block_time };
            let verdict = judge(&payment.authorization, &view, now, network.min_remaining_secs);
            if let Some(event) = self.event(&network.node, &payment, verdict, now).await? {
                changes.push(Change { payment, event, carrier: None });
            }
        }
        let advance = self.store.advance(changes, now).await?;
        advance.moved().for_each(count);
        self.herald.announce(advance.moved(), &advance.deliveries);
        Ok(())
    }

    /// What a verdict means for a payment; `None` when it has to wait.
    async fn event(
        &self,
        node: &Node,
        payment: &Payment,
        verdict: Verdict,
        now: Timestamp,
    ) -> Result<Option<Event>, RiskError> {
        let held_too_long = matches!(payment.state, PaymentState::Held { until } if until <= now);
        Ok(match verdict {
            Verdict::Approve if held_too_long => Some(Event::Rejected(FailureCode::HoldExpired)),
            // Only an operator ends a hold before its time.
            Verdict::Approve if matches!(payment.state, PaymentState::Held { .. }) => None,
            Verdict::Approve => Some(Event::Approved { until: now.plus(self.decision_validity) }),
            Verdict::Reject(code) => Some(Event::Rejected(code)),
            Verdict::Expire => Some(Event::Expired),
            Verdict::AwaitExpiry => None,
            Verdict::FindUse => match node.find_use(&payment.authorization).await? {
                AuthorizationUse::Paid(inclusion) => Some(Event::Included(inclusion)),
                // Nothing of ours has been sent: whatever it was spent on, it can pay nobody now.
                AuthorizationUse::Spent { .. } | AuthorizationUse::NotFound => {
                    Some(Event::Rejected(FailureCode::AuthorizationUsed))
                }
            },
        })
    }
}

/// The payments that wait for a decision, by network.
fn by_network(payments: Vec<Payment>) -> HashMap<ChainId, Vec<Payment>> {
    let mut networks: HashMap<ChainId, Vec<Payment>> = HashMap::new();
    for payment in payments {
        if matches!(payment.state, PaymentState::Accepted | PaymentState::Held { .. }) {
            networks.entry(payment.authorization.chain).or_default().push(payment);
        }
    }
    networks
}

fn count(payment: &Payment) {
    let reason = payment.state.failure().map_or("none", FailureCode::as_str);
    meters::decision(payment.state.name().as_str(), reason);
}
