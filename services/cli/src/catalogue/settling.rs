//! What settlement shows. Some is counted twice, under the names that operators' dashboards ask for.

use super::metric::Metric;
use crate::role::Role;

const SETTLEMENT: &[Role] = &[Role::Settlement];

/// Risk ends payments unpaid as well.
const ENDING: &[Role] = &[Role::Risk, Role::Settlement];

const BY_FAILURE: &[&str] = &["network", "fault", "reason"];

pub(super) const METRICS: &[Metric] = &[
    Metric::counter("payment_settlements_total", SETTLEMENT, "Payments settled").by(&["network"]),
    Metric::counter(
        "payment_success_total",
        SETTLEMENT,
        "Payments settled, as payment_settlements_total",
    )
    .by(&["network"]),
    Metric::counter(
        "payment_failed_total",
        ENDING,
        "Payments that ended unpaid, in risk or in settlement; whose fault it was, or \
         none where somebody decided so",
    )
    .by(&["fault"]),
    Metric::counter(
        "payment_settlements_failed",
        SETTLEMENT,
        "Payments that settlement ended unpaid, by whose fault (payer or system) and \
         why",
    )
    .by(BY_FAILURE),
    Metric::counter(
        "payment_settlements_failed_total",
        SETTLEMENT,
        "The same as payment_settlements_failed, named by Prometheus' conventions",
    )
    .by(BY_FAILURE),
    Metric::counter(
        "x402_failed_settlements",
        SETTLEMENT,
        "The same as payment_settlements_failed",
    )
    .by(BY_FAILURE),
    Metric::gauge(
        "x402_payment_volume_usds",
        SETTLEMENT,
        "What was settled in a token, in its atomic units (millionths of a dollar for \
         USDC); rises only, and is exact in the ledger alone",
    )
    .by(&["network", "asset"]),
    Metric::histogram(
        "payment_time_to_state_seconds",
        SETTLEMENT,
        "From accepted to submitted, confirmed or settled, per payment",
    )
    .by(&["network", "state"]),
    Metric::counter(
        "settlement_rounds_total",
        SETTLEMENT,
        "Rounds, by how they ended: sent or failed",
    )
    .by(&["network", "outcome"]),
    Metric::histogram("settlement_batch_size", SETTLEMENT, "Payments carried by one transaction")
        .by(&["network"]),
    Metric::counter(
        "settlement_broadcasts_total",
        SETTLEMENT,
        "Transactions sent, by the node's answer",
    )
    .by(&["network", "answer"]),
    Metric::counter(
        "settlement_replacements_total",
        SETTLEMENT,
        "Transactions replaced, by what replaced them: bump, filler, refill",
    )
    .by(&["network", "kind"]),
    Metric::counter("settlement_reorgs_total", SETTLEMENT, "Transactions whose block was lost")
        .by(&["network"]),
    Metric::counter(
        "settlement_reorged_payments_total",
        SETTLEMENT,
        "Payments whose block was lost",
    )
    .by(&["network"]),
    Metric::histogram(
        "settlement_gas_per_payment",
        SETTLEMENT,
        "Gas of a mined transaction, per payment",
    )
    .by(&["network"]),
    Metric::counter(
        "settlement_gas_cost_wei_total",
        SETTLEMENT,
        "What mined transactions cost, in wei",
    )
    .by(&["network"]),
    Metric::gauge(
        "settlement_inflight",
        SETTLEMENT,
        "Transactions of a signer that no block holds yet",
    )
    .by(&["network", "signer"])
    .sometimes(),
    Metric::gauge("settlement_lanes", SETTLEMENT, "Signers held by this process").by(&["network"]),
    Metric::gauge("settlement_open_transactions", SETTLEMENT, "Transactions sent and not final")
        .by(&["network"]),
    Metric::counter(
        "settlement_lease_changes_total",
        SETTLEMENT,
        "Leases on signers, by what became of them: taken, released, lost",
    )
    .by(&["network", "change"]),
    Metric::gauge(
        "settlement_lane_paused",
        SETTLEMENT,
        "1 while a held signer takes no new work, by reason: operator or gas",
    )
    .by(&["network", "signer", "reason"])
    .sometimes(),
    Metric::gauge(
        "settler_gas_balance",
        SETTLEMENT,
        "What a held signer has to pay for gas with, in gwei",
    )
    .by(&["network", "signer"])
    .sometimes(),
];
