//! Killed anywhere: afterwards one transfer for each payment, and ledger = chain.

use std::time::Duration;

use domain::StateName;
use testkit::{Anvil, Fate, FaultyNode};

use crate::world::{DEADLINE, World, ids};

#[tokio::test]
async fn a_process_that_crashes_again_and_again_pays_each_payment_once() {
    let mut world = World::start().await;
    world.policy.max_batch = 4;
    let payments = ids(&world.approved_many(40).await);
    let queue = world.queue();
    // Each life ends when one more transaction was signed, wherever the rest of it stands.
    for life in 1..=6 {
        world.ring(&queue, &payments).await;
        let settlement = world.settle();
        testkit::eventually(DEADLINE, || async {
            let signed = signed_transactions(&world).await;
            (signed >= life).then_some(())
        })
        .await;
        settlement.crash().await;
    }

    let settlement = world.settle();
    world.wait_for(StateName::Settled, &payments).await;

    world.assert_ledger_is_chain(&payments).await;
    settlement.stop().await;
}

#[tokio::test]
async fn what_was_stored_and_never_sent_is_sent_by_the_next_process() {
    let world = World::on(Anvil::builder().mined_by_hand()).await;
    let payments = ids(&world.approved_many(3).await);
    world.ring(&world.queue(), &payments).await;
    let settlement = world.settle();
    world.wait_for(StateName::Submitted, &payments).await;
    world.wait_for_mempool(1).await;
    settlement.crash().await;
    // As if it had crashed between the commit and the broadcast.
    world.anvil.drop_pending().await;
    world.anvil.set_interval(Some(Duration::from_secs(1))).await;

    let settlement = world.settle();
    world.wait_for(StateName::Settled, &payments).await;

    world.assert_ledger_is_chain(&payments).await;
    settlement.stop().await;
}

