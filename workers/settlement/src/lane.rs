//! A signer under lease: the sole place where its nonces are handed out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use chain::{BlockTag, Call, Fees, SignedTransaction, Signer, TransactionPlan};
use domain::{Address, SignerId, TransactionId, U256};
use store::{AttemptKind, NewAttempt, OpenTransaction, Round, StoredAttempt, TransactionState};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::error::SettleError;
use crate::inbox::Ticket;
use crate::network::Network;
use crate::round;

/// Gas of a transaction that moves nothing (yellow paper, appendix G).
const FILLER_GAS: u64 = 21_000;

/// A signer under lease.
#[derive(Debug)]
pub(crate) struct Lane {
    lease: store::Lane,
    signer: Signer,
    next_nonce: AtomicU64,
    room: Arc<Semaphore>,
    /// Set when a node said that the signer cannot pay for gas.
    broke: AtomicBool,
    /// Cancelled when the lease is lost, or given back.
    ended: CancellationToken,
}

impl Lane {
    pub(crate) fn new(lease: store::Lane, signer: Signer, max_in_flight: usize) -> Arc<Self> {
        Arc::new(Self {
            next_nonce: AtomicU64::new(lease.next_nonce),
            lease,
            signer,
            room: Arc::new(Semaphore::new(max_in_flight)),
            broke: AtomicBool::new(false),
            ended: CancellationToken::new(),
        })
    }

    pub(crate) const fn signer(&self) -> SignerId {
        self.lease.signer
    }

    pub(crate) const fn lease(&self) -> &store::Lane {
        &self.lease
    }

    pub(crate) const fn address(&self) -> Address {
        self.lease.address
    }

    pub(crate) fn next_nonce(&self) -> u64 {
        self.next_nonce.load(Ordering::Acquire)
    }

    pub(crate) fn set_next_nonce(&self, nonce: u64) {
        self.next_nonce.store(nonce, Ordering::Release);
    }

    pub(crate) fn set_broke(&self, broke: bool) {
        self.broke.store(broke, Ordering::Release);
    }

    /// Stops handing out nonces, because somebody else does now.
    pub(crate) fn lose(&self) {
        self.ended.cancel();
    }

    /// Signs a call for this nonce.
    pub(crate) async fn sign(
        &self,
        nonce: u64,
        call: Call,
        gas_limit: u64,
        fees: Fees,
    ) -> Result<SignedTransaction, SettleError> {
        let plan = TransactionPlan { chain: self.lease.chain, nonce, call, gas_limit, fees };
        Ok(self.signer.sign(&plan).await?)
    }

    /// Signs a transfer of nothing to ourselves, to use this nonce up.
    pub(crate) async fn sign_filler(
        &self,
        nonce: u64,
        fees: Fees,
    ) -> Result<SignedTransaction, SettleError> {
        let call = Call { target: self.address(), input: Default::default() };
        self.sign(nonce, call, FILLER_GAS, fees).await
    }

    /// Works under the lease until it is lost or `shutdown`, then gives it back.
    pub(crate) async fn run(self: Arc<Self>, network: &Arc<Network>, shutdown: CancellationToken) {
        tracing::info!(signer = %self.address(), epoch = self.lease.epoch, "signer leased");
        let work = async {
            if shutdown.run_until_cancelled(self.catch_up(network)).await.is_some() {
                self.rounds(network, &shutdown).await;
            }
        };
        tokio::select! {
            () = work => {}
            () = self.keep_lease(network) => {}
        }
        self.lose();
        network.tracker.forget_lane(&self);
        runtime::fail_point(runtime::FailPoint::BeforeGiveBack);
        if let Err(error) = network.store.release_lane(&self.lease).await {
            tracing::warn!(%error, signer = %self.address(), "the lease runs out by itself");
        }
        tracing::info!(signer = %self.address(), "signer given back");
    }

