//! What a run is asked to do.

use std::path::PathBuf;

use clap::Parser;

/// Kills, stops and starves real processes in the middle of payments, and compares ledger and chain.
///
/// Without a seed, every scenario is run; with one, faults come one upon the other in the order that
/// the seed decides.
#[derive(Clone, Debug, Parser)]
#[command(name = "faults")]
pub(crate) struct Args {
    /// Decides what happens and when: the same number, the same faults.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// How long faults go on that a seed decides; without a seed, one is drawn.
    #[arg(long)]
    pub(crate) minutes: Option<u64>,
    /// Only these scenarios, by name.
    #[arg(long, value_delimiter = ',', conflicts_with_all = ["minutes", "short"])]
    pub(crate) points: Vec<String>,
    /// Payments of each run.
    #[arg(long, value_parser = clap::value_parser!(u64).range(8..=500))]
    pub(crate) payments: Option<u64>,
    /// How often each scenario is run.
    #[arg(long, default_value_t = 1)]
    pub(crate) runs: u64,
    /// How many worlds, each with its own servers, work at once.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) worlds: u8,
    /// The program whose `kill postgres` and `start postgres` restart the server of all worlds;
    /// without it nobody kills that.
    #[arg(long)]
    pub(crate) stack: Option<PathBuf>,
    /// Settlement's fail points and lost leases alone, with few payments.
    #[arg(long)]
    pub(crate) short: bool,
}

/// How long faults go on when only their seed is given.
const MINUTES: u64 = 5;

impl Args {
    /// For how many minutes a seed decides what goes wrong; `None` when scenarios are run.
    pub(crate) fn storm_minutes(&self) -> Option<u64> {
        let named = self.short || !self.points.is_empty();
        self.minutes.or(self.seed.filter(|_| !named).map(|_| MINUTES))
    }

    /// Payments of each run.
    pub(crate) fn payments(&self) -> u64 {
        self.payments.unwrap_or(if self.short { 8 } else { 16 })
    }
}
