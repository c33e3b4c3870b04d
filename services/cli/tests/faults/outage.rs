//! Servers that are away, slow, forgetful or wrong.

use std::time::Instant;

use domain::StateName;
use serde_json::{Value, json};
use testkit::{Fate, eventually};

use crate::audit::ledger;
use crate::load::{Accepted, Load};
use crate::scenario::Scenario;
use crate::world::{PATIENCE, World};
use testkit::Dice;

/// How long an outage lasts, in blocks.
const BLOCKS: u64 = 6;

/// How long the ledger is away, in blocks of a second.
const LONG: u64 = 30;

/// Payments are posted while something is wrong; it ends, and says when it did.
pub(crate) async fn during(
    world: &World,
    load: &Load,
    scenario: Scenario,
    dice: &mut Dice,
) -> (Vec<Accepted>, Instant) {
    let ends = async {
        begin(world, load, scenario, dice).await;
        end(world, scenario).await;
        Instant::now()
    };
    tokio::join!(load.trickle(world, 3), ends)
}

/// Lets it go wrong for some time.
async fn begin(world: &World, load: &Load, scenario: Scenario, dice: &mut Dice) {
    match scenario {
        Scenario::PostgresRestarted => {
            for _ in 0..2 {
                world.pass_blocks(1).await;
                world.database.refuse_connections().await;
                world.pass_blocks(2).await;
                world.database.accept_connections().await;
            }
        }
        Scenario::PostgresKilled => {
            for _ in 0..2 {
                world.pass_blocks(2).await;
                world.command_stack("kill").await;
                world.pass_blocks(2).await;
                world.command_stack("start").await;
            }
        }
        Scenario::PostgresAway => {
            world.pass_blocks(2).await;
            world.command_stack("kill").await;
            world.pass_blocks(LONG).await;
            world.command_stack("start").await;
        }
        Scenario::RedisEmptied => {
            for _ in 0..BLOCKS {
                world.redis.lock().await.flush().await;
                world.pass_blocks(1).await;
            }
        }
        Scenario::RedisKilled => {
            world.redis.lock().await.kill();
            world.pass_blocks(BLOCKS).await;
        }
        Scenario::RpcErrors => {
            fail_often(world, dice.roll());
            world.pass_blocks(BLOCKS).await;
        }
        Scenario::RpcHanging => {
            world.node.obey(|_, _| Fate::Ignored);
            world.pass_blocks(BLOCKS).await;
        }
        Scenario::RpcLagging => {
            lag(world).await;
            world.pass_blocks(BLOCKS).await;
        }
        Scenario::RpcAnswerLost => {
            lose_answers(world, dice.roll());
            world.pass_blocks(BLOCKS).await;
        }
        Scenario::MempoolDropped => drop_pending(world, BLOCKS).await,
        Scenario::Reorg(depth) => {
            wait_until_included(world, load).await;
            world.anvil.reorg(depth).await;
        }
        Scenario::KilledAt(_) | Scenario::StoppedAt(_) | Scenario::TwoProcessesOneSigner => {}
    }
}

async fn end(world: &World, scenario: Scenario) {
    world.node.behave();
    if scenario == Scenario::RedisKilled {
        world.redis.lock().await.start_again().await;
    }
}

/// Every other request fails, in one of the ways in which nodes do.
pub(crate) fn fail_often(world: &World, seed: u64) {
    let mut dice = Dice::new(seed);
    world.node.obey(move |_, _| match dice.below(8) {
        0 => Fate::Refused("internal error"),
        1 => Fate::Refused("daily request count exceeded, request rate limited"),
        2 => Fate::Rubbish("<html>502 Bad Gateway</html>"),
        3 => Fate::Lost,
        _ => Fate::Passed,
    });
}

/// What is sent is taken, and its answer never comes, or comes as an error.
pub(crate) fn lose_answers(world: &World, seed: u64) {
    let mut dice = Dice::new(seed);
    world.node.obey(move |method, _| match (method, dice.below(2)) {
        ("eth_sendRawTransaction", 0) => Fate::Lost,
        ("eth_sendRawTransaction", _) => Fate::Swallowed,
        _ => Fate::Passed,
    });
}

/// The node takes what it is sent, and knows of no newer block than now.
pub(crate) async fn lag(world: &World) {
    let height = world.anvil.block_number().await;
    let newest = json!(format!("{height:#x}"));
    world.node.obey(move |method, params| {
        let place = match method {
            "eth_getBlockByNumber" | "eth_getBlockReceipts" => 0,
            "eth_call" | "eth_estimateGas" | "eth_getBalance" | "eth_getTransactionCount" => 1,
            "eth_getTransactionReceipt" => return Fate::Answered(Value::Null),
            "eth_getLogs" => return Fate::Answered(json!([])),
            _ => return Fate::Passed,
        };
        if is_beyond(&params[place], height) {
            if !params[place].is_string() || params[place].as_str().unwrap().starts_with("0x") {
                return Fate::Answered(Value::Null);
            }
            params[place] = newest.clone();
        }
        Fate::Passed
    });
}

/// Whether a block of this name is newer than the height.
fn is_beyond(block: &Value, height: u64) -> bool {
    let Some(name) = block.as_str() else { return false };
    match name.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).is_ok_and(|number| number > height),
        None => matches!(name, "latest" | "pending"),
    }
}

/// Forgets everything that waits for a block, for so many blocks.
pub(crate) async fn drop_pending(world: &World, blocks: u64) {
    let from = world.anvil.block_number().await;
    eventually(PATIENCE, || async {
        world.anvil.drop_pending().await;
        (world.anvil.block_number().await >= from + blocks).then_some(())
    })
    .await;
}

async fn wait_until_included(world: &World, load: &Load) {
    eventually(PATIENCE, || async {
        let payments = ledger(world, load).await.ok()?;
        let confirmed = payments.iter().any(|payment| payment.state.name() == StateName::Confirmed);
        confirmed.then_some(())
    })
    .await;
}
