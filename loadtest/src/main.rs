//! Measures the pipeline on this machine, and checks that nothing was lost on the way: see --help.

#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the run")]

mod check;
mod computing;
mod connection;
mod course;
mod follow;
mod latency;
mod ledger;
mod node_times;
mod offer;
mod order;
mod page;
mod plot;
mod receiver;
mod report;
mod role;
mod scenario;
mod schedule;
mod search;
mod seed;
mod till;
mod world;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use crate::order::{Market, Mix, sign};
use crate::scenario::waiting::Way;
use crate::scenario::{
    Answer, Plan, accept, burst, duplicates, facade, full_ledger, idle, isolation, lone, recover,
    risk, scale, settle, waiting, webhooks,
};
use crate::schedule::Arrivals;

/// Starts every role on servers of its own, posts payments at fixed times whatever becomes of those
/// before them, follows each to its end, and compares ledger, chain and webhooks. Latencies count
/// from when a request was due. Exits 1 when a promise was broken.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    instead: Option<Instead>,
    /// What to find out; everything, unless named.
    scenarios: Vec<Name>,
    /// Shorter, and accept, settle and lone alone.
    #[arg(long)]
    quick: bool,
    /// How requests follow each other.
    #[arg(long, value_enum, default_value = "poisson")]
    arrivals: Arrivals,
    /// For how many seconds the highest rate is held.
    #[arg(long)]
    hold: Option<u64>,
    /// Accept or settle so many payments a second, instead of looking for the most; in risk, those that come for three
    /// seconds; in waiting, for five; in facade, those that are settled at once; in webhooks, isolation and recover, the
    /// payments whose ends are told.
    #[arg(long)]
    rate: Option<u64>,
    /// So many of 100 requests repeat an earlier one.
    #[arg(long, default_value_t = 0)]
    repeated: u32,
    /// So many of 100 requests have to be refused.
    #[arg(long, default_value_t = 0)]
    bad: u32,
    /// Signers.
    #[arg(long, default_value_t = 4)]
    signers: u64,
    /// Processes of each worker: risk, settlement, notifier.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// Payments that the ledger holds from before.
    #[arg(long, default_value_t = 0)]
    stored: u64,
    /// The same seed posts at the same times.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where report.json, report.md and report.html go.
    #[arg(long, default_value = "target/bench")]
    into: PathBuf,
}

/// What else this program does.
#[derive(Clone, Debug, Subcommand)]
enum Instead {
    /// Prints signed requests, a line each, for other load generators; they are valid for 50 minutes.
    Bodies {
        /// How many.
        #[arg(long)]
        count: usize,
    },
    /// Writes payments that are over into the ledger at `DATABASE_URL`, which nobody else uses
    /// meanwhile.
    Seed {
        /// How many, about.
        #[arg(long)]
        count: u64,
        /// The ledger: migrated, and of a user who owns its tables.
        #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
        database: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    Accept,
    Settle,
    Lone,
    Burst,
    Duplicates,
    Waiting,
    /// The same over few connections of HTTP/2, as a proxy brings them.
    WaitingH2c,
    Idle,
    FullLedger,
    Scale,
    Webhooks,
    Isolation,
    Recover,
    Risk,
    Facade,
}

impl Name {
    const QUICK: [Self; 3] = [Self::Accept, Self::Settle, Self::Lone];
    const ALL: [Self; 15] = [
        Self::Accept,
        Self::Settle,
        Self::Lone,
        Self::Burst,
        Self::Duplicates,
        Self::Waiting,
        Self::WaitingH2c,
        Self::Idle,
        Self::FullLedger,
        Self::Scale,
        Self::Webhooks,
        Self::Isolation,
        Self::Recover,
        Self::Risk,
        Self::Facade,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Settle => "settle",
            Self::Lone => "lone",
            Self::Burst => "burst",
            Self::Duplicates => "duplicates",
            Self::Waiting => "waiting",
            Self::WaitingH2c => "waiting_h2c",
            Self::Idle => "idle",
            Self::FullLedger => "full_ledger",
            Self::Scale => "scale",
            Self::Webhooks => "webhooks",
            Self::Isolation => "isolation",
            Self::Recover => "recover",
            Self::Risk => "risk",
            Self::Facade => "facade",
        }
    }

