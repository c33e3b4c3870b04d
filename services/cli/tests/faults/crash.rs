//! Processes that die, or sleep, at one point.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use domain::StateName;
use nix::sys::signal::Signal;
use runtime::FailPoint;
use sqlx::AssertSqlSafe;
use testkit::{Fate, eventually};

use crate::audit::{ledger, unfinished};
use crate::load::{Accepted, Load};
use crate::role::Role;
use crate::scenario::role;
use crate::world::{PATIENCE, World};

const LEASED: &str = "signer leased";
const LOST: &str = "another process has the signer now";

/// A process dies at a point while payments are posted, and is started again.
pub(crate) async fn killed_at(
    world: &World,
    load: &Load,
    point: FailPoint,
) -> (Vec<Accepted>, Instant) {
    let victim = role(point);
    let dying = async {
        prepare(world, point).await;
        let died = wait_for_death(world, victim).await;
        world.node.behave();
        world.start_role(victim);
        died
    };
    if victim != Role::SettlementA {
        world.crash(victim);
        world.start_armed(victim, point, "kill");
        return tokio::join!(load.post(world), wait_and_restart(world, victim));
    }
    // A dead holder's lane: the armed one takes it with everything that is open.
    if point == FailPoint::InCatchUp {
        world.end_settlement(1).await;
        world.start_role(Role::SettlementB);
        let (accepted, ()) = tokio::join!(load.post(world), async {
            wait_for_state(world, load, StateName::Submitted).await;
            world.crash(Role::SettlementB);
        });
        return (accepted, dying.await);
    }
    world.end_settlement(1).await;
    tokio::join!(load.post(world), dying)
}

async fn wait_and_restart(world: &World, victim: Role) -> Instant {
    let died = wait_for_death(world, victim).await;
    world.start_role(victim);
    died
}

/// Starts the armed settlement process, brings about what leads it to its point, and lets another
/// process stand by.
async fn prepare(world: &World, point: FailPoint) {
    match point {
        FailPoint::InHoleFill => {
            let store = &world.database.store;
            let skip = format!(
                "update signers set next_nonce = next_nonce + 1 where address = decode('{}', 'hex')",
                hex::encode(World::first_signer())
            );
            sqlx::raw_sql(AssertSqlSafe(skip)).execute(store.pool()).await.unwrap();
        }
        // Blocks leave lying what never comes to the chain.
        FailPoint::InBumpAfterStore => world.node.obey(|method, _| match method {
            "eth_sendRawTransaction" => Fate::Refused("already known"),
            _ => Fate::Passed,
        }),
        _ => {}
    }
    world.start_armed(Role::SettlementA, point, "kill");
    wait_until_leased(world).await;
    world.start_role(Role::SettlementB);
    if point == FailPoint::BeforeGiveBack {
        eventually(PATIENCE, || async { is_busy(world).await.then_some(()) }).await;
        world.ask_to_end(Role::SettlementA);
    }
}

/// A settlement process sleeps at a point for longer than its lease. Another one takes over; what
/// wakes up stores and sends nothing more. Says what the sleeper did that it must not.
pub(crate) async fn stopped_at(
    world: &World,
    load: &Load,
    point: FailPoint,
) -> (Vec<Accepted>, Instant, Option<String>) {
    world.end_settlement(1).await;
    world.start_armed(Role::SettlementA, point, "stop");
    wait_until_leased(world).await;
    world.start_role(Role::SettlementB);
    let (accepted, stopped) = tokio::join!(load.post(world), async {
        eventually(PATIENCE, || {
            std::future::ready(world.is_stopped(Role::SettlementA).then_some(()))
        })
        .await;
        Instant::now()
    });
    // Somebody else settles what it left behind.
    eventually(PATIENCE, || async {
        let taken = world.said(Role::SettlementB, LEASED) > 0;
        let open = unfinished(world, load).await.ok()?;
        (taken && open.is_empty()).then_some(())
    })
    .await;
    let (before, lost) = (sent(world).await, world.said(Role::SettlementA, LOST));
    world.signal(Role::SettlementA, Signal::SIGCONT);
    eventually(PATIENCE, || {
        let ended = world.said(Role::SettlementA, LOST) > lost;
        std::future::ready(ended.then_some(()))
    })
    .await;
    let after = sent(world).await;
    let wrong = (before != after)
        .then(|| format!("a process without its lease went on: first {before:?}, then {after:?}"));
    (accepted, stopped, wrong)
}

/// Two processes with the same key; whoever holds it dies, again and again.
pub(crate) async fn two_processes_one_signer(
    world: &World,
    load: &Load,
) -> (Vec<Accepted>, Instant) {
    world.end_settlement(1).await;
    world.start_role(Role::SettlementA);
    world.start_role(Role::SettlementB);
    let posted = AtomicBool::new(false);
    let posting = async {
        let accepted = load.trickle(world, 1).await;
        posted.store(true, Ordering::Relaxed);
        accepted
    };
    let killing = async {
        let mut died = Instant::now();
        while let Some(holder) = busy_holder(world, &posted).await {
            world.crash(holder);
            died = Instant::now();
            world.start_role(holder);
        }
        died
    };
    tokio::join!(posting, killing)
}

/// Waits until one of the two holds the signer and has something under way; `None` when everything
/// is posted before.
async fn busy_holder(world: &World, posted: &AtomicBool) -> Option<Role> {
    eventually(PATIENCE, || async {
        if posted.load(Ordering::Relaxed) {
            return Some(None);
        }
        let roles = [Role::SettlementA, Role::SettlementB];
        let holder = roles.into_iter().find(|role| world.said(*role, LEASED) > 0)?;
        is_busy(world).await.then_some(Some(holder))
    })
    .await
}

/// Waits until a process has killed itself.
async fn wait_for_death(world: &World, victim: Role) -> Instant {
    let signal = eventually(PATIENCE, || std::future::ready(world.killed_by(victim))).await;
    assert_eq!(signal, Signal::SIGKILL as i32, "{victim:?} ended otherwise than at its point");
    Instant::now()
}

/// Waits until the armed settlement process holds the signer, or is dead already.
async fn wait_until_leased(world: &World) {
    eventually(PATIENCE, || {
        let leased = world.said(Role::SettlementA, LEASED) > 0;
        std::future::ready((leased || world.is_down(Role::SettlementA)).then_some(()))
    })
    .await;
}

/// Whether something was sent and is not final.
async fn is_busy(world: &World) -> bool {
    sent(world).await.is_some_and(|sent| sent.iter().any(|[_, state, _]| state != "final"))
}

async fn wait_for_state(world: &World, load: &Load, state: StateName) {
    eventually(PATIENCE, || async {
        let payments = ledger(world, load).await.ok()?;
        payments.iter().any(|payment| payment.state.name() == state).then_some(())
    })
    .await;
}

/// Every attempt that is stored, by its hash, with the state of its transaction.
async fn sent(world: &World) -> Option<Vec<[String; 3]>> {
    let sent = "select encode(a.hash, 'hex'), t.state, coalesce(a.broadcast_at::text, '')
                from chain_transactions t join transaction_attempts a on a.transaction_id = t.id
                order by t.signer_id, t.nonce, a.number";
    let rows = sqlx::raw_sql(sent).fetch_all(world.database.store.pool()).await.ok()?;
    Some(rows.iter().map(|row| [0, 1, 2].map(|column| sqlx::Row::get(row, column))).collect())
}
