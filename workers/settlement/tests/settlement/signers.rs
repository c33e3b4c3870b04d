//! Signers that are paused, that run out of gas money, and that several processes share.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use domain::{Address, PaymentId, SignerId, StateName, U256};
use runtime::Clock;
use runtime::clock::ClockHand;
use store::SignerRow;
use testkit::{Anvil, Fate, FaultyNode};
use uuid::Uuid;

use crate::world::{DEADLINE, World, ids, now};

/// A tenth of the coin that a signer of these stories has to begin with.
const TENTH: u64 = 100_000_000_000_000_000;

/// A lease that nobody waits for in a story.
const LONG: Duration = Duration::from_secs(600);

async fn rows(world: &World) -> Vec<SignerRow> {
    world.store().list_signers().await.unwrap()
}

async fn row(world: &World, address: Address) -> SignerRow {
    rows(world).await.into_iter().find(|row| row.address == address).unwrap()
}

/// Waits until this is true of the signer.
async fn wait_until(world: &World, address: Address, is: impl Fn(&SignerRow) -> bool) -> SignerRow {
    let is = &is;
    testkit::eventually(DEADLINE, || async move {
        let rows = world.store().list_signers().await.ok()?;
        rows.into_iter().find(|row| row.address == address).filter(is)
    })
    .await
}

async fn wait_until_held(world: &World, address: Address) -> SignerRow {
    wait_until(world, address, |row| row.lease.is_some()).await
}