    /// Renews the lease until it is lost, or until it would have run out without an answer.
    async fn keep_lease(&self, network: &Network) {
        let lease = network.policy.lease;
        let mut held_until = tokio::time::Instant::now() + lease;
        loop {
            tokio::select! {
                () = self.ended.cancelled() => return,
                () = tokio::time::sleep(lease / 3) => {}
            }
            let asked = tokio::time::Instant::now();
            let renewal = network.store.renew_lane(&self.lease, lease);
            match tokio::time::timeout_at(held_until, renewal).await {
                Ok(Ok(true)) => held_until = asked + lease,
                Ok(Ok(false)) => {
                    tracing::warn!(signer = %self.address(), "lease lost or signer paused");
                    return;
                }
                Ok(Err(error)) if tokio::time::Instant::now() < held_until => {
                    tracing::warn!(%error, signer = %self.address(), "lease not renewed yet");
                }
                Ok(Err(_)) | Err(_) => {
                    tracing::error!(signer = %self.address(), "lease ran out unrenewed");
                    return;
                }
            }
        }
    }

    /// Takes up what is stored for the signer and not followed here, left by an earlier holder or
    /// by a commit whose answer was lost. Retried until it succeeds, because nothing may be signed
    /// before the nonces are known.
    async fn catch_up(self: &Arc<Self>, network: &Arc<Network>) {
        while let Err(error) = self.take_over(network).await {
            tracing::warn!(%error, signer = %self.address(), "the signer's state is not known yet");
            tokio::time::sleep(network.policy.block_time).await;
        }
    }

    async fn take_over(self: &Arc<Self>, network: &Arc<Network>) -> Result<(), SettleError> {
        runtime::fail_point(runtime::FailPoint::InCatchUp);
        let expected = network.node.nonce(self.address(), None).await?;
        let next = network.store.align_nonce(&self.lease, expected).await?;
        let next = next.ok_or(SettleError::LeaseLost)?;
        self.set_next_nonce(next);
        let open = network.store.open_transactions(self.signer()).await?;
        for transaction in open.into_iter().filter(|open| !network.tracker.has(open.id)) {
            let waits = matches!(transaction.state, TransactionState::Open);
            let room = waits.then(|| Arc::clone(&self.room).try_acquire_owned().ok()).flatten();
            network.tracker.follow(transaction, Arc::clone(self), room);
        }
        let mined = network.node.nonce(self.address(), Some(BlockTag::Latest)).await?;
        let stored = network.store.transactions_from(self.signer(), mined).await?;
        for nonce in (mined..next).filter(|nonce| stored.iter().all(|tx| tx.nonce != *nonce)) {
            self.fill_hole(network, nonce).await?;
        }
        network.send_forgotten(self, &stored).await;
        network.resend_open(self).await;
        Ok(())
    }

    /// Uses up a nonce below the next one for which nothing is stored, so that what comes after it
    /// can be mined.
    async fn fill_hole(self: &Arc<Self>, network: &Network, nonce: u64) -> Result<(), SettleError> {
        let reading = network.market.read(&network.node, &network.policy).await?;
        let fees = reading.fees.ok_or(SettleError::TooDear)?;
        let signed = self.sign_filler(nonce, fees).await?;
        let attempt = new_attempt(AttemptKind::Filler, &signed, fees, reading.head.number);
        let transaction = TransactionId::new(runtime::id::new_uuid());
        let round = Round {
            transaction,
            nonce,
            target: self.address(),
            input: Vec::new(),
            gas_limit: FILLER_GAS,
            attempt: attempt.clone(),
            changes: Vec::new(),
        };
        let followed = opened(self.signer(), &round, Vec::new());
        if !network.store.store_filler(&self.lease, round, network.now()).await? {
            return Err(SettleError::LeaseLost);
        }
        runtime::fail_point(runtime::FailPoint::InHoleFill);
        tracing::info!(nonce, signer = %self.address(), "a hole in the nonces is filled");
        network.tracker.follow(followed, Arc::clone(self), None);
        Ok(())
    }

