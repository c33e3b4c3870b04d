//! Looking after each signer's money for gas.

use std::sync::Arc;

use domain::U256;
use store::SignerEvent;

use crate::error::SettleError;
use crate::lane::Lane;
use crate::meters;
use crate::network::Network;
use crate::standing::{Gas, Thresholds};

/// A lane that does nothing is looked at so many times less often.
const IDLE_LOOKS: u32 = 10;

/// Looks at the lane's balance now and then, until it is dropped. A lane that waits for money is
/// looked at more often, so that it goes on soon after it has some.
pub(crate) async fn watch(network: &Arc<Network>, lane: &Arc<Lane>) {
    let (mut seen_nonce, mut skipped) = (None, IDLE_LOOKS);
    loop {
        let next_nonce = lane.next_nonce();
        let is_idle = seen_nonce == Some(next_nonce) && !network.tracker.follows(lane.signer());
        if !is_idle || lane.standing().gas.is_out() || skipped >= IDLE_LOOKS {
            (seen_nonce, skipped) = (Some(next_nonce), 0);
            if let Err(error) = look(network, lane).await {
                tracing::warn!(%error, signer = %lane.address(), "the signer's balance is not known");
            }
        } else {
            skipped += 1;
        }
        let usual = network.policy.gas_look_every;
        let is_out = lane.standing().gas.is_out();
        let pause = if is_out { usual.min(network.policy.lease / 3) } else { usual };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = lane.gas_doubted() => {}
        }
    }
}

async fn look(network: &Arc<Network>, lane: &Arc<Lane>) -> Result<(), SettleError> {
    let balance = network.node.balance(lane.address()).await?;
    meters::gas_balance(network.node.chain(), lane.address(), balance);
    let thresholds =
        Thresholds { warn: network.policy.gas_warn_wei, pause: network.policy.gas_pause_wei };
    let waits = network.tracker.waits(lane.signer());
    let (before, after) = lane.note_gas(|gas| gas.after_look(balance, thresholds, waits));
    note(network, lane, (before, after), Some(balance)).await;
    if before.is_out() && !after.is_out() {
        network.resend_open(lane).await;
    }
    Ok(())
}

impl Network {
    /// Notes that a node would not take a transaction, because its signer cannot pay for the gas.
    pub(crate) async fn refused_for_gas(&self, lane: &Lane) {
        let (before, after) = lane.note_gas(Gas::after_refusal);
        note(self, lane, (before, after), None).await;
        if before != after {
            lane.doubt_gas();
        }
    }

    /// Notes that a node took a transaction.
    pub(crate) fn accepted_with_gas(&self, lane: &Lane) {
        let (before, after) = lane.note_gas(Gas::after_acceptance);
        if before != after {
            lane.doubt_gas();
        }
    }
}

/// Tells about a change, once.
async fn note(network: &Network, lane: &Lane, change: (Gas, Gas), balance: Option<U256>) {
    let (before, after) = change;
    let (chain, signer) = (network.node.chain(), lane.address());
    meters::lane_paused(chain, signer, "gas", after.is_out());
    let event = match (before.is_out(), after.is_out()) {
        (false, true) => {
            tracing::error!(%signer, %chain, "the signer has no money for gas: no new work for it");
            SignerEvent::OutOfGas { balance }
        }
        (true, false) => {
            tracing::info!(%signer, %chain, "the signer has money for gas again");
            SignerEvent::Funded { balance: balance.unwrap_or_default() }
        }
        _ => {
            if after == Gas::Low && before != Gas::Low {
                tracing::warn!(%signer, %chain, "the signer's money for gas is running low");
            }
            return;
        }
    };
    if let Err(error) = network.store.note_signer_event(lane.signer(), &event).await {
        tracing::warn!(%error, %signer, "what happened to the signer was not noted");
    }
}