#[tokio::test]
async fn what_was_mined_and_never_recorded_is_recorded_by_the_next_process() {
    let world = World::on(Anvil::builder().mined_by_hand()).await;
    let payments = ids(&world.approved_many(3).await);
    world.ring(&world.queue(), &payments).await;
    let settlement = world.settle();
    world.wait_for(StateName::Submitted, &payments).await;
    world.wait_for_mempool(1).await;
    settlement.crash().await;
    world.anvil.mine(1).await;

    let settlement = world.settle();
    world.wait_for(StateName::Settled, &payments).await;

    world.assert_ledger_is_chain(&payments).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_process_that_lost_its_lease_stores_and_sends_nothing() {
    let world = World::on(Anvil::builder().mined_by_hand()).await;
    let settlement = world.settle();
    testkit::eventually(DEADLINE, || async {
        let signers = world.store().list_signers().await.ok()?;
        signers.first().is_some_and(|signer| signer.lease.is_some()).then_some(())
    })
    .await;
    // Another process takes over, as it does after the lease of one that was paused.
    let pool = world.store().pool();
    sqlx::raw_sql("update signers set lease_epoch = lease_epoch + 1").execute(pool).await.unwrap();

    let payment = world.approved(100).await;
    let queue = world.queue();
    world.ring(&queue, &[payment.id]).await;

    // It gives up, and leases the signer anew only after the usurper's lease has run out.
    testkit::eventually(DEADLINE, || async {
        let signer = world.store().list_signers().await.ok()?.pop()?;
        (signer.epoch >= 3).then_some(())
    })
    .await;
    world.wait_for(StateName::Submitted, &[payment.id]).await;
    assert_eq!(signed_transactions(&world).await, 1);
    settlement.stop().await;
}

#[tokio::test]
async fn a_process_that_is_told_to_stop_gives_its_signer_back_at_once() {
    let world = World::start().await;
    let settlement = world.settle();
    let leased = || async {
        let signers = world.store().list_signers().await.ok()?;
        Some(signers.first()?.lease.is_some())
    };
    testkit::eventually(DEADLINE, || async { leased().await?.then_some(()) }).await;

    settlement.stop().await;

    assert_eq!(leased().await, Some(false));
}

#[tokio::test]
async fn redis_emptied_in_the_middle_loses_nothing() {
    let mut world = World::start().await;
    world.policy.max_batch = 3;
    let payments = ids(&world.approved_many(20).await);
    world.ring(&world.queue(), &payments).await;
    let settlement = world.settle();
    testkit::eventually(DEADLINE, || async {
        (signed_transactions(&world).await >= 1).then_some(())
    })
    .await;

    world.redis.flush().await;

    world.wait_for(StateName::Settled, &payments).await;
    world.assert_ledger_is_chain(&payments).await;
    settlement.stop().await;
}

#[tokio::test]
async fn connections_to_the_ledger_that_are_cut_again_and_again_lose_nothing() {
    let mut world = World::start().await;
    world.policy.max_batch = 2;
    world.policy.max_in_flight = 16;
    let payments = ids(&world.approved_many(60).await);
    let queue = world.queue();
    world.ring(&queue, &payments).await;
    let settlement = world.settle();

    // Each cut falls somewhere else: into loads, rounds, answers to commits, renewals.
    for cut in 0..40 {
        testkit::eventually(DEADLINE, || async {
            world.ring_again(&queue, &payments).await;
            (signed_transactions(&world).await >= cut / 2).then_some(())
        })
        .await;
        world.cut_connections().await;
    }

    world.wait_for(StateName::Settled, &payments).await;
    world.assert_ledger_is_chain(&payments).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_round_whose_commit_was_never_answered_is_found_and_sent() {
    let world = World::start().await;
    let settlement = world.settle();
    let first = world.approved(100).await;
    world.wait_for(StateName::Settled, &[first.id]).await;

    // Stored under the lane's own lease, and the lane was not told.
    let unanswered = world.approved(100).await;
    world.store_unanswered(&unanswered).await;
    let next = world.approved(100).await;

    let payments = [unanswered.id, next.id];
    world.wait_for(StateName::Settled, &payments).await;
    world.assert_ledger_is_chain(&[first.id, unanswered.id, next.id]).await;
    settlement.stop().await;
}

async fn signed_transactions(world: &World) -> usize {
    let signers = world.store().list_signers().await.unwrap_or_default();
    usize::try_from(signers.iter().map(|signer| signer.next_nonce).sum::<u64>()).unwrap()
}

#[tokio::test]
async fn what_waits_for_depth_takes_no_room_from_what_is_to_be_sent() {
    let mut world = World::on(Anvil::builder().mined_by_hand()).await;
    world.policy.confirmations = 100;
    world.policy.max_in_flight = 1;
    let first = world.approved(100).await;
    let settlement = world.settle();
    world.wait_for(StateName::Submitted, &[first.id]).await;
    world.wait_for_mempool(1).await;
    world.anvil.mine(1).await;
    world.wait_for(StateName::Confirmed, &[first.id]).await;
    settlement.crash().await;

    let settlement = world.settle();
    let second = world.approved(100).await;
    world.wait_for(StateName::Submitted, &[second.id]).await;

    settlement.stop().await;
}

#[tokio::test]
async fn what_was_mined_is_recorded_although_a_hole_cannot_be_filled_yet() {
    let world = World::on(Anvil::builder().mined_by_hand()).await;
    let payment = world.approved(100).await;
    let settlement = world.settle();
    world.wait_for(StateName::Submitted, &[payment.id]).await;
    world.wait_for_mempool(1).await;
    settlement.crash().await;
    world.anvil.mine(1).await;
    let pool = world.store().pool();
    sqlx::raw_sql("update signers set next_nonce = next_nonce + 1").execute(pool).await.unwrap();
    let proxy = FaultyNode::before(world.anvil.url()).await;
    proxy.obey(|method, _| match method {
        "eth_maxPriorityFeePerGas" => Fate::Refused("fees are not known yet"),
        _ => Fate::Passed,
    });

    let settlement = world.settle_at(&proxy.url());

    world.wait_for(StateName::Settled, &[payment.id]).await;
    settlement.stop().await;
}

#[tokio::test]
async fn a_payment_in_a_block_is_settled_although_its_transaction_is_over() {
    let mut world = World::on(Anvil::builder().mined_by_hand()).await;
    world.policy.confirmations = 3;
    let payment = world.approved(100).await;
    let settlement = world.settle();
    world.wait_for(StateName::Submitted, &[payment.id]).await;
    world.wait_for_mempool(1).await;
    world.anvil.mine(1).await;
    world.wait_for(StateName::Confirmed, &[payment.id]).await;
    settlement.crash().await;
    // As after a node that knew the nonce, and not yet who had used it.
    let over = "update chain_transactions set state = 'dropped', mined_hash = null,
                block_number = null, block_hash = null";
    sqlx::raw_sql(over).execute(world.store().pool()).await.unwrap();
    world.anvil.mine(2).await;

    let settlement = world.settle();

    world.wait_for(StateName::Settled, &[payment.id]).await;
    world.assert_ledger_is_chain(&[payment.id]).await;
    settlement.stop().await;
}
