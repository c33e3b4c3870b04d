//! One round: from payments whose bells have rung to one transaction that is sent.

use std::sync::Arc;

use chain::{Call, ChainError, Simulated, batch, transfer};
use domain::{
    Address, B256, Event, PaymentId, PaymentState, Submission, TokenPermit, TransactionId,
};
use runtime::id::new_uuid;
use store::{AttemptKind, Change, OpenTransaction, PauseScope, Round, SignedPayment, Stored};
use tokio::sync::OwnedSemaphorePermit;

use crate::attempts::{new_attempt, opened, refilled};
use crate::company::Company;
use crate::decide::readiness::{Readiness, readiness};
use crate::error::SettleError;
use crate::lane::Lane;
use crate::network::Network;
use crate::policy::Policy;
use crate::tracker::newest;
use crate::{meters, prospect, stray};

/// How often a round is built again because payments moved away while it was built.
const REBUILDS: usize = 3;

/// The nonce that a round is for.
#[derive(Debug)]
pub(crate) enum Slot {
    /// The lane's next, with room in flight for it.
    Next(OwnedSemaphorePermit),
    /// One below it that was never used.
    Hole(u64),
    /// That of a transaction on which no payment rests any more, and which no block holds.
    Refill(Box<OpenTransaction>),
}

/// Payments that a round has not dealt with.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// Those for which there was no room.
    pub(crate) over: Vec<PaymentId>,
    /// Those that another signer alone can make, and which.
    pub(crate) of_others: Vec<(PaymentId, Address)>,
}

/// Takes these payments one step on: those that can be settled go into one transaction, and those
/// that must travel alone into one each. Gives those back for which the slot has no room, and those
/// that are another signer's to send.
///
/// # Errors
/// [`SettleError`] when a step could not be taken. What was stored by then is followed; what was
/// not is due again.
pub(crate) async fn run(
    network: &Arc<Network>,
    lane: &Arc<Lane>,
    payments: &[PaymentId],
    slot: Slot,
) -> Result<Left, SettleError> {
    let ready = sort(network, payments).await?;
    let (ready, of_others) = own(lane, ready);
    let Company { together, mut alone } = Company::of(network, ready).await?;
    let first = if together.is_empty() { alone.pop().into_iter().collect() } else { together };
    let has_room = matches!(slot, Slot::Next(_));
    settle(network, lane, first, slot).await?;
    if !has_room {
        let over = alone.into_iter().map(|payment| payment.payment.id).collect();
        return Ok(Left { over, of_others });
    }
    let mut over = Vec::new();
    for payment in alone {
        // Without room they wait in the inbox, where whatever changes meanwhile is seen.
        match lane.free_room() {
            Some(room) => settle(network, lane, vec![payment], Slot::Next(room)).await?,
            None => over.push(payment.payment.id),
        }
    }
    Ok(Left { over, of_others })
}

/// Deals with those of the payments that need no transaction, while there is no room for one.
/// Gives the others back.
///
/// # Errors
/// As [`run`].
pub(crate) async fn tidy(
    network: &Arc<Network>,
    payments: &[PaymentId],
) -> Result<Left, SettleError> {
    let ready = sort(network, payments).await?;
    let over = ready.into_iter().map(|payment| payment.payment.id).collect();
    Ok(Left { over, of_others: Vec::new() })
}

/// Sets those apart that another signer alone can make.
fn own(lane: &Lane, ready: Vec<SignedPayment>) -> (Vec<SignedPayment>, Vec<(PaymentId, Address)>) {
    let (mut own, mut of_others) = (Vec::with_capacity(ready.len()), Vec::new());
    for payment in ready {
        match payment.payment.authorization.method.sender() {
            Some(sender) if sender != lane.address() => {
                of_others.push((payment.payment.id, sender));
            }
            Some(_) | None => own.push(payment),
        }
    }
    (own, of_others)
}

/// Loads the payments and deals with those that cannot be settled now; the most urgent of the
/// others come first, should the batch have to be cut.
async fn sort(
    network: &Arc<Network>,
    payments: &[PaymentId],
) -> Result<Vec<SignedPayment>, SettleError> {
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
    ready.sort_by_key(|payment| payment.payment.authorization.valid_before);
    Ok(ready)
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
    slot: Slot,
) -> Result<(), SettleError> {
    if ready.is_empty() {
        return Ok(());
    }
    let result = build(network, lane, ready, slot).await;
    meters::round(network.node.chain(), if result.is_ok() { "sent" } else { "failed" });
    result
}

