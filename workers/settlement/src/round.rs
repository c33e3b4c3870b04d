//! One round: from payments whose bells have rung to one transaction that is sent.

use std::sync::Arc;

use chain::{Call, ChainError, Simulated, batch, transfer};
use domain::{Event, PaymentId, PaymentState, Submission, TransactionId};
use store::{AttemptKind, Change, PauseScope, Round, SignedPayment, Stored};
use tokio::sync::OwnedSemaphorePermit;

use crate::error::SettleError;
use crate::lane::{Lane, new_attempt, opened};
use crate::network::Network;
use crate::policy::Policy;
use crate::readiness::{Readiness, readiness};
use crate::{meters, prospect, stray};

/// How often a round is built again because payments moved away while it was built.
const REBUILDS: usize = 3;

/// Takes these payments one step on: those that can be settled go into one transaction.
///
/// # Errors
/// [`SettleError`] when a step could not be taken. What was stored by then is followed; what was
/// not is due again.
pub(crate) async fn run(
    network: &Arc<Network>,
    lane: &Arc<Lane>,
    payments: &[PaymentId],
    room: OwnedSemaphorePermit,
) -> Result<(), SettleError> {
    let loaded = network.store.load_signed(payments).await?;
    let loaded = without_paused(network, loaded).await?;
    let mut ready = Vec::new();
    let (mut stale, mut late) = (Vec::new(), Vec::new());
    for payment in loaded {
        match readiness(payment, network.now(), network.policy.min_remaining_secs) {
            Readiness::Ready(payment) => ready.push(payment),
            Readiness::Stale(payment) => stale.push(payment),
            Readiness::Late(payment) => late.push(payment),
            Readiness::Carried(payment, submission) => {
                put_off(stray::carried(network, payment.payment, submission).await);
            }
            Readiness::Included(payment) => {
                put_off(stray::included(network, payment.payment).await);
            }
            Readiness::Rest => {}
        }
    }
    put_off(network.apply(stale, Event::ApprovalExpired).await);
    put_off(prospect::decide(network, late).await);
    // The most urgent come first, should the batch have to be cut.
    ready.sort_by_key(|payment| payment.payment.authorization.valid_before);
    if ready.is_empty() {
        return Ok(());
    }
    let result = settle(network, lane, ready, room).await;
    meters::round(network.node.chain(), if result.is_ok() { "sent" } else { "failed" });
    result
}

/// What is not known about some payments is asked again when they ring again, and keeps no others
/// from being settled.
fn put_off(result: Result<(), SettleError>) {
    if let Err(error) = result {
        tracing::warn!(%error, "some payments of a round were put off");
    }
}

async fn without_paused(
    network: &Network,
    mut loaded: Vec<SignedPayment>,
) -> Result<Vec<SignedPayment>, SettleError> {
    let mut scopes = vec![PauseScope::All, PauseScope::Network(network.node.chain())];
    let mut accounts: Vec<_> = loaded.iter().map(|payment| payment.payment.account).collect();
    accounts.sort_unstable();
    accounts.dedup();
    scopes.extend(accounts.into_iter().map(PauseScope::Account));
    let paused = network.store.paused(&scopes).await?;
    let everything = paused.iter().any(|scope| !matches!(scope, PauseScope::Account(_)));
    // What is sent already is followed all the same: a pause stops money, not knowledge.
    loaded.retain(|payment| {
        !matches!(payment.payment.state, PaymentState::Approved { .. })
            || !(everything || paused.contains(&PauseScope::Account(payment.payment.account)))
    });
    Ok(loaded)
}

/// A call that was simulated, and the gas to give it.
struct Prepared {
    payments: Vec<SignedPayment>,
    call: Call,
    gas_limit: u64,
}

async fn settle(
    network: &Arc<Network>,
    lane: &Arc<Lane>,
    ready: Vec<SignedPayment>,
    room: OwnedSemaphorePermit,
) -> Result<(), SettleError> {
    let mut ready = ready;
    for _ in 0..REBUILDS {
        let Some(prepared) = prepare(network, lane, ready).await? else { return Ok(()) };
        runtime::fail_point(runtime::FailPoint::AfterSimulate);
        match store(network, lane, &prepared).await? {
            Outcome::Stored(transaction) => {
                network.tracker.follow(transaction.clone(), Arc::clone(lane), Some(room));
                network.send(lane, &transaction).await;
                return Ok(());
            }
            Outcome::Again(overtaken) => {
                ready = prepared.payments;
                ready.retain(|payment| !overtaken.contains(&payment.payment.id));
            }
        }
    }
    Err(SettleError::Restless)
}

