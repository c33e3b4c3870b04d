//! A signer under lease: the sole place where its nonces are handed out.

mod gather;
mod passed_on;
mod start;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chain::{Call, Fees, SignedTransaction, Signer, TransactionPlan};
use domain::{Address, SignerId};
use store::Renewal;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::SettleError;
use crate::network::Network;
use crate::round::{self, Slot};
use crate::standing::{Gas, Standing};
use crate::{gas_watch, meters};

/// Gas of a transaction that moves nothing (yellow paper, appendix G).
const FILLER_GAS: u64 = 21_000;

/// A signer under lease.
#[derive(Debug)]
pub(crate) struct Lane {
    lease: store::Lane,
    /// Until when the lease surely holds, by this process's own clock, which goes on while the
    /// process is stopped.
    held_until: Mutex<Instant>,
    signer: Signer,
    next_nonce: AtomicU64,
    room: Arc<Semaphore>,
    standing: watch::Sender<Standing>,
    /// Rung when the signer's money should be looked at before it is time.
    gas_doubt: Notify,
    /// Rung for whoever holds the lanes when this one stops working, or works again.
    standing_changed: Arc<Notify>,
    /// Cancelled when the lease is lost, or given back.
    ended: CancellationToken,
}

impl Lane {
    pub(crate) fn new(
        lease: store::Lane,
        held_until: Instant,
        signer: Signer,
        network: &Network,
    ) -> Arc<Self> {
        Arc::new(Self {
            held_until: Mutex::new(held_until),
            next_nonce: AtomicU64::new(lease.next_nonce),
            lease,
            signer,
            room: Arc::new(Semaphore::new(network.policy.max_in_flight)),
            standing: watch::Sender::new(Standing { paused: lease.paused, gas: Gas::Unknown }),
            gas_doubt: Notify::new(),
            standing_changed: Arc::clone(&network.standing_changed),
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

    pub(crate) fn standing(&self) -> Standing {
        *self.standing.borrow()
    }

    /// Notes what is known about the signer's money now, and says what was known before.
    pub(crate) fn note_gas(&self, change: impl FnOnce(Gas) -> Gas) -> (Gas, Gas) {
        let (before, after) = self.change_standing(|standing| standing.gas = change(standing.gas));
        (before.gas, after.gas)
    }

    /// Asks for a look at the signer's money.
    pub(crate) fn doubt_gas(&self) {
        self.gas_doubt.notify_one();
    }

    /// Waits until somebody asks for a look at the signer's money.
    pub(crate) async fn gas_doubted(&self) {
        self.gas_doubt.notified().await;
    }

    fn note_paused(&self, paused: bool) {
        meters::lane_paused(self.lease.chain, self.address(), "operator", paused);
        let (before, after) = self.change_standing(|standing| standing.paused = paused);
        match (before.paused, after.paused) {
            (false, true) => tracing::warn!(signer = %self.address(), "signer paused"),
            (true, false) => tracing::info!(signer = %self.address(), "signer resumed"),
            _ => {}
        }
    }

    fn change_standing(&self, change: impl FnOnce(&mut Standing)) -> (Standing, Standing) {
        let mut seen = None;
        self.standing.send_if_modified(|standing| {
            let before = *standing;
            change(standing);
            seen = Some((before, *standing));
            before != *standing
        });
        let (before, after) = seen.unwrap_or_else(|| (self.standing(), self.standing()));
        if before.works() != after.works() {
            self.standing_changed.notify_one();
        }
        (before, after)
    }

    /// Whether the lease surely holds now. The ledger checks it with each write; this is for what
    /// is not written there: sending.
    pub(crate) fn is_held(&self) -> bool {
        Instant::now() < self.held_until()
    }

    fn held_until(&self) -> Instant {
        *self.held_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold_until(&self, moment: Instant) {
        *self.held_until.lock().unwrap_or_else(PoisonError::into_inner) = moment;
    }

    /// Waits for room in flight; `None` when there is none any more at all.
    pub(crate) async fn room(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.room).acquire_owned().await.ok()
    }

    /// Room in flight, if there is some now.
    pub(crate) fn free_room(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.room).try_acquire_owned().ok()
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
        meters::lease_change(self.lease.chain, "taken");
        self.note_paused(self.lease.paused);
        let work = async {
            if shutdown.run_until_cancelled(self.catch_up(network)).await.is_some() {
                self.rounds(network, &shutdown).await;
            }
        };
        tokio::select! {
            () = work => {}
            () = self.keep_lease(network) => {}
            () = gas_watch::watch(network, &self) => {}
        }
        self.lose();
        network.tracker.forget_lane(&self);
        runtime::fail_point(runtime::FailPoint::BeforeGiveBack);
        self.give_back(network).await;
    }

    async fn give_back(&self, network: &Network) {
        let signer = self.address();
        let released = network.store.release_lane(&self.lease).await;
        let change = if matches!(released, Ok(true)) { "released" } else { "lost" };
        match released {
            Ok(true) => tracing::info!(%signer, "signer given back"),
            Ok(false) => tracing::warn!(%signer, "another process has the signer now"),
            Err(error) => tracing::warn!(%error, %signer, "the lease runs out by itself"),
        }
        meters::lease_change(self.lease.chain, change);
        for reason in ["operator", "gas"] {
            meters::lane_paused(self.lease.chain, signer, reason, false);
        }
    }

    /// Renews the lease until it is lost, or until it would have run out without an answer.
    async fn keep_lease(&self, network: &Network) {
        let lease = network.policy.lease;
        loop {
            tokio::select! {
                () = self.ended.cancelled() => return,
                () = tokio::time::sleep(lease / 3) => {}
            }
            let asked = Instant::now();
            let renewal = network.store.renew_lane(&self.lease, lease);
            match tokio::time::timeout_at(self.held_until(), renewal).await {
                Ok(Ok(Renewal::Held { paused })) => {
                    self.hold_until(asked + lease);
                    self.note_paused(paused);
                }
                Ok(Ok(Renewal::Lost)) => {
                    tracing::warn!(signer = %self.address(), "lease lost");
                    return;
                }
                Ok(Err(error)) if self.is_held() => {
                    tracing::warn!(%error, signer = %self.address(), "lease not renewed yet");
                }
                Ok(Err(_)) | Err(_) => {
                    tracing::error!(signer = %self.address(), "lease ran out unrenewed");
                    return;
                }
            }
        }
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
            let nonce = self.next_nonce();
            let result = Box::pin(round::run(network, self, &payments, Slot::Next(room))).await;
            if self.next_nonce() == nonce {
                network.inbox.note_nothing_sent();
            }
            match result {
                Ok(left) => network.finish(tickets, &left),
                Err(SettleError::LeaseLost) => return self.lose(),
                // The payments ring again, for other lanes or for this one when it is resumed.
                Err(SettleError::Paused) => self.note_paused(true),
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
}
