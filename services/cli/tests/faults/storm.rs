//! Faults one upon the other, in an order that a seed decides.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::FutureExt;
use nix::sys::signal::Signal;
use runtime::FailPoint;

use crate::args::Args;
use crate::audit::{Findings, audit};
use crate::load::Load;
use crate::outage::{drop_pending, fail_often, lag, lose_answers};
use crate::report::{Report, say};
use crate::role::Role;
use crate::scenario::{DEEP, role};
use crate::suite::{KEYS, said};
use crate::world::World;
use testkit::Dice;

/// Payments of a round, unless the arguments say otherwise.
const PAYMENTS: u64 = 60;

/// Payments posted with each block.
const AT_ONCE: usize = 3;

/// Rounds of faults and load until the time is over. The first that finds something wrong is the
/// last, so that its logs are the last.
pub(crate) async fn run(args: &Args, seed: u64, minutes: u64, logs: &Path) -> Report {
    let mut report = Report::default();
    let mut dice = Dice::new(seed);
    let ends = Instant::now() + Duration::from_secs(60 * minutes);
    let world = World::start(DEEP, logs).await;
    let payments = args.payments.unwrap_or(PAYMENTS);
    while Instant::now() < ends {
        let round = AssertUnwindSafe(round(&world, payments, &mut dice));
        let (findings, recovery) = round.catch_unwind().await.unwrap_or_else(|panic| {
            let mut findings = Findings::default();
            findings.stick(&format!("the round broke off: {}", said(panic.as_ref())));
            (findings, Duration::ZERO)
        });
        report.add("storm", payments, &findings, recovery);
        if !findings.is_clean() {
            say(&format!("again: make faults SEED={seed} MINUTES={minutes}"));
            break;
        }
    }
    world.end().await;
    report
}

/// Faults for as long as payments come; then everything is repaired, and has to end.
async fn round(world: &World, payments: u64, dice: &mut Dice) -> (Findings, Duration) {
    let load = Load::sign(world, payments).await;
    let posted = AtomicBool::new(false);
    let posting = async {
        let accepted = load.trickle(world, AT_ONCE).await;
        posted.store(true, Ordering::Relaxed);
        accepted
    };
    let storming = async {
        while !posted.load(Ordering::Relaxed) {
            strike(world, dice).await;
            world.pass_blocks(dice.below(2)).await;
        }
        calm(world).await;
        Instant::now()
    };
    let (accepted, repaired) = tokio::join!(posting, storming);
    let (findings, over) = audit(world, &load, &accepted).await;
    (findings, over.saturating_duration_since(repaired))
}

/// One fault. Every one draws as often from the dice as it needs, whatever happens meanwhile.
async fn strike(world: &World, dice: &mut Dice) {
    match dice.below(16) {
        0..=2 => {
            let role = dice.pick(&Role::ALL);
            note(&format!("kill {role:?}"));
            world.crash(role);
            world.start_role(role);
        }
        3..=6 => {
            let point = dice.pick(&FailPoint::ALL);
            let passing = 1 + dice.below(3);
            // Either settlement process may be the one.
            let victim = match role(point) {
                Role::SettlementA => dice.pick(&[Role::SettlementA, Role::SettlementB]),
                role => role,
            };
            note(&format!("{victim:?} dies at {}, passing {passing}", point.name()));
            world.crash(victim);
            world.start_armed(victim, point, &format!("kill@{passing}"));
        }
        7 | 8 => {
            let role = dice.pick(&Role::ALL);
            let blocks = 1 + dice.below(4);
            note(&format!("stop {role:?} for {blocks} blocks"));
            sleep_through(world, role, blocks).await;
        }
        9 => {
            let depth = 1 + dice.below(3);
            note(&format!("reorganise {depth} blocks"));
            world.anvil.reorg(depth).await;
        }
        10 => {
            note("forget the mempool");
            drop_pending(world, 1 + dice.below(2)).await;
        }
        11 => {
            note("flush Redis");
            world.redis.lock().await.flush().await;
        }
        12 => {
            note("restart Redis");
            let mut redis = world.redis.lock().await;
            redis.kill();
            world.pass_blocks(1 + dice.below(2)).await;
            redis.start_again().await;
        }
        13 => {
            note("refuse connections to PostgreSQL");
            world.database.refuse_connections().await;
            world.pass_blocks(1 + dice.below(3)).await;
            world.database.accept_connections().await;
        }
        14 => mislead(world, dice).await,
        _ => {
            note("restart whatever is down");
            world.node.behave();
            world.repair(KEYS).await;
        }
    }
}

/// The node errs for a while.
async fn mislead(world: &World, dice: &mut Dice) {
    let (how, seed, blocks) = (dice.below(3), dice.roll(), 1 + dice.below(4));
    note(&format!("the node errs in way {how} for {blocks} blocks"));
    match how {
        0 => fail_often(world, seed),
        1 => lose_answers(world, seed),
        _ => lag(world).await,
    }
    world.pass_blocks(blocks).await;
    world.node.behave();
}

/// A process is stopped and goes on, unless it has ended.
async fn sleep_through(world: &World, role: Role, blocks: u64) {
    if !world.is_down(role) {
        world.signal(role, Signal::SIGSTOP);
        world.pass_blocks(blocks).await;
        world.signal(role, Signal::SIGCONT);
    }
}

/// Everything works again, and nothing is armed any more. Whoever lived through it all goes on as
/// it is.
async fn calm(world: &World) {
    world.node.behave();
    world.disarm();
    world.repair(KEYS).await;
}

fn note(fault: &str) {
    say(&format!("  {fault}"));
}