/// Simulates the exact call. Payments that would fail leave the round, each with its reason;
/// `None` when nothing is left.
async fn prepare(
    network: &Network,
    lane: &Lane,
    ready: Vec<SignedPayment>,
) -> Result<Option<Prepared>, SettleError> {
    let mut ready = ready;
    let calls = |payments: &[SignedPayment]| -> Vec<Call> {
        payments
            .iter()
            .map(|payment| transfer(&payment.payment.authorization, &payment.signature))
            .collect()
    };
    if ready.len() > 1 {
        let gas = Policy::batch_gas(ready.len());
        let results = network.node.simulate_batch(lane.address(), &calls(&ready), gas).await?;
        let (fit, unfit): (Vec<_>, Vec<_>) =
            ready.into_iter().zip(results).partition(|(_, result)| *result == Simulated::Succeeds);
        let unfit = unfit.into_iter().map(|(payment, _)| payment).collect();
        put_off(prospect::decide(network, unfit).await);
        ready = fit.into_iter().map(|(payment, _)| payment).collect();
    }
    let mut calls = calls(&ready);
    match (calls.pop(), calls.is_empty()) {
        (None, _) => Ok(None),
        (Some(call), true) => prepare_alone(network, lane, ready, call).await,
        (Some(last), false) => {
            calls.push(last);
            let gas_limit = Policy::batch_gas(calls.len());
            let call = batch(network.node.multicall(), &calls);
            Ok(Some(Prepared { payments: ready, call, gas_limit }))
        }
    }
}

async fn prepare_alone(
    network: &Network,
    lane: &Lane,
    payments: Vec<SignedPayment>,
    call: Call,
) -> Result<Option<Prepared>, SettleError> {
    match network.node.simulate(lane.address(), &call).await {
        Ok(gas) => Ok(Some(Prepared { payments, call, gas_limit: Policy::single_gas(gas) })),
        Err(ChainError::Reverted { reason }) => {
            tracing::info!(reason, "a payment would be refused by its token");
            prospect::decide(network, payments).await?;
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

enum Outcome {
    Stored(store::OpenTransaction),
    /// Build the round again without these.
    Again(Vec<PaymentId>),
}

/// Signs and stores, committed before anything may be sent.
async fn store(
    network: &Network,
    lane: &Lane,
    prepared: &Prepared,
) -> Result<Outcome, SettleError> {
    let reading = network.market.read(&network.node, &network.policy).await?;
    let fees = reading.fees.ok_or(SettleError::TooDear)?;
    let nonce = lane.next_nonce();
    let signed = lane.sign(nonce, prepared.call.clone(), prepared.gas_limit, fees).await?;
    let transaction = TransactionId::new(runtime::id::new_uuid());
    let changes = prepared
        .payments
        .iter()
        .filter_map(|SignedPayment { payment, .. }| {
            let PaymentState::Approved { until } = payment.state else { return None };
            let submission = Submission { transaction, approved_until: until };
            let event = Event::Submitted(submission);
            Some(Change { payment: payment.clone(), event, carrier: Some(signed.hash) })
        })
        .collect::<Vec<_>>();
    let round = Round {
        transaction,
        nonce,
        target: prepared.call.target,
        input: prepared.call.input.to_vec(),
        gas_limit: prepared.gas_limit,
        attempt: new_attempt(AttemptKind::Payload, &signed, fees, reading.head.number),
        changes,
    };
    let items = round.changes.iter().map(|change| change.payment.id).collect();
    let followed = opened(lane.signer(), &round, items);
    runtime::fail_point(runtime::FailPoint::AfterSign);
    match network.store.store_round(lane.lease(), round, network.now()).await? {
        Stored::Committed(advance) => {
            runtime::fail_point(runtime::FailPoint::AfterStore);
            lane.set_next_nonce(nonce.saturating_add(1));
            meters::batch(network.node.chain(), followed.items.len());
            network.tell(&advance);
            Ok(Outcome::Stored(followed))
        }
        Stored::LeaseLost => Err(SettleError::LeaseLost),
        Stored::NonceMoved(_) => Err(SettleError::OutOfStep),
        Stored::Overtaken(payments) => Ok(Outcome::Again(payments)),
    }
}

impl Network {
    /// Applies one event to payments, and tells everybody.
    pub(crate) async fn apply(
        &self,
        payments: Vec<SignedPayment>,
        event: Event,
    ) -> Result<(), SettleError> {
        let changes = payments
            .into_iter()
            .map(|SignedPayment { payment, .. }| Change { payment, event, carrier: None })
            .collect();
        self.commit(changes).await
    }

    /// Commits changes, and tells everybody.
    pub(crate) async fn commit(&self, changes: Vec<Change>) -> Result<(), SettleError> {
        let advance = self.store.advance(changes, self.now()).await?;
        self.tell(&advance);
        Ok(())
    }
}
