//! What settlement counts and measures.

use std::time::Duration;

use chain::Receipt;
use domain::{Address, ChainId, FailureCode, Fault, Payment, PaymentState, U256};
use metrics::{counter, gauge, histogram};

/// Some dashboards ask for one name, some for another.
const SETTLED: [&str; 2] = ["payment_settlements_total", "payment_success_total"];
/// The second is what Prometheus' conventions ask for.
const FAILED: [&str; 3] =
    ["payment_settlements_failed", "payment_settlements_failed_total", "x402_failed_settlements"];
/// The same with those that risk ends.
const ENDED_UNPAID: &str = "payment_failed_total";
const VOLUME: &str = "x402_payment_volume_usds";
const TIME_TO_STATE: &str = "payment_time_to_state_seconds";
const REPLACED: &str = "settlement_replacements_total";
const REORGS: &str = "settlement_reorgs_total";
const REORGED: &str = "settlement_reorged_payments_total";
const LEASES: &str = "settlement_lease_changes_total";

/// What can replace a transaction.
const REPLACEMENTS: [&str; 3] = ["bump", "filler", "refill"];

/// What can happen to a lease.
const LEASE_CHANGES: [&str; 3] = ["taken", "released", "lost"];

/// How a round can end.
const ROUNDS: [&str; 2] = ["sent", "failed"];

/// What nodes can say to a transaction: `chain::SendAnswer::as_str`.
const ANSWERS: [&str; 7] = [
    "accepted",
    "already_known",
    "nonce_too_low",
    "underpriced",
    "out_of_gas_money",
    "rejected",
    "unknown",
];

/// What a payment's time is taken to.
const STATES: [&str; 3] = ["submitted", "confirmed", "settled"];

const WEI_PER_GWEI: u64 = 1_000_000_000;

/// Shows every series of a network at zero, so that the first event of a kind is a rise.
pub(crate) fn begin(chain: ChainId) {
    let network = chain.to_string();
    for name in SETTLED {
        counter!(name, "network" => network.clone()).increment(0);
    }
    for code in FailureCode::ALL {
        failed(chain, code, 0);
    }
    for outcome in ROUNDS {
        counter!("settlement_rounds_total", "network" => network.clone(), "outcome" => outcome)
            .increment(0);
    }
    for answer in ANSWERS {
        counter!("settlement_broadcasts_total", "network" => network.clone(), "answer" => answer)
            .increment(0);
    }
    for state in STATES {
        drop(histogram!(TIME_TO_STATE, "network" => network.clone(), "state" => state));
    }
    for name in ["settlement_batch_size", "settlement_gas_per_payment"] {
        drop(histogram!(name, "network" => network.clone()));
    }
    counter!("settlement_gas_cost_wei_total", "network" => network.clone()).increment(0);
    lanes(chain, 0);
    open_transactions(chain, 0);
    for kind in REPLACEMENTS {
        counter!(REPLACED, "network" => network.clone(), "kind" => kind).increment(0);
    }
    for change in LEASE_CHANGES {
        counter!(LEASES, "network" => network.clone(), "change" => change).increment(0);
    }
    counter!(REORGS, "network" => network.clone()).increment(0);
    counter!(REORGED, "network" => network).increment(0);
}

/// Shows what was settled in a token before anything was.
pub fn begin_volume(chain: ChainId, token: Address) {
    volume(chain, token, 0.0);
}

fn volume(chain: ChainId, token: Address, amount: f64) {
    gauge!(VOLUME, "network" => chain.to_string(), "asset" => token.to_string()).increment(amount);
}

pub(crate) fn lanes(chain: ChainId, held: usize) {
    gauge!("settlement_lanes", "network" => chain.to_string()).set(small(held));
}

pub(crate) fn lease_change(chain: ChainId, change: &'static str) {
    counter!(LEASES, "network" => chain.to_string(), "change" => change).increment(1);
}

pub(crate) fn lane_paused(chain: ChainId, signer: Address, reason: &'static str, paused: bool) {
    gauge!(
        "settlement_lane_paused",
        "network" => chain.to_string(), "signer" => signer.to_string(), "reason" => reason
    )
    .set(u32::from(paused));
}