    async fn run(self, args: &Args) -> Answer {
        let long = match self {
            Self::Settle => 60,
            // Three times as long as it takes until breakers leave alone what hangs.
            Self::Isolation => 50,
            // As many payments are signed beforehand as can be verified in this time.
            Self::Facade => 10,
            _ => 20,
        };
        let (probe, hold) = if args.quick { (2, 10) } else { (4, long) };
        let plan = Plan {
            arrivals: args.arrivals,
            probe: Duration::from_secs(probe),
            hold: Duration::from_secs(args.hold.unwrap_or(hold)),
            rate: args.rate,
            mix: Mix { repeated: args.repeated, bad: args.bad },
            signers: args.signers,
            workers: usize::from(args.workers),
            stored: args.stored,
            seed: args.seed,
            engine: None,
            logs: args.into.join("logs").join(self.as_str()),
        };
        match self {
            Self::Accept => accept::run(&plan).await,
            Self::Settle => settle::run(&plan).await,
            Self::Lone => lone::run(&plan).await,
            Self::Burst => burst::run(&plan).await,
            Self::Duplicates => duplicates::run(&plan).await,
            Self::Waiting => waiting::run(&plan, Way::Alone).await,
            Self::WaitingH2c => waiting::run(&plan, Way::ByProxy).await,
            Self::Idle => idle::run(&plan).await,
            Self::FullLedger => full_ledger::run(&plan).await,
            Self::Scale => scale::run(&plan).await,
            Self::Webhooks => webhooks::run(&plan).await,
            Self::Isolation => isolation::run(&plan).await,
            Self::Recover => recover::run(&plan).await,
            Self::Risk => risk::run(&plan).await,
            Self::Facade => facade::run(&plan).await,
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    // The roles inherit it; those who wait have a connection each.
    runtime::open_files::allow_the_most().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let work = async {
        match &args.instead {
            Some(Instead::Bodies { count }) => print_bodies(*count),
            Some(Instead::Seed { count, database }) => fill(database, *count).await,
            None => run(&args).await,
        }
    };
    runtime.block_on(async {
        // What was started for the run ends with it, also when it is ended.
        tokio::select! {
            code = work => code,
            () = ended() => ExitCode::FAILURE,
        }
    })
}

/// Comes back when the process is told to end.
async fn ended() {
    let mut terminated = signal(SignalKind::terminate()).unwrap();
    let mut interrupted = signal(SignalKind::interrupt()).unwrap();
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
}

/// Of many buyers to many sellers, each different from every other.
fn print_bodies(count: usize) -> ExitCode {
    let mut out = std::io::stdout().lock();
    for order in sign(&Market::of_strangers(), count, Mix::default(), 1) {
        // Whoever reads them has had enough.
        if out.write_all(&order.body).and_then(|()| out.write_all(b"\n")).is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Payments of the buyers who also pay in a run.
#[expect(clippy::print_stdout, reason = "what was written is the answer")]
async fn fill(database: &str, count: u64) -> ExitCode {
    let pool = sqlx::PgPool::connect(database).await.unwrap();
    let seed::Seeded { payments, seconds, mib } =
        seed::seed(&pool, count, &Market::of_strangers().addresses()).await;
    println!("{payments} payments in {seconds:.0} s; the database has {mib} MiB");
    ExitCode::SUCCESS
}

#[expect(clippy::print_stderr, reason = "a run of minutes says where it is")]
async fn run(args: &Args) -> ExitCode {
    let names = match &args.scenarios[..] {
        [] if args.quick => &Name::QUICK[..],
        [] => &Name::ALL,
        named => named,
    };
    let mut answers = Vec::new();
    for name in names {
        eprintln!("{}…", name.as_str());
        answers.push((name.as_str(), name.run(args).await));
        // Each time, so that a run that is ended leaves what it found out.
        report::publish(&answers, &args.into);
    }
    match report::conclude(&answers) {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
