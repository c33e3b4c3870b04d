//! What settlement counts and measures.

use std::time::Duration;

use domain::{Address, ChainId, Payment, StateName, U256};
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

const WEI_PER_GWEI: u64 = 1_000_000_000;

/// Describes every metric of this worker, so that their series carry help.
pub fn describe_metrics() {
    describe_counter!("settlement_rounds_total", "Rounds, by how they ended");
    describe_histogram!("settlement_batch_size", "Payments carried by one transaction");
    describe_counter!("settlement_broadcasts_total", "Transactions sent, by the node's answer");
    describe_counter!(
        "settlement_replacements_total",
        "Transactions replaced, by what replaced them"
    );
    describe_counter!("settlement_outcomes_total", "Payments that ended here, by state");
    describe_counter!("settlement_reorged_total", "Payments whose block was lost");
    describe_histogram!(
        "settlement_seconds",
        Unit::Seconds,
        "From accepted to settled, per payment"
    );
    describe_gauge!("settlement_lanes", "Signers held by this process");
    describe_gauge!("settlement_open_transactions", "Transactions sent and not final");
    describe_counter!(
        "settlement_lease_changes_total",
        "Leases on signers that were taken, released and lost"
    );
    describe_gauge!(
        "settlement_lane_paused",
        "1 while a held signer takes no new work, by reason: operator or gas"
    );
    describe_gauge!("settler_gas_balance", "What a held signer has to pay for gas with, in gwei");
}

pub(crate) fn lanes(chain: ChainId, held: usize) {
    let held = u32::try_from(held).unwrap_or(u32::MAX);
    metrics::gauge!("settlement_lanes", "network" => chain.to_string()).set(held);
}

pub(crate) fn lease_change(chain: ChainId, change: &'static str) {
    let network = chain.to_string();
    metrics::counter!("settlement_lease_changes_total", "network" => network, "change" => change)
        .increment(1);
}

pub(crate) fn lane_paused(chain: ChainId, signer: Address, reason: &'static str, paused: bool) {
    metrics::gauge!(
        "settlement_lane_paused",
        "network" => chain.to_string(), "signer" => signer.to_string(), "reason" => reason
    )
    .set(u32::from(paused));
}

/// Notes a balance, given in wei.
pub(crate) fn gas_balance(chain: ChainId, signer: Address, balance: U256) {
    let gwei = (balance / U256::from(WEI_PER_GWEI)).saturating_to::<u64>();
    metrics::gauge!(
        "settler_gas_balance",
        "network" => chain.to_string(), "signer" => signer.to_string()
    )
    // A gauge is a picture for people: it need not tell the last gwei of millions of coins.
    .set(gwei as f64);
}

pub(crate) fn open_transactions(chain: ChainId, open: usize) {
    let open = u32::try_from(open).unwrap_or(u32::MAX);
    metrics::gauge!("settlement_open_transactions", "network" => chain.to_string()).set(open);
}

pub(crate) fn round(chain: ChainId, outcome: &'static str) {
    let network = chain.to_string();
    metrics::counter!("settlement_rounds_total", "network" => network, "outcome" => outcome)
        .increment(1);
}

pub(crate) fn batch(chain: ChainId, size: usize) {
    let size = u32::try_from(size).unwrap_or(u32::MAX);
    metrics::histogram!("settlement_batch_size", "network" => chain.to_string()).record(size);
}

pub(crate) fn broadcast(chain: ChainId, answer: &'static str) {
    let network = chain.to_string();
    metrics::counter!("settlement_broadcasts_total", "network" => network, "answer" => answer)
        .increment(1);
}

pub(crate) fn replacement(chain: ChainId, kind: &'static str) {
    let network = chain.to_string();
    metrics::counter!("settlement_replacements_total", "network" => network, "kind" => kind)
        .increment(1);
}

pub(crate) fn reorged(chain: ChainId, payments: usize) {
    let payments = u64::try_from(payments).unwrap_or(u64::MAX);
    metrics::counter!("settlement_reorged_total", "network" => chain.to_string())
        .increment(payments);
}

/// Counts a payment that has just changed, if it is over.
pub(crate) fn outcome(payment: &Payment) {
    if !payment.state.is_terminal() {
        return;
    }
    let (network, state) = (payment.authorization.chain.to_string(), payment.state.name());
    metrics::counter!("settlement_outcomes_total", "network" => network.clone(), "state" => state.as_str())
        .increment(1);
    if state == StateName::Settled {
        let took = payment.updated_at.unix_ms().saturating_sub(payment.created_at.unix_ms());
        let took = Duration::from_millis(u64::try_from(took).unwrap_or_default());
        metrics::histogram!("settlement_seconds", "network" => network).record(took);
    }
}