/// Notes a balance, given in wei.
pub(crate) fn gas_balance(chain: ChainId, signer: Address, balance: U256) {
    let gwei = (balance / U256::from(WEI_PER_GWEI)).saturating_to::<u64>();
    gauge!(
        "settler_gas_balance",
        "network" => chain.to_string(), "signer" => signer.to_string()
    )
    // A gauge is a picture for people: it need not tell the last gwei of millions of coins.
    .set(gwei as f64);
}

pub(crate) fn open_transactions(chain: ChainId, open: usize) {
    gauge!("settlement_open_transactions", "network" => chain.to_string()).set(small(open));
}

pub(crate) fn in_flight(chain: ChainId, signer: Address, open: usize) {
    gauge!(
        "settlement_inflight", "network" => chain.to_string(), "signer" => signer.to_string()
    )
    .set(small(open));
}

pub(crate) fn round(chain: ChainId, outcome: &'static str) {
    let network = chain.to_string();
    counter!("settlement_rounds_total", "network" => network, "outcome" => outcome).increment(1);
}

pub(crate) fn batch(chain: ChainId, size: usize) {
    histogram!("settlement_batch_size", "network" => chain.to_string()).record(small(size));
}

pub(crate) fn broadcast(chain: ChainId, answer: &'static str) {
    let network = chain.to_string();
    counter!("settlement_broadcasts_total", "network" => network, "answer" => answer).increment(1);
}

pub(crate) fn replacement(chain: ChainId, kind: &'static str) {
    counter!(REPLACED, "network" => chain.to_string(), "kind" => kind).increment(1);
}

pub(crate) fn reorganised(chain: ChainId, payments: usize) {
    counter!(REORGS, "network" => chain.to_string()).increment(1);
    counter!(REORGED, "network" => chain.to_string()).increment(u64::from(small(payments)));
}

/// What a mined transaction used, and what that cost.
pub(crate) fn gas(chain: ChainId, receipt: &Receipt, paid: usize) {
    let network = chain.to_string();
    let cost = u128::from(receipt.gas_used).saturating_mul(receipt.gas_price);
    let cost = u64::try_from(cost).unwrap_or(u64::MAX);
    counter!("settlement_gas_cost_wei_total", "network" => network.clone()).increment(cost);
    if let Some(each) = receipt.gas_used.checked_div(u64::from(small(paid))) {
        let each = u32::try_from(each).unwrap_or(u32::MAX);
        histogram!("settlement_gas_per_payment", "network" => network).record(each);
    }
}

/// Counts a payment that has just changed, and how long that took.
pub(crate) fn outcome(payment: &Payment) {
    let chain = payment.authorization.chain;
    let took = match payment.state {
        PaymentState::Submitted(_) | PaymentState::Confirmed { .. } => true,
        PaymentState::Settled { .. } => {
            for name in SETTLED {
                counter!(name, "network" => chain.to_string()).increment(1);
            }
            // A picture for people: what was settled, to the last unit, is in the ledger.
            let amount = f64::from(payment.authorization.amount.units());
            volume(chain, payment.authorization.asset, amount);
            true
        }
        PaymentState::Rejected(_)
        | PaymentState::Canceled
        | PaymentState::Expired
        | PaymentState::Failed(_) => {
            payment.state.failure().into_iter().for_each(|code| failed(chain, code, 1));
            false
        }
        PaymentState::Accepted | PaymentState::Held { .. } | PaymentState::Approved { .. } => false,
    };
    if took {
        let ms = payment.updated_at.unix_ms().saturating_sub(payment.created_at.unix_ms());
        let took = Duration::from_millis(u64::try_from(ms).unwrap_or_default());
        let state = payment.state.name().as_str();
        histogram!(TIME_TO_STATE, "network" => chain.to_string(), "state" => state).record(took);
    }
}

fn failed(chain: ChainId, code: FailureCode, times: u64) {
    let fault = match code.fault() {
        Some(Fault::Payer) => "payer",
        Some(Fault::System) => "system",
        // Somebody decided so: nothing has failed.
        None => return,
    };
    counter!(ENDED_UNPAID, "fault" => fault).increment(times);
    for name in FAILED {
        let network = chain.to_string();
        counter!(name, "network" => network, "fault" => fault, "reason" => code.as_str())
            .increment(times);
    }
}

fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