    async fn rounds(self: &Arc<Self>, network: &Arc<Network>, shutdown: &CancellationToken) {
        loop {
            let gathered = tokio::select! {
                () = shutdown.cancelled() => return,
                gathered = self.gather(network) => gathered,
            };
            let Some((room, tickets)) = gathered else { return };
            runtime::fail_point(runtime::FailPoint::AfterGather);
            let payments: Vec<_> = tickets.iter().map(|ticket| ticket.payment).collect();
            let result = Box::pin(round::run(network, self, &payments, room)).await;
            match result {
                Ok(()) => tickets.into_iter().for_each(Ticket::complete),
                Err(SettleError::LeaseLost) => return self.lose(),
                // A commit may have happened although its answer was lost: look before going on.
                Err(error @ (SettleError::Store(_) | SettleError::OutOfStep)) => {
                    tracing::warn!(%error, payments = payments.len(), "a round's end is not known");
                    drop(tickets);
                    if shutdown.run_until_cancelled(self.catch_up(network)).await.is_none() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, payments = payments.len(), "a round was not finished");
                    drop(tickets);
                    // The payments are due again by themselves; this only spares the dependency
                    // that has just failed.
                    tokio::time::sleep(network.policy.poll_interval()).await;
                }
            }
        }
    }

    /// Waits for room in flight and for payments; `None` when there is no room any more at all.
    async fn gather(
        self: &Arc<Self>,
        network: &Arc<Network>,
    ) -> Option<(OwnedSemaphorePermit, Vec<Ticket>)> {
        self.funded(network).await;
        let room = Arc::clone(&self.room).acquire_owned().await.ok()?;
        let tickets = network.inbox.take(network.policy.most_items()).await;
        Some((room, tickets))
    }

    /// Waits until the signer can pay for gas, if a node said that it cannot.
    async fn funded(self: &Arc<Self>, network: &Arc<Network>) {
        while self.broke.load(Ordering::Acquire) {
            let enough = network.can_pay(self).await;
            if matches!(enough, Ok(true)) {
                tracing::info!(signer = %self.address(), "the signer can pay for gas again");
                self.set_broke(false);
                network.resend_open(self).await;
            } else {
                tokio::time::sleep(network.policy.lease / 3).await;
            }
        }
    }
}

impl Network {
    /// Whether the signer's balance covers the dearest batch at today's price.
    async fn can_pay(&self, lane: &Lane) -> Result<bool, SettleError> {
        let reading = self.market.read(&self.node, &self.policy).await?;
        let fees = reading.fees.ok_or(SettleError::TooDear)?;
        let gas = crate::policy::Policy::batch_gas(self.policy.most_items());
        let cost = U256::from(gas).saturating_mul(U256::from(fees.max_fee));
        Ok(self.node.balance(lane.address()).await? >= cost)
    }
}

/// What is stored of signed bytes.
pub(crate) fn new_attempt(
    kind: AttemptKind,
    signed: &SignedTransaction,
    fees: Fees,
    signed_at_block: u64,
) -> NewAttempt {
    NewAttempt {
        kind,
        hash: signed.hash,
        raw: signed.raw.clone(),
        max_fee_per_gas: fees.max_fee,
        max_priority_fee_per_gas: fees.priority,
        signed_at_block,
    }
}

/// An attempt as it is once it is stored.
pub(crate) fn stored_attempt(number: u32, attempt: NewAttempt) -> StoredAttempt {
    StoredAttempt {
        number,
        kind: attempt.kind,
        hash: attempt.hash,
        raw: attempt.raw,
        max_fee_per_gas: attempt.max_fee_per_gas,
        max_priority_fee_per_gas: attempt.max_priority_fee_per_gas,
        signed_at_block: attempt.signed_at_block,
    }
}

/// A round as it is once it is stored.
pub(crate) fn opened(
    signer: SignerId,
    round: &Round,
    items: Vec<domain::PaymentId>,
) -> OpenTransaction {
    OpenTransaction {
        id: round.transaction,
        signer,
        nonce: round.nonce,
        target: round.target,
        input: round.input.clone(),
        gas_limit: round.gas_limit,
        state: TransactionState::Open,
        attempts: vec![stored_attempt(1, round.attempt.clone())],
        items,
    }
}
