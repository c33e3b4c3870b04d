//! What settlement costs and how long it takes, on this machine with everything on it: see --help.

#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the run")]
#![expect(clippy::float_arithmetic, reason = "figures for people; no amount is among them")]

mod figures;
mod load;
#[path = "../../tests/faults/process.rs"]
#[expect(dead_code, reason = "the crash suite does more with its processes")]
mod process;
mod world;

use std::time::Duration;

use clap::Parser;
use serde_json::json;

use crate::figures::{Figures, Machine};
use crate::load::Load;
use crate::world::World;

/// Measures settlement: a steady load, then payments alone on an idle system. Writes
/// target/bench/settlement.json.
#[derive(Debug, Parser)]
struct Args {
    /// Payments a second.
    #[arg(long, default_value_t = 1_000)]
    rate: u64,
    /// For how many seconds.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Signers.
    #[arg(long, default_value_t = 4)]
    signers: u64,
    /// Payments alone.
    #[arg(long, default_value_t = 15)]
    alone: u64,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Before anything is measured: connections, caches and the first blocks.
const WARM_UP: Duration = Duration::from_secs(3);

fn main() {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(run(&args));
}

async fn run(args: &Args) {
    let world = World::start(args.signers).await;
    let warm_up = Load::prepare(&world, args.rate.min(200), WARM_UP).await;
    warm_up.offer(&world).await;
    warm_up.finish(&world).await;

    let steady = Load::prepare(&world, args.rate, Duration::from_secs(args.seconds)).await;
    let before = world.calls().await;
    let from = world.anvil.block_number().await + 1;
    let offered = steady.offer(&world).await;
    steady.finish(&world).await;
    let calls = figures::between(&before, &world.calls().await);
    let settle = Figures::read(&world, &steady, from).await;

    let mut alone = Vec::new();
    for _ in 0..args.alone {
        alone.push(load::alone(&world).await);
    }
    let lone = figures::lone(&world, &alone).await;
    let report = json!({
        "machine": Machine::this(),
        "settle": settle.with_calls(&calls, &offered),
        "lone": lone,
    });
    figures::publish(&report);
    world.end().await;
}