async fn build(
    network: &Arc<Network>,
    lane: &Arc<Lane>,
    mut ready: Vec<SignedPayment>,
    slot: Slot,
) -> Result<(), SettleError> {
    for _ in 0..REBUILDS {
        let Some(prepared) = prepare(network, lane, ready).await? else { return Ok(()) };
        runtime::fail_point(runtime::FailPoint::AfterSimulate);
        match store(network, lane, &prepared, &slot).await? {
            Outcome::Stored(transaction) => {
                follow(network, lane, &prepared, &transaction, slot);
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

/// Follows what is stored before it is sent, so that no block goes by unseen.
fn follow(
    network: &Network,
    lane: &Arc<Lane>,
    prepared: &Prepared,
    transaction: &OpenTransaction,
    slot: Slot,
) {
    let windows = prepared.payments.iter().map(|signed| signed.payment.authorization.valid_before);
    let (transaction, closes_at) = (transaction.clone(), windows.min());
    match slot {
        Slot::Next(room) => {
            network.tracker.follow(transaction, Arc::clone(lane), Some(room), closes_at);
        }
        Slot::Hole(_) => network.tracker.follow(transaction, Arc::clone(lane), None, closes_at),
        Slot::Refill(_) => network.tracker.follow_anew(transaction, closes_at),
    }
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
    match ready.as_slice() {
        [] => Ok(None),
        [alone] => {
            let permit = needed_permit(network, alone).await?;
            let SignedPayment { payment, signature, .. } = alone;
            let call = network.node.payment_call(&payment.authorization, signature, permit).await?;
            prepare_alone(network, lane, ready, call).await
        }
        _ => {
            let gas_limit = Policy::batch_gas(ready.len());
            let call = batch(network.node.multicall(), &calls(&ready));
            Ok(Some(Prepared { payments: ready, call, gas_limit }))
        }
    }
}

/// The permit to be handed in with a payment: none where Permit2 may move as much already, because the
/// payer has let it, or because somebody else has handed the permit in.
async fn needed_permit<'a>(
    network: &Network,
    payment: &'a SignedPayment,
) -> Result<Option<&'a TokenPermit>, SettleError> {
    let Some(permit) = &payment.permit else { return Ok(None) };
    let authorization = &payment.payment.authorization;
    let view = network.node.views(&[authorization]).await?.pop();
    let allowance = view.and_then(|view| view.allowance).unwrap_or_default();
    Ok((allowance < authorization.amount).then_some(permit))
}

async fn prepare_alone(
    network: &Network,
    lane: &Lane,
    payments: Vec<SignedPayment>,
    call: Call,
) -> Result<Option<Prepared>, SettleError> {
    let reason = match network.node.simulate(lane.address(), &call).await {
        Ok(gas) => match Policy::single_gas(gas) {
            Some(gas_limit) => return Ok(Some(Prepared { payments, call, gas_limit })),
            None => format!("{gas} gas for one payment"),
        },
        Err(ChainError::Reverted { reason, .. }) => reason,
        Err(error) => return Err(error.into()),
    };
    tracing::info!(reason, "a payment would be refused by its token");
    prospect::decide(network, payments).await?;
    Ok(None)
}

enum Outcome {
    Stored(OpenTransaction),
    /// Build the round again without these.
    Again(Vec<PaymentId>),
}

/// Signs and stores, committed before anything may be sent.
async fn store(
    network: &Network,
    lane: &Lane,
    prepared: &Prepared,
    slot: &Slot,
) -> Result<Outcome, SettleError> {
    let reading = network.market.read(&network.node, &network.policy).await?;
    let (transaction, nonce, fees) = match slot {
        Slot::Next(_) => (TransactionId::new(new_uuid()), lane.next_nonce(), reading.fees),
        Slot::Hole(nonce) => (TransactionId::new(new_uuid()), *nonce, reading.fees),
        Slot::Refill(old) => {
            let offer = newest(old).and_then(|attempt| network.raised(attempt, &reading));
            (old.id, old.nonce, offer)
        }
    };
    let fees = fees.ok_or(SettleError::TooDear)?;
    let signed = lane.sign(nonce, prepared.call.clone(), prepared.gas_limit, fees).await?;
    let round = Round {
        transaction,
        nonce,
        target: prepared.call.target,
        input: prepared.call.input.to_vec(),
        gas_limit: prepared.gas_limit,
        attempt: new_attempt(AttemptKind::Payload, &signed, fees, reading.head.number),
        changes: prepared.submissions(transaction, signed.hash),
    };
    let followed = match slot {
        Slot::Next(_) | Slot::Hole(_) => opened(lane.signer(), &round, prepared.ids()),
        Slot::Refill(old) => refilled(old, &round, prepared.ids()),
    };
    runtime::fail_point(runtime::FailPoint::AfterSign);
    let stored = match slot {
        Slot::Next(_) => network.store.store_round(lane.lease(), round, network.now()).await?,
        Slot::Hole(_) => network.store.store_in_hole(lane.lease(), round, network.now()).await?,
        Slot::Refill(_) => network.store.store_refill(lane.lease(), round, network.now()).await?,
    };
    match stored {
        Stored::Committed(advance) => {
            runtime::fail_point(runtime::FailPoint::AfterStore);
            match slot {
                Slot::Next(_) => lane.set_next_nonce(nonce.saturating_add(1)),
                Slot::Hole(_) => runtime::fail_point(runtime::FailPoint::InHoleFill),
                Slot::Refill(_) => meters::replacement(network.node.chain(), "refill"),
            }
            meters::batch(network.node.chain(), prepared.payments.len());
            network.tell(&advance);
            Ok(Outcome::Stored(followed))
        }
        Stored::LeaseLost => Err(SettleError::LeaseLost),
        Stored::Paused => Err(SettleError::Paused),
        Stored::NonceMoved(_) => Err(SettleError::OutOfStep),
        Stored::Overtaken(payments) => Ok(Outcome::Again(payments)),
    }
}

impl Prepared {
    fn ids(&self) -> Vec<PaymentId> {
        self.payments.iter().map(|signed| signed.payment.id).collect()
    }

    /// Each payment's submission, in the order of the calls.
    fn submissions(&self, transaction: TransactionId, hash: B256) -> Vec<Change> {
        let submit = |SignedPayment { payment, .. }: &SignedPayment| {
            let PaymentState::Approved { until } = payment.state else { return None };
            let event = Event::Submitted(Submission { transaction, approved_until: until });
            Some(Change { payment: payment.clone(), event, carrier: Some(hash) })
        };
        self.payments.iter().filter_map(submit).collect()
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
