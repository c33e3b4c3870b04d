//! Every scenario once, or as often as asked, in several worlds at once.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;

use crate::args::Args;
use crate::audit::{Findings, audit};
use crate::load::Load;
use crate::report::{Report, say};
use crate::scenario::Scenario;
use crate::world::World;
use crate::{crash, outage};
use testkit::Dice;

/// How many signers the settlement processes have the keys of, unless the scenario says otherwise.
pub(crate) const KEYS: usize = 2;

/// What is left to do, with a number for each run.
type Queue = Arc<Mutex<VecDeque<(usize, Scenario)>>>;

/// Runs what was asked for.
pub(crate) async fn run(args: &Args, seed: u64, logs: &Path) -> Report {
    let wanted = if args.short { Scenario::short() } else { Scenario::all() };
    let named = |scenario: &Scenario| args.points.is_empty() || is_named(args, *scenario);
    let can = |scenario: &Scenario| !scenario.is_everybodys() || args.stack.is_some();
    let wanted: Vec<Scenario> = wanted.into_iter().filter(named).filter(can).collect();
    assert!(!wanted.is_empty(), "no scenario has that name");
    let runs = (0..args.runs).flat_map(|_| wanted.iter().copied()).enumerate();
    // What everybody shares dies when everybody else has finished.
    let (alone, beside) = runs.partition(|(_, scenario)| scenario.is_everybodys());
    let report = Arc::new(Mutex::new(Report::default()));
    for (queue, worlds) in [(beside, args.worlds), (alone, 1)] {
        let queue: Queue = Arc::new(Mutex::new(queue));
        let workers = (0..worlds).map(|number| {
            let worker = Worker {
                queue: Arc::clone(&queue),
                report: Arc::clone(&report),
                payments: args.payments(),
                seed,
                stack: args.stack.clone(),
                logs: logs.join(format!("world-{number}")),
            };
            tokio::spawn(work(worker))
        });
        for worker in join_all(workers).await {
            worker.unwrap();
        }
    }
    let mut report = report.lock().unwrap();
    std::mem::take(&mut *report)
}

fn is_named(args: &Args, scenario: Scenario) -> bool {
    let name = scenario.name();
    args.points.iter().any(|point| *point == name || name.starts_with(&format!("{point}_")))
}

struct Worker {
    queue: Queue,
    report: Arc<Mutex<Report>>,
    payments: u64,
    seed: u64,
    stack: Option<PathBuf>,
    logs: PathBuf,
}

/// Takes scenarios until none is left. A world is used again for as long as nothing went wrong.
async fn work(worker: Worker) {
    let mut world: Option<World> = None;
    loop {
        let next = worker.queue.lock().unwrap().pop_front();
        let unfit = |world: &mut World| {
            next.is_none_or(|(_, scenario)| world.confirmations != scenario.confirmations())
        };
        if let Some(world) = world.take_if(unfit) {
            world.end().await;
        }
        let Some((number, scenario)) = next else { return };
        let standing = match world.take() {
            Some(world) => world,
            None => {
                let logs = worker.logs.join(format!("{number:03}"));
                let world = World::start(scenario.confirmations(), &logs).await;
                world.with_stack(worker.stack.as_deref())
            }
        };
        let seed = worker.seed.wrapping_add(number as u64);
        let attempt = AssertUnwindSafe(once(&standing, scenario, worker.payments, seed));
        let (findings, recovery) = attempt.catch_unwind().await.unwrap_or_else(|panic| {
            let mut findings = Findings::default();
            findings.stick(&format!("the run broke off: {}", said(panic.as_ref())));
            (findings, Duration::ZERO)
        });
        let name = scenario.name();
        worker.report.lock().unwrap().add(&name, worker.payments, &findings, recovery);
        if !findings.is_clean() {
            say(&format!("  again: make faults POINTS={name} SEED={seed}"));
            standing.end().await;
        } else {
            world = Some(standing);
        }
    }
}

/// One run of one scenario.
async fn once(world: &World, scenario: Scenario, payments: u64, seed: u64) -> (Findings, Duration) {
    world.disarm();
    world.repair(KEYS).await;
    let load = Load::sign(world, payments).await;
    let mut wrong = None;
    let (accepted, fault) = match scenario {
        Scenario::KilledAt(point) => crash::killed_at(world, &load, point).await,
        Scenario::StoppedAt(point) => {
            let (accepted, stopped, found) = crash::stopped_at(world, &load, point).await;
            wrong = found;
            (accepted, stopped)
        }
        Scenario::TwoProcessesOneSigner => crash::two_processes_one_signer(world, &load).await,
        outage => outage::during(world, &load, outage, &mut Dice::new(seed)).await,
    };
    let (mut findings, over) = audit(world, &load, &accepted).await;
    if let Some(wrong) = wrong {
        findings.double(&wrong);
    }
    (findings, over.saturating_duration_since(fault))
}

pub(crate) fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("without a word").to_owned()
}