/// How often this has happened to the signer.
async fn happened(world: &World, signer: SignerId, what: &str) -> usize {
    let events = world.store().signer_events(signer, 1_000).await.unwrap();
    events.iter().filter(|event| event.r#type == what).count()
}

async fn wait_until_happened(world: &World, signer: SignerId, what: &str) {
    testkit::eventually(DEADLINE, || async {
        (happened(world, signer, what).await > 0).then_some(())
    })
    .await;
}

/// Who signed each of these payments' transactions.
async fn carriers(world: &World, signers: &[Address]) -> HashMap<Address, usize> {
    let mut carried = HashMap::new();
    for address in signers {
        let row = row(world, *address).await;
        let sent = world.store().transactions_from(row.id, 0).await.unwrap();
        carried.insert(*address, sent.iter().map(|sent| sent.items.len()).sum());
    }
    carried
}

#[tokio::test]
async fn a_paused_signer_takes_nothing_new_and_what_it_sent_is_replaced_and_settled() {
    let world = World::on(Anvil::builder().mined_by_hand()).await;
    let sent = world.approved(100).await;
    let settlement = world.settle();
    world.wait_for(StateName::Submitted, &[sent.id]).await;
    world.wait_for_mempool(1).await;
    let signer = row(&world, world.signer()).await;
    world.store().pause_signer(signer.id, "key rotation").await.unwrap();
    let waiting = world.approved(100).await;
    world.ring(&world.queue(), &[waiting.id]).await;

    // What was offered does not do any more, so that only a replacement can be mined.
    let dear = format!("{:#x}", 100_000_000_000u64);
    world.anvil.rpc("anvil_setNextBlockBaseFeePerGas", serde_json::json!([dear])).await;
    world.anvil.set_interval(Some(Duration::from_secs(1))).await;
    world.wait_for(StateName::Settled, &[sent.id]).await;

    // All that it sent is over: it is given back, and left alone until it is resumed.
    wait_until(&world, signer.address, |row| row.lease.is_none() && row.in_flight == 0).await;
    assert_eq!(world.load(waiting.id).await.state.name(), StateName::Approved);
    world.store().resume_signer(signer.id).await.unwrap();
    world.wait_for(StateName::Settled, &[waiting.id]).await;
    world.assert_ledger_is_chain(&[sent.id, waiting.id]).await;
    settlement.stop().await;
}

#[tokio::test]
async fn what_a_paused_signer_sent_is_followed_by_the_next_process_as_well() {
    let mut world = World::on(Anvil::builder().mined_by_hand()).await;
    world.policy.max_lanes = 1;
    let payment = world.approved(100).await;
    let settlement = world.settle();
    world.wait_for(StateName::Submitted, &[payment.id]).await;
    world.wait_for_mempool(1).await;
    settlement.crash().await;
    let paused = row(&world, world.signer()).await;
    world.store().pause_signer(paused.id, "key rotation").await.unwrap();
    world.anvil.drop_pending().await;
    // One that the process is to work with, so that there is no lane left for the paused one.
    let other = world.add_signer().await;

    let settlement = world.settle();
    wait_until_held(&world, other).await;
    wait_until(&world, paused.address, |row| row.epoch > paused.epoch).await;
    world.anvil.set_interval(Some(Duration::from_secs(1))).await;

    world.wait_for(StateName::Settled, &[payment.id]).await;
    world.assert_ledger_is_chain(&[payment.id]).await;
    assert_eq!(carriers(&world, &[paused.address, other]).await[&paused.address], 1);
    settlement.stop().await;
}

#[tokio::test]
async fn payments_in_flight_when_a_signer_is_paused_settle_and_others_take_over() {
    let mut world = World::start().await;
    world.policy.max_batch = 3;
    let other = world.add_signer().await;
    let payments = ids(&world.approved_many(40).await);
    world.ring(&world.queue(), &payments).await;
    let settlement = world.settle();
    wait_until_held(&world, other).await;
    let signer = wait_until(&world, world.signer(), |row| row.in_flight > 0).await;

    world.store().pause_signer(signer.id, "key rotation").await.unwrap();
    let signed = row(&world, signer.address).await.next_nonce;

    world.wait_for(StateName::Settled, &payments).await;
    world.assert_ledger_is_chain(&payments).await;
    let paused = wait_until(&world, signer.address, |row| row.lease.is_none()).await;
    assert_eq!(paused.next_nonce, signed, "it signed something new while it was paused");
    settlement.stop().await;
}

/// Moves the time of processes and of the chain past every window. Nobody rings.
async fn let_windows_close(world: &World, hand: &ClockHand) {
    const BEYOND: Duration = Duration::from_secs(700);
    hand.advance(BEYOND);
    world.anvil.rpc("evm_increaseTime", serde_json::json!([BEYOND.as_secs()])).await;
    world.anvil.mine(1).await;
}

async fn wait_until_expired(world: &World, payment: PaymentId) {
    testkit::eventually(DEADLINE, || async {
        (world.load(payment).await.state.name() == StateName::Expired).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_payment_that_a_paused_signer_could_not_send_in_time_expires_on_proof() {
    let mut world = World::on(Anvil::builder().mined_by_hand()).await;
    let (clock, hand) = Clock::manual(now().unix_ms());
    world.clock = clock;
    let proxy = FaultyNode::before(world.anvil.url()).await;
    proxy.obey(|method, _| match method {
        "eth_sendRawTransaction" => Fate::Refused("not now"),
        _ => Fate::Passed,
    });
    let payment = world.approved(100).await;
    let settlement = world.settle_at(&proxy.url());
    world.wait_for(StateName::Submitted, &[payment.id]).await;
    let signer = row(&world, world.signer()).await;
    world.store().pause_signer(signer.id, "key rotation").await.unwrap();

    let_windows_close(&world, &hand).await;

    wait_until_expired(&world, payment.id).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_signer_whose_money_runs_low_leaves_new_payments_to_others_until_it_has_more() {
    let mut world = World::start().await;
    world.policy.gas_pause_wei = U256::from(TENTH);
    world.policy.gas_warn_wei = U256::from(2 * TENTH);
    let poor = world.signer();
    world.anvil.set_balance(poor, U256::from(TENTH - 1)).await;
    let settlement = world.settle();
    let signer = wait_until_held(&world, poor).await;
    wait_until_happened(&world, signer.id, "out_of_gas").await;
    let stuck = world.approved(100).await;
    world.ring(&world.queue(), &[stuck.id]).await;

    settlement.stop().await;
    let rich = world.add_signer().await;
    let settlement = world.settle();
    wait_until_held(&world, poor).await;
    testkit::eventually(DEADLINE, || async {
        (happened(&world, signer.id, "out_of_gas").await == 2).then_some(())
    })
    .await;
    let payments = ids(&world.approved_many(10).await);
    world.wait_for(StateName::Settled, &[stuck.id]).await;
    world.wait_for(StateName::Settled, &payments).await;
    assert_eq!(carriers(&world, &[poor, rich]).await, HashMap::from([(poor, 0), (rich, 11)]));

    world.anvil.set_balance(poor, U256::from(TENTH)).await;
    wait_until_happened(&world, signer.id, "funded").await;
    world.store().pause_signer(row(&world, rich).await.id, "only the poor one now").await.unwrap();
    let last = world.approved(100).await;
    world.wait_for(StateName::Settled, &[last.id]).await;
    assert_eq!(carriers(&world, &[poor]).await[&poor], 1);
    settlement.stop().await;
}

#[tokio::test]
async fn a_signer_that_a_node_calls_broke_takes_nothing_new_and_its_payments_go_on_with_money() {
    let world = World::start().await;
    let signer = world.signer();
    world.anvil.set_balance(signer, U256::ZERO).await;
    let first = world.approved(100).await;
    let settlement = world.settle();
    world.wait_for(StateName::Submitted, &[first.id]).await;
    let id = row(&world, signer).await.id;
    wait_until_happened(&world, id, "out_of_gas").await;

    let second = world.approved(100).await;
    world.ring(&world.queue(), &[second.id]).await;
    let blocks = world.anvil.block_number().await;
    testkit::eventually(DEADLINE, || async {
        (world.anvil.block_number().await > blocks + 6).then_some(())
    })
    .await;
    assert_eq!(world.load(second.id).await.state.name(), StateName::Approved);
    let sent = world.store().transactions_from(id, 0).await.unwrap();
    assert_eq!(sent[0].attempts.len(), 1, "more was offered by a signer that has nothing");
    assert_eq!(happened(&world, id, "out_of_gas").await, 1, "it is told once");

    world.anvil.set_balance(signer, U256::from(10 * TENTH)).await;
    world.wait_for(StateName::Settled, &[first.id, second.id]).await;
    world.assert_ledger_is_chain(&[first.id, second.id]).await;
    wait_until_happened(&world, id, "funded").await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_payment_that_was_not_sent_for_want_of_gas_money_expires_on_proof() {
    let mut world = World::on(Anvil::builder().mined_by_hand()).await;
    let (clock, hand) = Clock::manual(now().unix_ms());
    world.clock = clock;
    world.anvil.set_balance(world.signer(), U256::ZERO).await;
    let payment = world.approved(100).await;
    let settlement = world.settle();
    world.wait_for(StateName::Submitted, &[payment.id]).await;
    let id = row(&world, world.signer()).await.id;
    wait_until_happened(&world, id, "out_of_gas").await;

    let_windows_close(&world, &hand).await;

    wait_until_expired(&world, payment.id).await;
    settlement.stop().await;
}

/// Who holds which signers; waits until all three are held.
async fn wait_until_all_are_held(world: &World) -> HashMap<Uuid, BTreeSet<Address>> {
    testkit::eventually(DEADLINE, || async {
        let mut holders: HashMap<Uuid, BTreeSet<Address>> = HashMap::new();
        let rows = world.store().list_signers().await.ok().filter(|rows| rows.len() == 3)?;
        for row in rows {
            holders.entry(row.lease?.0).or_default().insert(row.address);
        }
        Some(holders)
    })
    .await
}

/// Three signers, and at most two for each process.
async fn three_signers() -> World {
    let mut world = World::start().await;
    world.policy.max_lanes = 2;
    world.add_signer().await;
    world.add_signer().await;
    world
}

#[tokio::test]
async fn two_processes_share_three_signers_and_one_takes_over_what_a_crashed_one_held() {
    let mut world = three_signers().await;
    // A busy machine must not make living processes lose what they hold.
    world.policy.lease = Duration::from_secs(6);
    let first = world.settle();
    let second = world.settle();
    let holders = wait_until_all_are_held(&world).await;
    let mut counts: Vec<usize> = holders.values().map(BTreeSet::len).collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 2]);

    first.crash().await;
    let third = world.settle();
    let taken = testkit::eventually(DEADLINE, || async {
        let now = wait_until_all_are_held(&world).await;
        let newcomer = now.keys().find(|owner| !holders.contains_key(owner))?;
        let survivor = now.keys().find(|owner| holders.contains_key(owner))?;
        (now.len() == 2).then(|| (now[newcomer].len(), now[survivor].len()))
    })
    .await;
    assert!(matches!(taken, (1, 2) | (2, 1)), "{taken:?}");
    let mut lost = 0;
    for row in rows(&world).await {
        lost += happened(&world, row.id, "lease_lost").await;
    }
    assert!(lost > 0, "a crashed process gives nothing back");

    let payments = ids(&world.approved_many(20).await);
    world.wait_for(StateName::Settled, &payments).await;
    world.assert_ledger_is_chain(&payments).await;
    second.stop().await;
    third.stop().await;
}

#[tokio::test]
async fn a_process_that_stops_hands_its_signers_to_another_without_waiting_for_the_lease() {
    let mut world = three_signers().await;
    // Longer than any story: only what is given back can be taken.
    world.policy.lease = LONG;
    let first = world.settle();
    wait_until_leased(&world, 2).await;
    first.stop().await;
    assert!(rows(&world).await.iter().all(|row| row.lease.is_none()));

    let second = world.settle();
    wait_until_leased(&world, 2).await;
    let payment = world.approved(100).await;
    world.wait_for(StateName::Settled, &[payment.id]).await;
    for row in rows(&world).await {
        assert_eq!(happened(&world, row.id, "lease_lost").await, 0);
    }
    second.stop().await;
}

async fn wait_until_leased(world: &World, count: usize) {
    testkit::eventually(DEADLINE, || async {
        let rows = world.store().list_signers().await.ok()?;
        let held = rows.iter().filter(|row| row.lease.is_some()).count();
        (rows.len() == 3 && held == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_process_without_a_lane_leaves_its_jobs_to_others() {
    let mut world = World::start().await;
    world.policy.lease = LONG;
    let holder = world.settle();
    wait_until_held(&world, world.signer()).await;
    // It finds the only signer taken, and asks again after a third of the lease.
    let idle = world.settle();
    let payments = ids(&world.approved_many(30).await);

    // Every bell rings once: one that the idle process heard would settle nothing.
    let queue = world.queue();
    world.ring(&queue, &payments).await;
    testkit::eventually(DEADLINE, || async {
        let loaded = world.store().load(&payments).await.ok()?;
        let over = loaded.iter().all(|payment| payment.state.name() == StateName::Settled);
        over.then_some(())
    })
    .await;

    world.assert_ledger_is_chain(&payments).await;
    idle.stop().await;
    holder.stop().await;
}
